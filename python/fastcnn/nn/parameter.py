"""Tensors that a `Module` trains."""

from __future__ import annotations

from ..tensor import Tensor


class Parameter(Tensor):
    """A tensor that registers itself when assigned to a `Module` attribute and that optimizers update.

    Args:
        data: initial values; shared with the parameter, not copied.
        requires_grad: whether `backward` computes its gradient.
    """

    __slots__ = ()

    def __init__(self, data: Tensor, requires_grad: bool = True) -> None:
        if not isinstance(data, Tensor):
            raise TypeError(
                f"Parameter: data is {type(data).__name__}, but a fastcnn Tensor is expected; use fastcnn.tensor()"
            )
        super().__init__(data._data)
        self.requires_grad_(requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"
