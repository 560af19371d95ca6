"""Modules that hold modules: `Sequential`, `ModuleList`, `ModuleDict`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, overload

from .activation import ReLU
from .batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from .conv import Conv2d
from .linear import Linear
from .module import Module

_TAKE_ACTIVATION = frozenset((BatchNorm1d, BatchNorm2d, BatchNorm3d, Conv2d, Linear))  # in their own pass


def _normalize_index(index: int, length: int, owner: str) -> int:
    if not -length <= index < length:
        raise IndexError(f"{owner}: index {index} is out of range for {length} modules")
    return index % length


class Sequential(Module):
    """Calls its modules one after another.

    A `ReLU` right behind a `Conv2d`, `Linear` or `BatchNorm` is applied by that layer while it writes its output: the
    same bits with one pass over memory less. Where one of the two has a forward hook, which wants to see what is
    between them, both are called.

    Args:
        args: modules, or one dict of name -> module.

    Example:
        >>> from fastcnn import nn
        >>> len(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))
        2
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for index, module in enumerate(args):
                self.add_module(str(index), module)

    def forward(self, input: Any) -> Any:
        """The output of the last module."""
        waiting: Module | None = None  # a layer that applies the ReLU which may come next
        for module in self._modules.values():
            if waiting is not None:
                layer, waiting = waiting, None
                if type(module) is ReLU and not module._forward_pre_hooks and not module._forward_hooks:
                    input = layer(input, activation="relu")
                    continue
                input = layer(input)
            if type(module) in _TAKE_ACTIVATION and not module._forward_hooks:
                waiting = module
            else:
                input = module(input)
        return input if waiting is None else waiting(input)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Module:
        if isinstance(index, slice):
            return Sequential(dict(list(self._modules.items())[index]))
        module: Module = list(self._modules.values())[_normalize_index(index, len(self), "Sequential")]
        return module

    def __setitem__(self, index: int, module: Module) -> None:
        key = list(self._modules)[_normalize_index(index, len(self), "Sequential")]
        setattr(self, key, module)

    def __delitem__(self, index: int) -> None:
        modules = list(self._modules.values())
        del modules[_normalize_index(index, len(self), "Sequential")]
        self._modules.clear()
        for i, module in enumerate(modules):
            self.add_module(str(i), module)

    def append(self, module: Module) -> Self:
        """Adds a module at the end."""
        self.add_module(str(len(self)), module)
        return self


class ModuleList(Module):
    """A list whose modules are registered; it has no `forward`."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> ModuleList: ...
    def __getitem__(self, index: int | slice) -> Module:
        if isinstance(index, slice):
            return ModuleList(list(self._modules.values())[index])
        module: Module = self._modules[str(_normalize_index(index, len(self), "ModuleList"))]
        return module

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, str(_normalize_index(index, len(self), "ModuleList")), module)

    def append(self, module: Module) -> Self:
        """Adds a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Adds modules at the end."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> None:
        """Puts a module before position `index`."""
        modules = list(self._modules.values())
        modules.insert(index, module)
        self._modules.clear()
        self.extend(modules)


class ModuleDict(Module):
    """A dict whose modules are registered; it has no `forward`."""

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        for name, module in (modules or {}).items():
            self[name] = module

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, name: str) -> bool:
        return name in self._modules

    def __getitem__(self, name: str) -> Module:
        module: Module = self._modules[name]
        return module

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def keys(self) -> Iterator[str]:
        """Names in insertion order."""
        return iter(self._modules.keys())

    def values(self) -> Iterator[Module]:
        """Modules in insertion order."""
        return iter(self._modules.values())

    def items(self) -> Iterator[tuple[str, Module]]:
        """(name, module) in insertion order."""
        return iter(self._modules.items())
