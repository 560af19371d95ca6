"""`Module`: the base of layers and networks, with PyTorch's names and rules."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Self

from .. import _C, observing
from ..cuda import as_device
from ..tensor import HookHandle, Tensor
from .parameter import Parameter

_hook_keys = itertools.count()


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict(strict=False)` did not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """Base class of everything that has parameters.

    Assigning a `Parameter` or a `Module` to an attribute registers it. Subclasses define `forward`; calling the module
    runs the hooks and `forward`.
    """

    training: bool
    float32_in_bfloat16 = False  # whether `to(bfloat16)` makes the module's own tensors float32
    fusible: tuple[tuple[str, str, str | None], ...] = ()
    """What `fuse` folds: (layer, batch norm on its output, activation that `forward` gives the batch norm) by name."""

    def __init__(self) -> None:
        set_ = super().__setattr__
        set_("training", True)
        set_("_parameters", {})
        set_("_buffers", {})
        set_("_non_persistent", set())
        set_("_modules", {})
        set_("_forward_pre_hooks", {})
        set_("_forward_hooks", {})

    # Attributes -------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        registries = self.__dict__
        if isinstance(value, Parameter | Module):
            if "_parameters" not in registries:
                raise AttributeError(f"cannot assign {name}: call super().__init__() of {type(self).__name__} first")
            for registry in ("_parameters", "_buffers", "_modules"):
                registries[registry].pop(name, None)
            registries.pop(name, None)
            registries["_parameters" if isinstance(value, Parameter) else "_modules"][name] = value
            return
        for registry in ("_parameters", "_buffers", "_modules"):
            if name in registries.get(registry, ()):
                if value is not None and not (registry == "_buffers" and isinstance(value, Tensor)):
                    kind = {"_parameters": "Parameter", "_buffers": "Tensor", "_modules": "Module"}[registry]
                    raise TypeError(f"cannot assign {type(value).__name__} to {name}: {kind} or None expected")
                registries[registry][name] = value
                return
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        registries = self.__dict__
        for registry in ("_parameters", "_buffers", "_modules"):
            if name in registries.get(registry, ()):
                return registries[registry][name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        for registry in ("_parameters", "_buffers", "_modules"):
            if name in self.__dict__[registry]:
                del self.__dict__[registry][name]
                self._non_persistent.discard(name)
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Registers a parameter; None keeps the name (a layer with bias=False)."""
        self._check_name(name)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"register_parameter: {name} is {type(param).__name__}, but Parameter or None is expected")
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Registers state that is not trained, e.g. running statistics.

        Args:
            name: attribute name.
            tensor: the buffer, or None.
            persistent: whether it is part of `state_dict()`.
        """
        self._check_name(name)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"register_buffer: {name} is {type(tensor).__name__}, but Tensor or None is expected")
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent.discard(name)
        else:
            self._non_persistent.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Registers a child under `name`."""
        self._check_name(name)
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"add_module: {name} is {type(module).__name__}, but Module or None is expected")
        self._modules[name] = module

    register_module = add_module

    def _check_name(self, name: str) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise KeyError(f"{name!r} is not a usable name: a non-empty string without '.' is expected")
        known = name in self._parameters or name in self._buffers or name in self._modules
        if not known and hasattr(self, name):
            raise KeyError(f"attribute {name!r} of {type(self).__name__} exists already")

    # Calls ------------------------------------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Computes the output; subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the forward hooks and `forward`."""
        if self._forward_pre_hooks:
            for hook in tuple(self._forward_pre_hooks.values()):
                replaced = hook(self, args)
                if replaced is not None:
                    args = replaced if isinstance(replaced, tuple) else (replaced,)
        if observing.observer is None:
            output = self.forward(*args, **kwargs)
        else:
            with observing.observer.module(self):
                output = self.forward(*args, **kwargs)
        if self._forward_hooks:
            for hook in tuple(self._forward_hooks.values()):
                replaced = hook(self, args, output)
                if replaced is not None:
                    output = replaced
        return output

    def register_forward_pre_hook(self, hook: Callable[[Module, tuple[Any, ...]], Any]) -> HookHandle:
        """Calls `hook(module, args)` before `forward`; what it returns (unless None) replaces the arguments."""
        return self._add_hook(self._forward_pre_hooks, hook)

    def register_forward_hook(self, hook: Callable[[Module, tuple[Any, ...], Any], Any]) -> HookHandle:
        """Calls `hook(module, args, output)` after `forward`; what it returns (unless None) replaces the output."""
        return self._add_hook(self._forward_hooks, hook)

    def register_full_backward_hook(
        self, hook: Callable[[Module, tuple[Any, ...], tuple[Any, ...]], Any]
    ) -> HookHandle:
        """Calls `hook(module, (), (grad_output,))` when the gradient of the module's output is known.

        Unlike PyTorch the gradient of the input is not passed (an empty tuple stands in its place); to change it,
        register a hook on the input tensor.
        """

        def attach(module: Module, args: tuple[Any, ...], output: Any) -> None:
            if isinstance(output, Tensor) and output.requires_grad:
                output.register_hook(lambda grad: hook(module, (), (grad,)))

        return self._add_hook(self._forward_hooks, attach)

    @staticmethod
    def _add_hook(hooks: dict[int, Any], hook: Any) -> HookHandle:
        key = next(_hook_keys)
        hooks[key] = hook
        return HookHandle(hooks, key)

    # Walking ----------------------------------------------------------------------------------------------------

    def named_modules(self, memo: set[Module] | None = None, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """(path, module) of this module and all below it, each once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        memo.add(self)
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(memo, f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the direct children, each once."""
        seen: set[Module] = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """The direct children, each once."""
        return (child for _, child in self.named_children())

    def _named_members(self, registry: str, prefix: str, recurse: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for path, module in self.named_modules(prefix=prefix) if recurse else [(prefix, self)]:
            for name, member in module.__dict__[registry].items():
                if member is not None and id(member) not in seen:
                    seen.add(id(member))
                    yield f"{path}.{name}" if path else name, member

    def named_parameters(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Parameter]]:
        """(path, parameter), each parameter once even if modules share it."""
        return self._named_members("_parameters", prefix, recurse)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """(path, buffer), each buffer once."""
        return self._named_members("_buffers", prefix, recurse)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path; '' is this module.

        Raises:
            AttributeError: no such path.
        """
        module = self
        for name in target.split(".") if target else []:
            child = module._modules.get(name)
            if child is None:
                raise AttributeError(f"{type(module).__name__} has no child {name!r} (path {target!r})")
            module = child
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path.

        Raises:
            AttributeError: no such path.
        """
        path, _, name = target.rpartition(".")
        parameter = self.get_submodule(path)._parameters.get(name)
        if parameter is None:
            raise AttributeError(f"no parameter {target!r}")
        return parameter  # type: ignore[no-any-return]

    # State ------------------------------------------------------------------------------------------------------

    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        """Path -> detached tensor (sharing memory) of all parameters and persistent buffers, in PyTorch's order."""
        state = {}
        for name, parameter in self._parameters.items():
            if parameter is not None:
                state[prefix + name] = parameter.detach()
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent:
                state[prefix + name] = buffer.detach()
        for name, child in self._modules.items():
            if child is not None:
                state.update(child.state_dict(f"{prefix}{name}."))
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copies values into the parameters and buffers, converting dtype; NumPy arrays are accepted as well.

        Everything is checked before anything is changed.

        Args:
            state_dict: path -> values.
            strict: raise when keys are missing or unexpected.

        Raises:
            TypeError: `state_dict` is not a mapping.
            ValueError: shapes differ, or (strict) keys are missing or unexpected; the message lists them all.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict: state_dict is {type(state_dict).__name__}, but a mapping is expected")
        own = self.state_dict()
        missing = [key for key in own if key not in state_dict]
        unexpected = [key for key in state_dict if key not in own]
        problems = []
        if strict and missing:
            problems.append(f"missing keys: {', '.join(missing)}")
        if strict and unexpected:
            problems.append(f"unexpected keys: {', '.join(unexpected)}")
        for key, target in own.items():
            if key in state_dict and tuple(state_dict[key].shape) != target.shape:
                problems.append(f"{key}: got shape {tuple(state_dict[key].shape)}, but {target.shape} is expected")
        if problems:
            raise ValueError(f"load_state_dict of {type(self).__name__}: " + "; ".join(problems))
        for key, target in own.items():
            if key in state_dict:
                _copy_values(target._data, state_dict[key])
        return IncompatibleKeys(missing, unexpected)

    def to(self, device: _C.device | _C.dtype | str | None = None, dtype: _C.dtype | None = None) -> Self:
        """Moves parameters and buffers to a device and converts the floating-point ones to a dtype, in place.

        Parameters and statistics of batch norms become float32 where bfloat16 is asked for: see `docs/precision.md`.

        Raises:
            TypeError: `dtype` is not floating-point.
            ValueError: the device does not exist.
        """
        if isinstance(device, _C.dtype):
            device, dtype = None, device
        if dtype is not None and not dtype.is_floating_point:
            raise TypeError(f"Module.to: dtype is {dtype}, but a floating-point dtype is expected")
        where = None if device is None else _C.device(device)

        def convert(raw: _C.Tensor, module: Module) -> _C.Tensor:
            wanted = dtype if dtype is not None and raw.dtype.is_floating_point else raw.dtype
            if wanted == _C.bfloat16 and module.float32_in_bfloat16:
                wanted = _C.float32
            if wanted == raw.dtype and (where is None or where == raw.device):
                return raw
            return Tensor(raw).to(where if where is not None else raw.device, wanted)._data

        for module in self.modules():
            for tensor in (*module._parameters.values(), *module._buffers.values()):
                if tensor is None:
                    continue
                converted = convert(tensor._data, module)
                if converted is tensor._data:
                    continue
                tensor._data = converted
                tensor._grad_slot = None  # it belongs to an optimizer's arena, which re-adopts the parameter
                if tensor._grad is not None:
                    tensor._grad = Tensor(convert(tensor._grad._data, module))
        return self

    def float(self) -> Self:
        """Converts floating-point parameters and buffers to float32."""
        return self.to(_C.float32)

    def double(self) -> Self:
        """Converts floating-point parameters and buffers to float64."""
        return self.to(_C.float64)

    def bfloat16(self) -> Self:
        """Converts floating-point parameters and buffers to bfloat16, but those of batch norms to float32."""
        return self.to(_C.bfloat16)

    def cpu(self) -> Self:
        """Moves everything to the CPU."""
        return self.to("cpu")

    def cuda(self, device: _C.device | str | int | None = None) -> Self:
        """Moves everything to a GPU, the first one unless given."""
        return self.to(as_device(device))

    # Modes ------------------------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Switches this module and all below it to training (or, with mode=False, evaluation) behaviour."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self) -> Self:
        """Evaluation behaviour: dropout off, batch norm on running statistics."""
        return self.train(False)

    def fuse(self, inplace: bool = False) -> Self:
        """A copy for inference whose layers do what the batch norms and ReLUs behind them do.

        Folded are the pairs that a module declares in its attribute `fusible`, as the networks of `fastcnn.models` do,
        and neighbours in a `Sequential`: a convolution or linear layer, the batch norm behind it, and a ReLU. What a
        batch norm did besides, adding a residual, stays one pass. Outputs agree within float32's rounding. In
        the copy's `state_dict` biases of the layers in front replace the keys of folded batch norms.

        Args:
            inplace: change this model instead, which then cannot be trained; the weights are never there twice.

        Returns:
            A copy, in evaluation mode, with weights of its own; this model where `inplace`.

        Raises:
            RuntimeError: the model, or a part of it, is in training mode.

        Example:
            >>> from fastcnn import nn
            >>> model = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU()).eval()
            >>> list(model.fuse().state_dict())
            ['0.weight', '0.bias']
        """
        from .fusion import fuse

        return fuse(self, inplace)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Sets `requires_grad` of every parameter."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets (or, with set_to_none=False, zeroes) the gradients of all parameters."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                _C.zero_(parameter.grad._data)

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Calls `fn(module)` on every module below this one, then on this one."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # Printing ---------------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What `repr` shows between the parentheses."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        lines = [
            f"({name}): " + repr(child).replace("\n", "\n  ")
            for name, child in self._modules.items()
            if child is not None
        ]
        extra = self.extra_repr()
        if not lines:
            return f"{self._get_name()}({extra})"
        return f"{self._get_name()}({extra}\n  " + "\n  ".join(lines) + "\n)"


def _copy_values(target: _C.Tensor, source: Any) -> None:
    raw = source._data if isinstance(source, Tensor) else source
    if isinstance(raw, _C.Tensor):
        if raw.dtype == target.dtype and raw.device == target.device:
            _C.copy_(target, _C.to_layout(raw, target.layout))
            return
        converted = Tensor(raw).to(target.device, target.dtype)._data
        _C.copy_(target, _C.to_layout(converted, target.layout))
        return
    from ..tensor import tensor

    _C.copy_(target, tensor(raw, dtype=target.dtype, device=target.device)._data)
