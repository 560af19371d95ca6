"""Layers, losses and containers with the names, arguments and state_dict keys of `torch.nn`."""

from .container import ModuleDict, ModuleList, Sequential
from .module import Module
from .parameter import Parameter

__all__ = [
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "Sequential",
]
