"""Predictions averaged over several views of every image."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..autograd import no_grad
from ..functional import softmax
from ..nn import Module
from ..tensor import Tensor

_View = Callable[[Tensor], Tensor]


def _same(images: Tensor) -> Tensor:
    return images


def _mirrored(images: Tensor) -> Tensor:
    return images.flip(-1)


def average_over_views(model: Module, images: Tensor, views: Sequence[_View | Tensor] = (_same, _mirrored)) -> Tensor:
    """Class probabilities, averaged over views of the images: the randomness of training, integrated out in testing.

    Args:
        model: a classifier; run in eval mode, its mode is restored.
        images: (N, C, H, W).
        views: functions from images to images, or finished views such as `data.ten_crop(images, 224)`; the images and
            their mirror images unless given.

    Returns:
        (N, classes), the mean of the views' soft-max outputs; rows sum to 1.

    Raises:
        ValueError: no views.

    Example:
        >>> import fastcnn as fc
        >>> from fastcnn import nn
        >>> from fastcnn.data import ten_crop
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 28 * 28, 10))
        >>> images = fc.rand(5, 3, 32, 32)
        >>> average_over_views(model, images, ten_crop(images, 28)).shape
        (5, 10)
    """
    if not len(views):
        raise ValueError("average_over_views: views is empty, but at least one is expected")
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with no_grad():
            seen = (view if isinstance(view, Tensor) else view(images) for view in views)
            parts = [softmax(model(view), 1) for view in seen]
    finally:
        for module, training in modes:
            module.training = training
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total / len(parts)
