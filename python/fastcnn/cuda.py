"""GPUs, as `torch.cuda` names them. This build has the CPU backend only and says so."""

from __future__ import annotations


def is_available() -> bool:
    """Whether tensors can be put on a GPU."""
    return not why_unavailable()


def device_count() -> int:
    """Number of usable GPUs."""
    return 0


def why_unavailable() -> str:
    """Why no GPU can be used; empty if one can."""
    return "this build of fastcnn has no CUDA backend"


def synchronize() -> None:
    """Waits until the GPU has finished; nothing to wait for without one."""
