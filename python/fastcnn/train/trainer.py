"""`Trainer`: fit, evaluate and predict, with records, snapshots and checkpoints that resume bit-identically."""

from __future__ import annotations

import contextlib
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import _C, random
from ..autograd import no_grad
from ..capturing import CapturedFunction
from ..data import DataLoader
from ..nn import CrossEntropyLoss, Module
from ..optim import Optimizer
from ..recording import CaptureError
from ..serialization import model_state, save
from ..tensor import Tensor, bfloat16
from .checkpoint import load_checkpoint, save_checkpoint
from .metrics import Meter, plot_curve, versions, write_json, write_metrics
from .progress import Progress
from .run import Record, Run
from .signals import Interrupted, StopRequest

BEST, FINAL = "best.safetensors", "model.safetensors"
_REPORT_STEPS = 8  # results are read every so many steps, so that a GPU is not waited for at each
_AUXILIARY_WEIGHT = 0.3  # of the loss of auxiliary classifiers (Szegedy et al., CVPR 2015, section 5)


class Trainer:
    """Trains a model.

    Args:
        model: a module; moved to `device`, if that is given.
        optimizer: over the model's parameters.
        loss: `loss(output, target)` -> scalar mean over the batch; cross-entropy by default. Where a model returns a
            tuple in training, the first is the output and the losses of the others, auxiliary ones, weigh 0.3.
        scheduler: a learning-rate scheduler, stepped after every `schedule_every`.
        schedule_every: "epoch" or "step".
        device: where to train; by default where the model's first parameter is. Batches are moved there.
        precision: "float32", or "bf16": parameters and activations in bfloat16 with float32 masters in the optimizer;
            batch norms, their statistics and the loss stay in float32. See `docs/precision.md`.
        about: JSON-serialisable facts stored in every file that `fit` writes, e.g. class names.
        capture: replay the training step with `fastcnn.capture`. A step that cannot be captured (it reads values in
            Python) is trained without, after a warning.

    Raises:
        ValueError: `schedule_every` or `precision` is neither of its values.

    Example:
        >>> import numpy as np
        >>> from fastcnn import nn, optim
        >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
        >>> model = nn.Linear(2, 2)
        >>> trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.5))
        >>> history = trainer.fit((x, (x[:, 0] > 0).astype(int)), epochs=5, batch_size=8, progress=False)
        >>> history[-1]["train_loss"] < history[0]["train_loss"]
        True
    """

    def __init__(
        self,
        model: Module,
        optimizer: Any,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        *,
        scheduler: Any = None,
        schedule_every: str = "epoch",
        device: _C.device | str | None = None,
        precision: str = "float32",
        about: Mapping[str, Any] | None = None,
        capture: bool = True,
    ) -> None:
        if schedule_every not in ("epoch", "step"):
            raise ValueError(f"Trainer: schedule_every is {schedule_every!r}, but 'epoch' or 'step' is expected")
        if precision not in ("float32", "bf16"):
            raise ValueError(f"Trainer: precision is {precision!r}, but 'float32' or 'bf16' is expected")
        self.model = model if device is None else model.to(device)
        self.precision = precision
        if precision == "bf16":
            model.to(bfloat16)
            if isinstance(optimizer, Optimizer):
                optimizer.follow_parameters()
        self.optimizer = optimizer
        self.loss = loss if loss is not None else CrossEntropyLoss()
        self.scheduler = scheduler
        self.schedule_every = schedule_every
        first = next(model.parameters(), None)
        self.device = first.device if device is None and first is not None else _C.device(device or "cpu")
        self.about = dict(about or {})
        self.history: list[Record] = []
        self.summary: Record = {}
        self._stop = StopRequest()
        self._captured = CapturedFunction(self._step, warmup=1) if capture else None

    # Training ---------------------------------------------------------------------------------------------------

    def fit(
        self,
        train: Any,
        val: Any = None,
        *,
        test: Any = None,
        epochs: int,
        batch_size: int = 64,
        seed: int = 0,
        out: str | os.PathLike[str] | None = None,
        resume: bool | str | os.PathLike[str] = False,
        checkpoint_every: int | None = None,
        patience: int | None = None,
        restore_best: bool = False,
        callbacks: Sequence[Callable[[Trainer, Record], bool | None]] = (),
        progress: bool = True,
    ) -> list[Record]:
        """Trains for `epochs` epochs.

        With `out`, the folder receives checkpoint.safetensors (after every epoch and every `checkpoint_every` steps),
        metrics.jsonl, metrics.csv, best.safetensors (the weights with the best validation result), and at the end
        model.safetensors, summary.json and curve.png. Ctrl-C or SIGTERM ends the current step, writes a checkpoint and
        raises; `resume=True` continues with the next step, as if nothing had happened.

        Args:
            train: training data: a `DataLoader`, or whatever one accepts (then shuffled, in batches of `batch_size`).
            val: validation data; decides about the best weights and early stopping.
            test: test data; evaluated for the record only.
            epochs: passes over `train` in total, including those before a resumption.
            batch_size: for data that is not a `DataLoader` already.
            seed: of the shuffling of data that is not a `DataLoader` already.
            out: folder for results, created if missing.
            resume: True continues from `out`'s checkpoint if there is one; a path continues from that file.
            checkpoint_every: steps between checkpoints within an epoch.
            patience: stop when `val` has not improved for this many epochs.
            restore_best: leave the model with the best validation weights instead of the last ones.
            callbacks: called as `callback(trainer, record)` after every epoch; a true result stops the training.
            progress: whether to report on stderr.

        Returns:
            One record per epoch: epoch, steps, lr, train_loss, train_accuracy, val_..., test_..., images_per_second,
            seconds.

        Raises:
            Interrupted: stopped by a signal (a KeyboardInterrupt); the checkpoint is written.
            ValueError: arguments that contradict each other, an empty training set, or a checkpoint that does not fit.
            FileNotFoundError: `resume` names a missing file.
            FloatingPointError: the loss became NaN or infinite.
        """
        if epochs < 1:
            raise ValueError(f"fit: epochs is {epochs}, but at least 1 is expected")
        if (patience is not None or restore_best) and val is None:
            raise ValueError("fit: patience and restore_best need validation data (val=...)")
        if out is None and (resume is True or checkpoint_every is not None):
            raise ValueError("fit: resume=True and checkpoint_every need a folder (out=...)")
        loader = as_loader(train, batch_size, shuffle=True, seed=seed)
        if not len(loader):
            raise ValueError(
                f"fit: the training set gives no batch ({loader.num_samples} samples, batch_size {loader.batch_size})"
            )
        run = Run(None if out is None else Path(out), loader, epochs, checkpoint_every, progress)
        self.history = run.history
        source = run.checkpoint if resume is True else Path(resume) if resume else None
        if source is not None and (resume is not True or source.is_file()):
            self._restore(run, source)
        if run.out is not None:
            run.out.mkdir(parents=True, exist_ok=True)
            write_metrics(run.out, run.history)  # drops what came after the checkpoint
        with StopRequest() as self._stop:
            try:
                while run.epoch < epochs and not run.finished:
                    self._train_epoch(run)
                    self._finish_epoch(run, val, test, patience, callbacks)
            except Interrupted:
                run.progress.close()
                raise Interrupted(self._save_interrupted(run)) from None
        self._finish(run, test, restore_best)
        return run.history

    def _train_epoch(self, run: Run) -> None:
        self.model.train()
        steps = len(run.loader)
        run.progress = Progress(f"epoch {run.epoch + 1}/{run.epochs}", steps, run.step, run.images, run.show)
        if run.step == steps:  # stopped between the last step and the evaluation
            return
        start = time.perf_counter()
        for x, y in run.loader:
            loss, output = self._train_step(x, y)
            run.meter.add(loss, output, y)
            run.step += 1
            run.images += x.shape[0]
            if run.step % _REPORT_STEPS == 0:
                self._check_loss(run)
                run.progress.update(run.step, run.images, run.meter.loss, run.meter.accuracy)
            stop = self._stop.received is not None
            if stop or (run.checkpoint_every and run.step % run.checkpoint_every == 0):
                run.epoch_seconds += time.perf_counter() - start
                if stop:
                    raise Interrupted
                self._save(run)
                start = time.perf_counter()
        run.epoch_seconds += time.perf_counter() - start

    def _check_loss(self, run: Run) -> None:
        run.meter.flush()
        if not math.isfinite(run.meter.loss):
            run.progress.close()
            raise FloatingPointError(
                f"fit: the loss is {run.meter.loss} at step {run.step} of epoch {run.epoch + 1}; try a smaller "
                f"learning rate (now {self.optimizer.param_groups[0]['lr']:g}), and check that the inputs are finite "
                "and normalised"
            )

    def _train_step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if self.device.type != "cpu":
            x, y = x.to(self.device), y.to(self.device)
        if self._captured is None:
            return self._step(x, y)
        try:
            # What the recording cannot see is part of its key.
            loss, output = self._captured(x, y, id(self.loss), self.model.training)
        except CaptureError as error:
            self._captured = None
            warnings.warn(f"Trainer: the training step is not captured: {error}", UserWarning, stacklevel=2)
            return self._step(x, y)
        return loss.clone(), output.clone()  # the next step overwrites them

    def _output(self, x: Tensor) -> Any:
        """The model's output or outputs, in float32."""
        if self.precision == "float32":
            return self.model(x)
        output = self.model(x.bfloat16() if x.is_floating_point() else x)
        return tuple([part.float() for part in output]) if isinstance(output, tuple) else output.float()

    def _step(self, x: Tensor, y: Tensor, *_key: Any) -> tuple[Tensor, Tensor]:
        output = self._output(x)
        auxiliary: Sequence[Tensor] = ()
        if isinstance(output, tuple):
            output, *auxiliary = output
        loss = self.loss(output, y)
        for scores in auxiliary:
            loss = loss + self.loss(scores, y) * _AUXILIARY_WEIGHT
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.scheduler is not None and self.schedule_every == "step":
            self.scheduler.step()
        return loss, output

    def _finish_epoch(
        self,
        run: Run,
        val: Any,
        test: Any,
        patience: int | None,
        callbacks: Sequence[Callable[[Trainer, Record], bool | None]],
    ) -> None:
        record: Record = {"epoch": run.epoch + 1, "steps": run.step, "lr": self.optimizer.param_groups[0]["lr"]}
        self._check_loss(run)
        record.update(run.meter.result("train_"))
        for part, data in (("val", val), ("test", test)):
            if data is not None:
                result = self._evaluate(as_loader(data, max(256, run.loader.batch_size)))
                record.update({f"{part}_{key}": value for key, value in result.items()})
        record["images_per_second"] = run.images / max(run.epoch_seconds, 1e-9)
        record["seconds"] = run.epoch_seconds
        run.history.append(record)
        if val is not None:
            self._keep_best(run, record)
        if self.scheduler is not None and self.schedule_every == "epoch":
            self.scheduler.step()
        stop = [bool(callback(self, record)) for callback in callbacks]
        run.finished = any(stop) or (patience is not None and run.epoch + 1 - run.best_epoch >= patience)
        run.start_epoch(run.epoch + 1)
        run.progress.close(record, record["seconds"] * (run.epochs - run.epoch))
        if run.out is not None:
            write_metrics(run.out, run.history)
            self._save(run)

    def _keep_best(self, run: Run, record: Record) -> None:
        score = record.get("val_accuracy", -record["val_loss"])
        if run.best_score is not None and score <= run.best_score:
            return
        run.best_score, run.best_epoch = score, record["epoch"]
        if run.out is not None:
            save(self.model, run.out / BEST, {"kind": "model", **self.about})
        else:
            run.best_state = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}

    def _finish(self, run: Run, test: Any, restore_best: bool) -> None:
        if restore_best and run.best_epoch:
            self.model.load_state_dict(run.best_state if run.out is None else model_state(run.out / BEST))
        last = run.history[-1]
        summary: Record = {key: value for key, value in last.items() if key.startswith(("train_", "val_", "test_"))}
        if restore_best and test is not None and run.best_epoch != last["epoch"]:
            summary |= {f"test_{key}": value for key, value in self._evaluate(as_loader(test, 256)).items()}
        seconds = sum(record["seconds"] for record in run.history)
        images = sum(record["seconds"] * record["images_per_second"] for record in run.history)
        summary |= {
            "epochs": len(run.history),
            "steps": sum(record["steps"] for record in run.history),
            "train_seconds": run.elapsed,
            "step_seconds": seconds,
            "images_per_second": images / max(seconds, 1e-9),
        }
        if run.best_epoch:
            summary |= {"best_epoch": run.best_epoch, "restored_best": restore_best}
        self.summary = {
            **summary,
            "configuration": {**self.about, "batch_size": run.loader.batch_size, "precision": self.precision},
            "versions": versions(),
        }
        if run.out is None:
            return
        save(self.model, run.out / FINAL, {"kind": "model", **self.about})
        missing = plot_curve(run.out / "curve.png", run.history)
        if missing:
            self.summary["notes"] = [missing]
        write_json(run.out / "summary.json", self.summary)

    # Checkpoints ------------------------------------------------------------------------------------------------

    def _save(self, run: Run) -> None:
        assert run.checkpoint is not None
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "loader": run.loader.state_dict(),
            "random": random.all_states(),
            "run": run.state_dict(),
            "precision": self.precision,
        }
        save_checkpoint(run.checkpoint, state, self.about)

    def _restore(self, run: Run, source: Path) -> None:
        state, _ = load_checkpoint(source)
        if (state["scheduler"] is None) != (self.scheduler is None):
            has, had = ("no", "one") if self.scheduler is None else ("a", "none")
            raise ValueError(f"resume: the trainer has {has} scheduler, but the run in {source} had {had}")
        precision = state.get("precision", "float32")
        if precision != self.precision:
            raise ValueError(
                f"resume: the trainer's precision is {self.precision}, but the run in {source} had {precision}"
            )
        run.loader.load_state_dict(state["loader"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        random.set_all_states(state["random"])
        run.load_state_dict(state["run"])

    def _save_interrupted(self, run: Run) -> str:
        where = f"stopped in epoch {run.epoch + 1} after step {run.step} of {len(run.loader)}"
        if run.checkpoint is None:
            return where
        self._save(run)
        return f"{where}; saved to {run.checkpoint}"

    # Evaluation -------------------------------------------------------------------------------------------------

    def evaluate(self, data: Any, batch_size: int = 256) -> dict[str, float]:
        """Mean loss and, for class indices, accuracy over `data`, in eval mode.

        Args:
            data: a `DataLoader` or whatever one accepts.
            batch_size: for data that is not a `DataLoader` already.

        Returns:
            {"loss": ..., "accuracy": ...}.

        Raises:
            ValueError: `data` is empty.
        """
        self._stop = StopRequest()
        return self._evaluate(as_loader(data, batch_size))

    def _evaluate(self, loader: DataLoader) -> dict[str, float]:
        meter = Meter()
        with self._eval_mode():
            for x, y in self._batches(loader):
                output = self._output(x)
                meter.add(self.loss(output, y), output, y)
        result = meter.result()
        if not meter.samples:
            raise ValueError("evaluate: there are no samples")
        return result

    def predict(self, data: Any, batch_size: int = 256) -> np.ndarray[Any, Any]:
        """The model's outputs for `data`, in eval mode; for a classifier the scores before the soft-max.

        Args:
            data: a `DataLoader`, whatever one accepts, or an array of inputs alone.
            batch_size: for data that is not a `DataLoader` already.

        Returns:
            The outputs of all samples, concatenated; for a classifier (N, classes).

        Raises:
            ValueError: `data` is empty.
        """
        if isinstance(data, np.ndarray | Tensor):
            data = (data,)
        self._stop = StopRequest()
        loader = as_loader(data, batch_size)
        with self._eval_mode():
            outputs = [self._output(batch[0]) for batch in self._batches(loader)]
        if not outputs:
            raise ValueError("predict: there are no samples")
        return np.concatenate([(o if o.device.type == "cpu" else o.cpu()).numpy() for o in outputs])

    @contextlib.contextmanager
    def _eval_mode(self) -> Iterator[None]:
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        try:
            with no_grad():
                yield
        finally:
            for module, training in modes:
                module.training = training

    def _batches(self, loader: DataLoader) -> Iterator[Any]:
        for batch in loader:
            if self._stop.received is not None:
                raise Interrupted
            yield batch if self.device.type == "cpu" else tuple(part.to(self.device) for part in batch)


def as_loader(data: Any, batch_size: int, shuffle: bool = False, seed: int = 0) -> DataLoader:
    """`data` if it is a `DataLoader`, else one over it."""
    return data if isinstance(data, DataLoader) else DataLoader(data, batch_size, shuffle, seed=seed)
