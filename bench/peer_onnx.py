"""Inference runtimes as peers of bench/models.py: ONNX Runtime and OpenVINO, on the folded PyTorch model as ONNX."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bench.models import TOLERANCE, Job, State, batch
from bench.peer_torch_models import fold_batch_norms, make_model
from bench.timing import Contender


def export(job: Job, state: State, path: Path) -> None:
    """Writes the model of an inference job with the weights of `state`, batch norms folded, for its batch size."""
    model = fold_batch_norms(make_model(job, state).eval())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own use of deprecated functions
        torch.onnx.export(model, (torch.from_numpy(batch(job)[0]),), path, verbose=False)


def onnxruntime_call(path: Path, x: np.ndarray, threads: int) -> Callable[[], np.ndarray]:
    """Inference with all graph optimizations."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (argument,) = session.get_inputs()
    # Bound once: no copies of the input, and outputs into memory that stays.
    binding = session.io_binding()
    binding.bind_cpu_input(argument.name, x)
    binding.bind_output(session.get_outputs()[0].name, "cpu")

    def run() -> np.ndarray:
        session.run_with_iobinding(binding)
        result: np.ndarray = binding.get_outputs()[0].numpy()
        return result

    return run


def openvino_call(path: Path, x: np.ndarray, threads: int) -> Callable[[], np.ndarray]:
    """Inference in float32, with its latency hint, which is the fastest for one request at a time."""
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    model = openvino.Core().compile_model(str(path), "CPU", settings)
    request = model.create_infer_request()
    request.set_input_tensor(openvino.Tensor(x, shared_memory=True))

    def run() -> np.ndarray:
        request.infer()
        result: np.ndarray = request.get_output_tensor().data
        return result

    return run


CALLS = {"onnxruntime": onnxruntime_call, "openvino": openvino_call}


def contenders(
    job: Job, state: State, runtimes: tuple[str, ...], threads: tuple[int, ...], expected: np.ndarray
) -> dict[str, list[Contender]]:
    """For each runtime one contender per number of threads, after a check of its logits.

    Raises:
        SystemExit: a runtime computes something else from the same weights, so that the comparison means nothing.
    """
    images = np.ascontiguousarray(batch(job)[0])
    found: dict[str, list[Contender]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export(job, state, path)
        for runtime in runtimes:
            for n in threads:
                call = CALLS[runtime](path, images, n)
                difference = float(np.abs(call() - expected).max())
                if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
                    raise SystemExit(f"{runtime}, {job.name}: the first result differs by {difference:.2g}")
                found.setdefault(runtime, []).append(Contender(f"{runtime} {n}t", call, threads=n))
    return found
