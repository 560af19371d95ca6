"""The methods and operators of `Tensor`, by theme: one-line forwards to the functions in `fastcnn.ops`.

`Tensor` inherits these classes. The functions need `Tensor` themselves, so each module of functions is imported when
one of its methods is first called; from then on a call costs one global look-up more.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any


class Deferred:
    """Stands for the module `fastcnn.ops.NAME` in the global NAME_ops of a module, until it is first used."""

    def __init__(self, user: str, name: str) -> None:
        self._user = user
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        module = importlib.import_module(f"fastcnn.ops.{self._name}")
        setattr(sys.modules[self._user], f"{self._name}_ops", module)
        return getattr(module, attribute)
