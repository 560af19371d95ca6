"""`fastcnn predict`."""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

from ..train.trainer import Trainer
from .saved import SavedModel, load_model

NAME = "predict"
HELP = "say what is in pictures"
DESCRIPTION = """\
Classify pictures with a trained model.

A picture is brought to the model's channels and cropped around its centre and scaled to the model's size.
"""
EXAMPLES = """\
examples:
  fastcnn predict runs/lenet5-mnist5k digit.png
  fastcnn predict runs/lenet5-mnist5k scans/*.png --invert    dark digits on white paper
  fastcnn predict runs/lenet5-mnist5k digit.png --top 3 --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    add = parser.add_argument
    add("checkpoint", metavar="CKPT", help="a file or folder written by fastcnn train")
    add("images", metavar="IMAGE", nargs="+", help="picture files (PNG, JPEG, ...)")
    add("--top", type=int, default=1, metavar="N", help="classes to show per picture (default 1)")
    add("--invert", action="store_true", help="swap dark and light, e.g. for dark digits on white paper")
    add("--device", default="cpu", metavar="NAME", help="cpu (default), cuda or cuda:N")
    add("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> None:
    """Predicts."""
    if arguments.top < 1:
        raise ValueError(f"--top is {arguments.top}, but at least 1 is expected")
    saved = load_model(arguments.checkpoint, arguments.device)
    found = []
    for path in arguments.images:
        pixels = read_image(path, tuple(saved.about["input_shape"]))
        if arguments.invert:
            pixels = 255 - pixels
        found.append(
            {"image": path, **_classify(saved, pixels, arguments.top), **_hint(saved, pixels, arguments.invert)}
        )
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    width = max(len(item["image"]) for item in found)
    for item in found:
        ranks = "   ".join(f"{rank['class']} {100 * rank['probability']:.1f} %" for rank in item["top"])
        print(f"{item['image']:<{width}}  {ranks}")
        if "hint" in item:
            print(f"{'':<{width}}  hint: {item['hint']}")


def read_image(path: str, shape: tuple[int, int, int]) -> np.ndarray[Any, Any]:
    """A picture as uint8 (C, H, W).

    Raises:
        ModuleNotFoundError: Pillow is not installed.
        FileNotFoundError: no such file.
        ValueError: not a picture, or the model takes neither grey nor colour images.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ModuleNotFoundError:
        raise ModuleNotFoundError("reading pictures needs Pillow; run: pip install 'fastcnn[images]'") from None
    channels, height, width = shape
    modes = {1: "L", 3: "RGB", 4: "RGBA"}
    if channels not in modes:
        raise ValueError(f"the model takes images with {channels} channels, which no picture file has")
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            if picture.mode in ("RGBA", "LA", "P") and channels != 4:  # what is transparent shows a white page
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
            elif picture.mode.startswith("I;16"):
                picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
            picture = picture.convert(modes[channels])
            if picture.size != (width, height):
                picture = ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS)
            array = np.asarray(picture)
    except FileNotFoundError:
        raise
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is not a readable picture: {error}") from None
    return array.reshape(height, width, channels).transpose(2, 0, 1)


def _classify(saved: SavedModel, pixels: np.ndarray[Any, Any], top: int) -> dict[str, Any]:
    mean, std = (np.asarray(saved.about[key], np.float32)[:, None, None] for key in ("mean", "std"))
    images = ((pixels / np.float32(255) - mean) / std)[None]
    scores = Trainer(saved.model, None).predict(images)[0].astype(np.float64)
    exponentials = np.exp(scores - scores.max())
    probabilities = exponentials / exponentials.sum()
    classes = saved.about["classes"]
    ranks = [
        {"class": classes[i], "probability": float(probabilities[i])}
        for i in np.argsort(-probabilities, kind="stable")[:top]
    ]
    return {**ranks[0], "top": ranks}


def _hint(saved: SavedModel, pixels: np.ndarray[Any, Any], inverted: bool) -> dict[str, str]:
    """Grey training images that are mostly dark, and a picture with a light border: probably it has to be inverted."""
    if inverted or len(pixels) != 1 or saved.about["mean"][0] > 0.5:
        return {}
    border = np.concatenate([pixels[0, 0], pixels[0, -1], pixels[0, :, 0], pixels[0, :, -1]])
    if border.mean() < 128:
        return {}
    return {"hint": "the background is light, but the model was trained on light shapes on dark; try --invert"}
