"""Models by name, and what they consist of."""

from . import lenet as lenet
from .lenet import lenet5
from .registry import create_model, list_models, model_entry, register_model
from .summary import LayerSummary, ModelSummary, summarize

__all__ = [
    "LayerSummary",
    "ModelSummary",
    "create_model",
    "lenet5",
    "list_models",
    "model_entry",
    "register_model",
    "summarize",
]
