"""The walkers of the case tables: run one `Case` of one `Op` and compare, raising AssertionError with a useful message.

The test files parametrise over `cases(...)` and call one walker each; test_walkers.py plants errors in a made-up op to
show that every walker can fail.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

import fastcnn as fc
from fastcnn import _C, autograd, random
from tests.cases import Array, Case, ErrorCase, Op, all_ops, tolerance

SMALL_NUMEL = 200_000  # benchmark cases with larger arguments are not run as tests
SMALL_FLOPS = 50_000_000
PROBES = 12  # elements per argument whose gradient is checked one by one
STEP = 1e-6  # of the central differences

Arrays = dict[str, Any]  # arguments of a case: NumPy arrays where the table says Array


def is_small(op: Op, case: Case) -> bool:
    """Whether a case belongs into the tests; benchmark sizes do not."""
    numel = sum(int(np.prod(a.shape)) for a in leaves(case.args) if isinstance(a, Array))
    flops = op.flops(case) if case.bench and op.flops else 0
    return not case.bench or (numel <= SMALL_NUMEL and flops <= SMALL_FLOPS)


def cases(keep: Callable[[Op, Case], bool] = lambda op, case: True) -> list[Any]:
    """pytest parameters (op, case) of every small case that `keep` accepts."""
    import pytest  # here, because the benchmarks use this module without pytest

    return [
        pytest.param(op, case, id=f"{op.name}[{case.id}]")
        for op in all_ops()
        for case in op.cases
        if is_small(op, case) and keep(op, case)
    ]


def leaves(value: Any) -> Iterator[Any]:
    """The values inside nested dicts, tuples and lists."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def replace(value: Any, change: Callable[[Any], Any]) -> Any:
    """A copy of a nested value with `change` applied to every leaf."""
    if isinstance(value, Mapping):
        return {key: replace(item, change) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(replace(item, change) for item in value)
    return change(value)


def make_arrays(args: Mapping[str, Any], seed: int = 0) -> Arrays:
    """The arguments of a case with every `Array` drawn; the same values on every call."""
    rng = np.random.default_rng(seed)
    return replace(args, lambda leaf: np.asarray(leaf.make(rng)) if isinstance(leaf, Array) else leaf)


def to_tensors(arrays: Any, dtype: str, device: str = "cpu", float32_arguments: tuple[str, ...] = ()) -> Any:
    """NumPy arrays become fastcnn tensors, floating ones of `dtype`; everything else stays."""

    def convert(leaf: Any, kind: str = dtype) -> Any:
        if not isinstance(leaf, np.ndarray):
            return leaf
        if leaf.dtype.kind != "f":
            return fc.tensor(leaf, device=device)
        if kind == "bfloat16":
            return fc.tensor(leaf.astype(np.float32)).to(fc.bfloat16).to(device)
        return fc.tensor(leaf.astype(kind), device=device)

    tensors = replace(arrays, convert)
    if dtype == "bfloat16":
        for name in set(float32_arguments) & set(arrays):
            tensors[name] = replace(arrays[name], lambda leaf: convert(leaf, "float32"))
    return tensors


def rounded(arrays: Any, dtype: str, float32_arguments: tuple[str, ...] = ()) -> Any:
    """The arrays with the values that `to_tensors` keeps: bfloat16 has 8 bits of precision, rounded half to even."""
    if dtype != "bfloat16":
        return arrays

    def convert(leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray) or leaf.dtype.kind != "f":
            return leaf
        word = np.ascontiguousarray(leaf, np.float32).view(np.uint32)
        even = (word + 0x7FFF + ((word >> 16) & 1)) & np.uint32(0xFFFF0000)
        single = np.where(np.isfinite(leaf), even.view(np.float32), leaf.astype(np.float32))
        return single.astype(np.float64).reshape(leaf.shape)

    return {name: value if name in float32_arguments else replace(value, convert) for name, value in arrays.items()}


def as_outputs(result: Any) -> tuple[Any, ...]:
    """One output or several, as a tuple."""
    return tuple(result) if isinstance(result, tuple | list) else (result,)


def values(tensor: Any) -> np.ndarray:
    """A tensor's values as a NumPy array of its own memory; bfloat16 becomes float32."""
    tensor = tensor.detach().cpu()
    return np.array((tensor.float() if tensor.dtype == fc.bfloat16 else tensor).numpy())


def call(op: Op, arguments: Mapping[str, Any]) -> tuple[Any, ...]:
    """Runs the op from a fixed state of the random generator and checks that no argument was written to."""
    tensors = [leaf for leaf in leaves(arguments) if isinstance(leaf, fc.Tensor)]
    before = [values(t).tobytes() for t in tensors]
    random.manual_seed(7)
    outputs = as_outputs(op.run(**arguments))
    for tensor, old in zip(tensors, before, strict=True):
        assert values(tensor).tobytes() == old, f"{op.name}: wrote to its argument of shape {tensor.shape}"
    return outputs


def forward(op: Op, case: Case, dtype: str, device: str = "cpu", values_of: str = "float64") -> list[np.ndarray]:
    """Outputs of one call without gradients. The arguments have the values that `values_of` can hold."""
    arrays = rounded(make_arrays(case.args), values_of, op.float32_arguments)
    with fc.no_grad():
        return [values(out) for out in call(op, to_tensors(arrays, dtype, device, op.float32_arguments))]


def cotangents(outputs: tuple[Any, ...]) -> list[np.ndarray | None]:
    """A random cotangent per differentiable output; a constant one would hide permuted gradients."""
    rng = np.random.default_rng(1)
    draws = [rng.uniform(-1, 1, out.shape).astype(np.float32).astype(np.float64) for out in outputs]
    return [draw if out.requires_grad else None for draw, out in zip(draws, outputs, strict=True)]


def differentiable(op: Op, arguments: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """(name, leaf) of every argument that receives a gradient; items of a list argument are numbered."""
    found = []
    for name in op.differentiable:
        items = [leaf for leaf in leaves(arguments.get(name)) if hasattr(leaf, "shape")]
        found += [(name if len(items) == 1 else f"{name}[{i}]", item) for i, item in enumerate(items)]
    return found


def gradients(op: Op, case: Case, dtype: str, device: str = "cpu", values_of: str = "float64") -> dict[str, np.ndarray]:
    """Gradients of sum(output * cotangent) with respect to every differentiable argument."""
    arrays = rounded(make_arrays(case.args), values_of, op.float32_arguments)
    arguments = to_tensors(arrays, dtype, device, op.float32_arguments)
    wanted = differentiable(op, arguments)
    for _, leaf in wanted:
        leaf.requires_grad_(True)
    outputs = call(op, arguments)
    used = [(out, c) for out, c in zip(outputs, cotangents(outputs), strict=True) if c is not None]
    assert used, f"{op.name}: no output requires a gradient"
    seeds = rounded({"seeds": [c for _, c in used]}, values_of)["seeds"]
    grads = [fc.tensor(c.astype(np.float64)).to(out.dtype).to(device) for c, (out, _) in zip(seeds, used, strict=True)]
    autograd.backward([out for out, _ in used], grads)
    result = {}
    for name, leaf in wanted:
        assert leaf.grad is not None, f"{op.name}: no gradient for {name}"
        assert leaf.grad.shape == leaf.shape, f"{op.name}: gradient of {name} has shape {leaf.grad.shape}"
        assert leaf.grad.dtype == leaf.dtype, f"{op.name}: gradient of {name} is {leaf.grad.dtype}"
        result[name] = values(leaf.grad)
    return result


def magnitude(arrays: Any) -> float:
    """Largest finite absolute value of the floating arrays."""
    largest = 0.0
    for leaf in leaves(arrays):
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f":
            finite = np.abs(leaf[np.isfinite(leaf)])
            largest = max(largest, float(finite.max(initial=0.0)))
    return largest


def terms_of_gradient(case: Case) -> int:
    """Length of the longest sum behind one element of a gradient."""
    if case.terms_grad is not None:
        return case.terms_grad
    return max((int(np.prod(a.shape)) for a in leaves(case.args) if isinstance(a, Array)), default=1)


def assert_close(
    actual: np.ndarray, expected: np.ndarray, dtype: str, terms: int, operands: Any, what: str, exact: bool = False
) -> None:
    """Equality of shapes, of integers, of the places of NaN and Inf; floats within `tolerance`.

    One term: an element's error is relative to the element, or to the operands where it is smaller than they. A sum:
    its error is relative to the largest element, since the order of summation decides how much cancels.
    """
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    if expected.dtype.kind != "f" or exact:
        np.testing.assert_array_equal(actual, expected.astype(actual.dtype), err_msg=what)
        return
    assert actual.dtype.kind == "f", f"{what}: {actual.dtype}, expected a floating-point result"
    with np.errstate(over="ignore"):
        expected = expected.astype(np.float64 if dtype == "float64" else np.float32).astype(np.float64)
    actual = actual.astype(np.float64)
    for kind, test in (("NaN", np.isnan), ("Inf", np.isinf)):
        wrong = np.argwhere(test(actual) != test(expected))
        assert not wrong.size, f"{what}: {kind} differs at {tuple(wrong[0])} and {len(wrong) - 1} more places"
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[np.isinf(expected)], expected[np.isinf(expected)], err_msg=what)
    error = np.abs(actual[finite] - expected[finite])
    if not error.size:
        return
    size = magnitude(operands)
    if terms > 1:
        scale: Any = max(float(np.abs(expected[finite]).max()), size)
    else:
        scale = np.maximum(np.abs(expected[finite]), min(size, 1.0))
    allowed = tolerance(dtype, terms) * np.maximum(scale, 1e-3)
    worst = int(np.argmax(error - allowed))
    if np.any(error > allowed):
        place = tuple(int(i) for i in np.argwhere(finite)[worst])
        limit = float(np.broadcast_to(allowed, error.shape)[worst])
        raise AssertionError(
            f"{what}: {int(np.sum(error > allowed))} of {error.size} elements differ; at {place} got "
            f"{actual[place]!r}, expected {expected[place]!r} (error {error[worst]:.3g}, allowed {limit:.3g})"
        )


def check_reference(op: Op, case: Case) -> None:
    """float64 kernels against the NumPy reference of the table."""
    assert op.reference is not None
    arrays = make_arrays(case.args)
    with warnings.catch_warnings():  # NumPy warns about NaN, Inf and means of nothing, which are cases like others
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = as_outputs(op.reference(**arrays))
    actual = forward(op, case, "float64")
    assert len(actual) == len(expected), f"{op.name}: {len(actual)} outputs, the reference has {len(expected)}"
    for i, (got, want) in enumerate(zip(actual, expected, strict=True)):
        assert_close(got, np.asarray(want), "float64", case.terms, arrays, f"{op.name} output {i} vs NumPy", op.exact)


def check_float32(op: Op, case: Case, device: str) -> None:
    """float32 kernels of the active instruction set, or of a GPU, against the CPU's float64 ones."""
    check_dtype(op, case, device, "float32")


def check_dtype(op: Op, case: Case, device: str, dtype: str) -> None:
    """Outputs in `dtype` on `device` against the CPU's float64 ones for the same, representable, arguments."""
    arrays = make_arrays(case.args)
    expected = forward(op, case, "float64", values_of=dtype)
    actual = forward(op, case, dtype, device, values_of=dtype)
    assert len(actual) == len(expected), f"{op.name}: {len(actual)} outputs, float64 has {len(expected)}"
    if op.exact:  # up to the rounding of the result, and of numbers among the arguments
        expected = [rounded({"want": want}, dtype)["want"] for want in expected]
    for i, (got, want) in enumerate(zip(actual, expected, strict=True)):
        assert_close(got, want, dtype, case.terms, arrays, f"{op.name} output {i} {dtype} vs float64", op.exact)


def check_numeric_gradients(op: Op, case: Case) -> None:
    """Analytic float64 gradients against central differences, along single elements and one random direction."""
    analytic = gradients(op, case, "float64")
    arrays = make_arrays(case.args)
    with fc.no_grad():
        count = [out.size for out in forward(op, case, "float64")]
    rng = np.random.default_rng(2)

    def loss() -> float:
        with fc.no_grad():
            outputs = call(op, to_tensors(arrays, "float64"))
        draws = np.random.default_rng(1)
        total = 0.0
        for out in outputs:
            weights = draws.uniform(-1, 1, out.shape).astype(np.float32).astype(np.float64)
            if out.dtype == fc.float64:
                total += float(np.sum(values(out) * weights))
        return total

    size = max(magnitude(arrays), 1.0) * max(magnitude(list(analytic.values())), 1.0)
    noise = tolerance("float64", case.terms * max(sum(count), 1), max(size, abs(loss()))) / STEP
    for name, array in differentiable(op, arrays):
        gradient = analytic[name]
        directions = []
        for flat in rng.choice(array.size, min(PROBES, array.size), replace=False):
            single = np.zeros(array.size)
            single[flat] = 1.0
            directions.append((f"{name}{np.unravel_index(flat, array.shape)}", single.reshape(array.shape)))
        everywhere = rng.choice([-1.0, 1.0], array.shape)
        directions.append((f"{name} along a random direction", everywhere))
        original = array.copy()
        for label, direction in directions:
            array[...] = original + STEP * direction
            above = loss()
            array[...] = original - STEP * direction
            below = loss()
            array[...] = original
            numeric = (above - below) / (2 * STEP)
            expected = float(np.sum(gradient * direction))
            allowed = noise * max(1.0, float(np.abs(direction).sum()) ** 0.5) + 1e-6 * abs(numeric)
            assert abs(numeric - expected) <= allowed, (
                f"{op.name}: gradient of {label} is {expected!r}, central differences give {numeric!r} "
                f"(allowed {allowed:.2g})"
            )


def check_float32_gradients(op: Op, case: Case, device: str) -> None:
    """float32 gradients of the active instruction set, or of a GPU, against the CPU's float64 ones."""
    check_dtype_gradients(op, case, device, "float32")


def check_dtype_gradients(op: Op, case: Case, device: str, dtype: str) -> None:
    """Gradients in `dtype` on `device` against the CPU's float64 ones for the same, representable, arguments."""
    expected = gradients(op, case, "float64", values_of=dtype)
    actual = gradients(op, case, dtype, device, values_of=dtype)
    arrays = make_arrays(case.args)
    for name, want in expected.items():
        what = f"{op.name} gradient of {name}, {dtype} vs float64"
        assert_close(actual[name], want, dtype, terms_of_gradient(case), arrays, what)


def all_results(op: Op, case: Case, dtype: str, device: str) -> list[tuple[str, bytes]]:
    """Every output and gradient as bytes."""
    results = [(f"output {i}", out.tobytes()) for i, out in enumerate(forward(op, case, dtype, device))]
    if case.grad and op.differentiable:
        results += [(f"gradient of {k}", g.tobytes()) for k, g in gradients(op, case, dtype, device).items()]
    return results


def check_bitwise(op: Op, case: Case, device: str, dtype: str = "float32") -> None:
    """The same bits on a repeated run, with one, two and three threads, and in memory full of NaN."""
    threads = _C.num_threads()
    expected = all_results(op, case, dtype, device)

    def compare(how: str) -> None:
        for (what, want), (_, got) in zip(expected, all_results(op, case, dtype, device), strict=True):
            assert got == want, f"{op.name}: {what} differs bitwise {how}"

    try:
        compare("on a repeated run")
        for n in () if device == "cuda" else (1, 2, 3):
            _C.set_num_threads(n)
            compare(f"with {n} threads")
        _C.poison_allocations(True)
        compare("when fresh memory is full of NaN: something is read before it is written")
    finally:
        _C.poison_allocations(False)
        _C.set_num_threads(threads)


def check_torch(op: Op, case: Case) -> None:
    """float64 outputs and gradients against PyTorch's."""
    import torch

    assert op.torch is not None
    arrays = make_arrays(case.args)
    torch.manual_seed(0)

    arguments = replace(arrays, lambda leaf: torch.from_numpy(leaf.copy()) if isinstance(leaf, np.ndarray) else leaf)
    wanted = differentiable(op, arguments) if case.grad else []
    for _, leaf in wanted:
        leaf.requires_grad_(True)
    outputs = as_outputs(op.torch(**arguments))
    actual = forward(op, case, "float64")
    for i, (got, want) in enumerate(zip(actual, outputs, strict=True)):
        what = f"{op.name} output {i} vs torch"
        assert_close(got, want.detach().numpy(), "float64", case.terms, arrays, what, op.exact)
    if not wanted:
        return
    used = [(out, c) for out, c in zip(outputs, cotangents(outputs), strict=True) if c is not None]
    torch.autograd.backward([out for out, _ in used], [torch.from_numpy(c) for _, c in used])
    for (name, leaf), got in zip(wanted, gradients(op, case, "float64").values(), strict=True):
        want = leaf.grad.numpy() if leaf.grad is not None else np.zeros(leaf.shape)
        what = f"{op.name} gradient of {name} vs torch"
        assert_close(got, want, "float64", terms_of_gradient(case), arrays, what)


def check_error(op: Op, case: ErrorCase, device: str, dtype: str = "float32") -> None:
    """A misuse raises the right exception, names what the table says, and leaves the arguments as they were."""
    arguments = to_tensors(make_arrays(case.args), dtype, device)
    before = [values(leaf).tobytes() for leaf in leaves(arguments) if isinstance(leaf, fc.Tensor)]
    raised: Exception | None = None
    try:
        op.run(**arguments)
        if device == "cuda":  # where kernels check values, they report them to the next call that waits
            fc.cuda.synchronize()
    except Exception as error:
        raised = error
    assert raised is not None, f"{op.name}: {case.id} was accepted"
    assert type(raised) is case.exception, f"{op.name}: raised {type(raised).__name__}: {raised}"
    message = str(raised)
    words = case.words if device == "cpu" or case.words_on_cuda is None else case.words_on_cuda
    missing = [word for word in words if word not in message]
    assert not missing, f"{op.name}: the message lacks {missing}: {message}"
    after = [values(leaf).tobytes() for leaf in leaves(arguments) if isinstance(leaf, fc.Tensor)]
    assert before == after, f"{op.name}: {case.id} changed an argument"
