"""The methods and operators of `Tensor`, by theme: one-line forwards to the functions in `fastcnn.ops`.

`Tensor` inherits these classes. The functions need `Tensor` themselves, so their modules are bound once the package has
been imported: a method call then costs one global look-up.
"""

from __future__ import annotations

import importlib

from . import arithmetic, conversion, indexing, reduction, shape

_USERS = (arithmetic, conversion, indexing, reduction, shape)
_OPS = ("conversion", "elementwise", "indexing", "inplace", "joining", "linalg", "picking", "reduction", "shape")


def bind() -> None:
    """Gives the method modules the op modules they forward to; called once at the end of `import fastcnn`."""
    for name in _OPS:
        module = importlib.import_module(f"fastcnn.ops.{name}")
        for user in _USERS:
            if hasattr(user, f"{name}_ops"):
                setattr(user, f"{name}_ops", module)
