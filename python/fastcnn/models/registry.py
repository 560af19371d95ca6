"""Models by name: `@register_model` puts a builder into the table that `create_model` and the command line read."""

from __future__ import annotations

import difflib
import fnmatch
import inspect
import os
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from ..nn import Module

_Builder = TypeVar("_Builder", bound=Callable[..., Module])


class ModelEntry(NamedTuple):
    """A registered model."""

    name: str
    build: Callable[..., Module]
    input_shape: tuple[int, int, int]  # (C, H, W) it is meant for

    def accepts(self, argument: str) -> bool:
        """Whether the builder has an argument of this name."""
        return argument in inspect.signature(self.build).parameters


_MODELS: dict[str, ModelEntry] = {}


def register_model(input_shape: tuple[int, int, int]) -> Callable[[_Builder], _Builder]:
    """Registers a function that builds a model under the function's name.

    The function takes keyword arguments with defaults, `num_classes` and `in_channels` among them, and `image_size`
    where the model depends on it.

    Args:
        input_shape: (C, H, W) of the images the model is meant for; tests and `fastcnn summary` use it.

    Raises:
        ValueError: the name is taken.
    """

    def register(build: _Builder) -> _Builder:
        name = build.__name__
        if name in _MODELS:
            raise ValueError(f"register_model: {name!r} is registered already, by {_MODELS[name].build.__module__}")
        _MODELS[name] = ModelEntry(name, build, input_shape)
        return build

    return register


def model_entry(name: str) -> ModelEntry:
    """The registered model of this name.

    Raises:
        ValueError: unknown name; the message suggests close ones.
    """
    if name not in _MODELS:
        close = difflib.get_close_matches(name.lower(), _MODELS, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(list_models())}"
        raise ValueError(f"unknown model {name!r}; {hint}")
    return _MODELS[name]


def list_models(pattern: str = "*") -> list[str]:
    """Sorted names of the registered models that match a shell pattern, e.g. "lenet*".

    Example:
        >>> list_models("lenet*")
        ['lenet5']
    """
    return sorted(fnmatch.filter(_MODELS, pattern))


def create_model(name: str, *, weights: str | os.PathLike[str] | None = None, **arguments: Any) -> Module:
    """Builds a registered model.

    Args:
        name: one of `list_models()`.
        weights: a safetensors file with the model's state_dict, or a file written by `Trainer.fit`.
        **arguments: `num_classes`, `in_channels` and whatever else the model takes; its defaults otherwise.

    Raises:
        ValueError: unknown model, or the weights do not fit.
        TypeError: the model does not take an argument.
        FileNotFoundError: no such weights.

    Example:
        >>> create_model("lenet5", num_classes=26).fc2.weight.shape
        (26, 500)
    """
    entry = model_entry(name)
    for argument in arguments:
        if not entry.accepts(argument):
            known = ", ".join(inspect.signature(entry.build).parameters)
            raise TypeError(f"create_model: {name} has no argument {argument!r}; it takes {known}")
    model = entry.build(**arguments)
    if weights is not None:
        from ..serialization import model_state

        model.load_state_dict(model_state(weights))
    return model
