"""Crops of batches of images, as in `torchvision.transforms`."""

from __future__ import annotations

from ..tensor import Tensor


def five_crop(images: Tensor, size: int | tuple[int, int]) -> tuple[Tensor, ...]:
    """The four corners and the centre.

    Args:
        images: (N, C, H, W) or (C, H, W).
        size: of the crops, (height, width) or one number for both.

    Returns:
        Top left, top right, bottom left, bottom right, centre; each (N, C, height, width).

    Raises:
        ValueError: crops larger than the images.

    Example:
        >>> import fastcnn as fc
        >>> [crop.shape for crop in five_crop(fc.zeros(2, 3, 8, 9), (5, 6))][0]
        (2, 3, 5, 6)
    """
    height, width = size if isinstance(size, tuple) else (size, size)
    h, w = images.shape[-2:]
    if images.ndim not in (3, 4) or not (0 < height <= h and 0 < width <= w):
        raise ValueError(f"five_crop: crops of {height} x {width} do not fit into images of shape {images.shape}")
    y, x = h - height, w - width
    corners = ((0, 0), (0, x), (y, 0), (y, x), (round(y / 2), round(x / 2)))
    return tuple(images[..., top : top + height, left : left + width] for top, left in corners)


def ten_crop(images: Tensor, size: int | tuple[int, int], vertical_flip: bool = False) -> tuple[Tensor, ...]:
    """`five_crop` of the images and of their mirror images: the test-time views of AlexNet and its successors.

    Args:
        images: (N, C, H, W) or (C, H, W).
        size: of the crops.
        vertical_flip: mirror top and bottom instead of left and right.

    Returns:
        Ten crops, the five of the mirror images last.

    Raises:
        ValueError: crops larger than the images.

    Example:
        >>> import fastcnn as fc
        >>> len(ten_crop(fc.zeros(2, 3, 256, 256), 224))
        10
    """
    return five_crop(images, size) + five_crop(images.flip(-2 if vertical_flip else -1), size)
