"""Peak memory of a training step or of inference: each contender in a process of its own.

`python -m bench.memory "resnet50 train batch 8" [CONTENDER]` prints bytes: the highest resident size while the job runs
three times, less the resident size before the model was made (interpreter and libraries, loaded and used once; weights
come from another process, so that no contender finds memory that making them has left behind).
"""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path


def measure(job: str, contender: str = "fastcnn") -> int:
    """Bytes that a job of `bench.models` takes at most: weights, optimizer state, data, activations.

    Args:
        job: its name.
        contender: "fastcnn", or the name of one of `peer_torch_models.contenders`.

    Raises:
        RuntimeError: the process failed.
    """
    command = [sys.executable, "-m", "bench.memory", job, contender]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent)
    if done.returncode:
        raise RuntimeError(f"memory of {job} in {contender}: {done.stderr.strip()[-500:]}")
    return int(done.stdout.split()[-1])


def _kilobytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}")


def main(arguments: list[str]) -> int:
    """Runs a job and returns its peak in bytes."""
    import numpy as np

    from bench import models

    name, contender = [*arguments, "fastcnn"][:2]
    job = models.find(name)
    if contender == "state":
        np.savez(sys.stdout.buffer, **models.initial_state(job))
        return 0
    command = [sys.executable, "-m", "bench.memory", name, "state"]
    done = subprocess.run(command, capture_output=True, check=True)
    with np.load(io.BytesIO(done.stdout)) as arrays:
        state = dict(arrays)
    del done
    if contender == "fastcnn":
        import fastcnn as fc
        from fastcnn import functional

        functional.conv2d(fc.zeros(1, 1, 8, 8), fc.zeros(1, 1, 3, 3)).sum()
        make = models.fastcnn_call
    else:
        from bench import peer_torch_models

        make = peer_torch_models.caller(contender)
    np.ones((1 << 20,)).sum()
    # Writing 5 resets the peak of this process, see proc(5).
    Path("/proc/self/clear_refs").write_text("5")
    before = _kilobytes("VmRSS")
    call = make(job, state)
    for _ in range(3):
        call()
    return (_kilobytes("VmHWM") - before) * 1024


if __name__ == "__main__":
    peak = main(sys.argv[1:])
    if sys.argv[2:] != ["state"]:
        print(peak)
