"""Layers, losses and containers with the names, arguments and state_dict keys of `torch.nn`."""

from .container import ModuleDict, ModuleList, Sequential
from .module import Module
from .padding import CircularPad2d, ConstantPad2d, ReflectionPad2d, ReplicationPad2d, ZeroPad2d
from .parameter import Parameter

__all__ = [
    "CircularPad2d",
    "ConstantPad2d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "Sequential",
    "ZeroPad2d",
]
