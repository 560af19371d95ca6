"""Models by name: `@register_model` puts a builder into the table that `create_model` and the command line read."""

from __future__ import annotations

import difflib
import fnmatch
import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from ..nn import Module, init

_Builder = TypeVar("_Builder", bound=Callable[..., Module])


class ModelEntry(NamedTuple):
    """A registered model."""

    name: str
    build: Callable[..., Module]
    input_shape: tuple[int, int, int]  # (C, H, W) it is meant for
    heads: tuple[str, ...] = ()  # paths of the layers whose outputs are the classes, the main one first

    def accepts(self, argument: str) -> bool:
        """Whether the builder has an argument of this name."""
        return argument in inspect.signature(self.build).parameters


_MODELS: dict[str, ModelEntry] = {}


def register_model(
    input_shape: tuple[int, int, int], heads: str | tuple[str, ...] = ()
) -> Callable[[_Builder], _Builder]:
    """Registers a function that builds a model under the function's name.

    The function takes keyword arguments with defaults, `num_classes` and `in_channels` among them, and `image_size`
    where the model depends on it.

    Args:
        input_shape: (C, H, W) of the images the model is meant for; tests and `fastcnn summary` use it.
        heads: path of the layer that scores the classes, e.g. "fc", or several where there are auxiliary classifiers;
            `create_model(..., new_head=True)` leaves them out when it loads weights.

    Raises:
        ValueError: the name is taken.
    """
    paths = (heads,) if isinstance(heads, str) else heads

    def register(build: _Builder) -> _Builder:
        name = build.__name__
        if name in _MODELS:
            raise ValueError(f"register_model: {name!r} is registered already, by {_MODELS[name].build.__module__}")
        _MODELS[name] = ModelEntry(name, build, input_shape, paths)
        return build

    return register


def model_entry(name: str) -> ModelEntry:
    """The registered model of this name.

    Raises:
        ValueError: unknown name; the message suggests close ones.
    """
    if name not in _MODELS:
        longer = sorted(known for known in _MODELS if known.startswith(name.lower()))
        close = (longer or difflib.get_close_matches(name.lower(), _MODELS, n=3, cutoff=0.5))[:3]
        hint = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(list_models())}"
        raise ValueError(f"unknown model {name!r}; {hint}")
    return _MODELS[name]


def list_models(pattern: str = "*") -> list[str]:
    """Sorted names of the registered models that match a shell pattern, e.g. "lenet*".

    Example:
        >>> list_models("resnet1*")
        ['resnet101', 'resnet101_v1', 'resnet110', 'resnet1202', 'resnet152', 'resnet152_v1', 'resnet18']
    """
    return sorted(fnmatch.filter(_MODELS, pattern))


def create_model(
    name: str, *, weights: str | os.PathLike[str] | None = None, new_head: bool = False, **arguments: Any
) -> Module:
    """Builds a registered model.

    Args:
        name: one of `list_models()`.
        weights: a safetensors file with the model's state_dict (torchvision's keys and shapes where it has the model),
            or a file written by `Trainer.fit`.
        new_head: load everything but the classifier, which starts afresh: to fine-tune on other classes.
        **arguments: `num_classes`, `in_channels` and whatever else the model takes; its defaults otherwise.

    Raises:
        ValueError: unknown model, or the weights do not fit, or `new_head` for a model whose head is not known.
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
    if weights is None:
        return entry.build(**arguments)
    from ..serialization import model_state

    state = model_state(weights)
    if not new_head:
        with init.skip():  # every value comes from the file
            model = entry.build(**arguments)
        try:
            model.load_state_dict(state)
        except ValueError as error:
            hint = "; new_head=True loads everything but the classifier" if _only_heads(entry, error) else ""
            raise ValueError(f"create_model: {weights} does not fit {name}: {error}{hint}") from None
        return model
    if not entry.heads:
        raise ValueError(f"create_model: {name} is registered without heads; load_matching() loads what fits")
    model = entry.build(**arguments)
    head = tuple(f"{path}." for path in entry.heads)
    fresh = {key: value for key, value in model.state_dict().items() if key.startswith(head)}
    model.load_state_dict({key: value for key, value in state.items() if not key.startswith(head)} | fresh)
    return model


def _only_heads(entry: ModelEntry, error: ValueError) -> bool:
    """Whether the message of `load_state_dict` is about shapes of the classifiers alone."""
    problems = str(error).partition(": ")[2].split("; ")
    return bool(entry.heads) and all(
        problem.startswith(tuple(f"{path}." for path in entry.heads)) for problem in problems
    )


class LoadReport(NamedTuple):
    """What `load_matching` did, as keys of the state_dict."""

    loaded: list[str]
    missing: list[str]  # of the model, not in the state
    unexpected: list[str]  # of the state, not in the model
    mismatched: list[str]  # in both, but of different shapes


def load_matching(model: Module, state: Mapping[str, Any]) -> LoadReport:
    """Loads the entries that the model has under the same name with the same shape, and leaves all others alone.

    Args:
        model: changed in place.
        state: path -> values, e.g. `fastcnn.load(path)`.

    Returns:
        What was loaded and what was not.

    Example:
        >>> from fastcnn.models import create_model, load_matching
        >>> ten, six = create_model("lenet5"), create_model("lenet5", num_classes=6)
        >>> load_matching(six, ten.state_dict()).mismatched
        ['fc2.weight', 'fc2.bias']
    """
    own = model.state_dict()
    shared = [key for key in own if key in state]
    loaded = [key for key in shared if tuple(state[key].shape) == own[key].shape]
    model.load_state_dict({key: state[key] for key in loaded}, strict=False)
    return LoadReport(
        loaded,
        [key for key in own if key not in state],
        [key for key in state if key not in own],
        [key for key in shared if key not in set(loaded)],
    )
