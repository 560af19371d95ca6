"""Trainer: learning, records, snapshots, early stopping, interruption, and resuming bit by bit."""

from __future__ import annotations

import csv
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import nn, optim
from fastcnn.data import DataLoader
from fastcnn.train import Interrupted, Trainer, progress
from fastcnn.train.recipes import OPTIMIZERS, SCHEDULES, make_optimizer, make_scheduler
from tests.small_data import small_net, stripes

TRAIN, VAL, TEST = stripes(96), stripes(48, seed=1), stripes(48, seed=2)


def make_trainer(seed: int = 0, optimizer: str = "adam", lr: float = 0.01, steps: int = 18, **more: Any) -> Trainer:
    fc.manual_seed(seed)
    model = small_net()
    chosen = make_optimizer(optimizer, model.parameters(), lr)
    return Trainer(model, chosen, scheduler=make_scheduler("cosine", chosen, steps), schedule_every="step", **more)


def weights(trainer: Trainer) -> bytes:
    return b"".join(np.ascontiguousarray(t.numpy()).tobytes() for t in trainer.model.state_dict().values())


FIT: dict[str, Any] = {"epochs": 3, "batch_size": 16, "progress": False}


def stop_after(steps: int) -> Any:
    """A loss that asks the process to stop (as Ctrl-C does) in its nth call."""
    loss = nn.CrossEntropyLoss()
    calls = 0

    def stopping(output: Any, target: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == steps:
            os.kill(os.getpid(), signal.SIGINT)
        return loss(output, target)

    return stopping


# Learning and records -----------------------------------------------------------------------------------------


def test_fit_learns_and_records(tmp_path: Path) -> None:
    trainer = make_trainer(about={"note": "x"})
    seen = []
    history = trainer.fit(
        TRAIN, VAL, test=TEST, out=tmp_path / "run", callbacks=[lambda t, r: seen.append((t, r["epoch"]))], **FIT
    )
    assert [record["epoch"] for record in history] == [1, 2, 3]
    assert seen == [(trainer, 1), (trainer, 2), (trainer, 3)]
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert history[-1]["val_accuracy"] > 0.8
    assert history[0]["steps"] == 6
    assert history[0]["lr"] > history[1]["lr"] > history[2]["lr"]

    files = {path.name for path in (tmp_path / "run").iterdir()}
    expected = {"checkpoint", "best", "model"}
    assert files >= {f"{name}.safetensors" for name in expected} | {"metrics.jsonl", "metrics.csv", "summary.json"}
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == history
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["val_loss"]) for row in rows] == [record["val_loss"] for record in history]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["test_accuracy"] == history[-1]["test_accuracy"]
    assert summary["steps"] == 18
    assert summary["train_seconds"] >= summary["step_seconds"] > 0
    assert summary["images_per_second"] > 0
    assert summary["versions"]["fastcnn"] == fc.__version__
    assert summary["configuration"]["note"] == "x"
    stored = fc.load(tmp_path / "run" / "model.safetensors")
    assert all(np.array_equal(stored[k].numpy(), v.numpy()) for k, v in trainer.model.state_dict().items())


def test_training_curve_is_a_picture_or_says_why_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: no training curve")
    trainer = make_trainer()
    trainer.fit(TRAIN, VAL, out=tmp_path / "a", **FIT | {"epochs": 1})
    assert (tmp_path / "a" / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert "notes" not in trainer.summary
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    trainer.fit(TRAIN, out=tmp_path / "b", **FIT | {"epochs": 1})
    assert not (tmp_path / "b" / "curve.png").exists()
    assert "pip install 'fastcnn[plots]'" in trainer.summary["notes"][0]


def test_trainer_equals_the_plain_loop() -> None:
    """Lecture row M3: the loop written out gives the same weights."""
    trainer = make_trainer()
    trainer.fit(TRAIN, **FIT)
    fc.manual_seed(0)
    model = small_net()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    scheduler = make_scheduler("cosine", optimizer, 18)
    assert scheduler is not None
    loader = DataLoader(TRAIN, 16, shuffle=True)
    for _ in range(3):
        for x, y in loader:
            optimizer.zero_grad()
            nn.CrossEntropyLoss()(model(x), y).backward()
            optimizer.step()
            scheduler.step()
    plain = Trainer(model, optimizer)
    assert weights(plain) == weights(trainer)


def test_auxiliary_outputs_add_to_the_loss() -> None:
    """A tuple in training: the first counts fully and for the accuracy, the others with 0.3 (GoogLeNet's weight)."""

    class WithHelp(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flatten = nn.Flatten()
            self.main, self.help = nn.Linear(64, 3), nn.Linear(64, 3)

        def forward(self, input: Any) -> Any:
            flat = self.flatten(input)
            return (self.main(flat), self.help(flat)) if self.training else self.main(flat)

    model = WithHelp()
    trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.0))
    x, y = next(iter(DataLoader(TRAIN, batch_size=8)))
    first, second = model(x)
    loss = nn.CrossEntropyLoss()
    expected = loss(first, y).item() + 0.3 * loss(second, y).item()
    found, output = trainer._train_step(x, y)
    assert found.item() == pytest.approx(expected, rel=1e-6)
    np.testing.assert_array_equal(output.detach().numpy(), first.detach().numpy())
    trainer.optimizer.param_groups[0]["lr"] = 0.05
    history = trainer.fit(TRAIN, VAL, **FIT)
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert history[-1]["val_accuracy"] > 1 / 3


def test_same_seed_same_bits_for_any_number_of_threads() -> None:
    results = []
    for threads in (1, 2):
        fc.set_num_threads(threads)
        trainer = make_trainer()
        trainer.fit(TRAIN, **FIT)
        results.append(weights(trainer))
    assert results[0] == results[1]
    trainer = make_trainer(seed=1)
    trainer.fit(TRAIN, **FIT)
    assert weights(trainer) != results[0]


def test_fit_without_accuracy_for_regression() -> None:
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    y = x.sum(axis=1, keepdims=True)
    fc.manual_seed(0)
    model = nn.Linear(3, 1)
    trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.1), nn.MSELoss())
    history = trainer.fit((x, y), (x, y), epochs=20, batch_size=10, progress=False)
    assert set(history[0]) & {"train_accuracy", "val_accuracy"} == set()
    assert history[-1]["val_loss"] < 1e-3
    np.testing.assert_allclose(trainer.predict(x), y, atol=0.1)
    np.testing.assert_allclose(trainer.predict(fc.tensor(x), batch_size=7), trainer.predict(x), atol=1e-6)


def test_evaluate_and_predict_restore_modes_and_agree() -> None:
    trainer = make_trainer()
    trainer.model.train()
    trainer.model[1].eval()  # type: ignore[index]
    result = trainer.evaluate(TEST)
    scores = trainer.predict(TEST, batch_size=10)
    assert scores.shape == (48, 3)
    assert result["accuracy"] == np.mean(scores.argmax(1) == TEST.labels)
    assert trainer.model.training
    assert not trainer.model[1].training  # type: ignore[index]
    assert fc.is_grad_enabled()
    with pytest.raises(ValueError, match="channel"):
        trainer.evaluate((np.zeros((4, 3, 8, 8), np.uint8), np.zeros(4, int)))
    assert fc.is_grad_enabled()
    assert trainer.model.training


def test_epoch_schedule_steps_after_every_epoch() -> None:
    model = small_net()
    optimizer = optim.SGD(model.parameters(), lr=1e-3)
    trainer = Trainer(model, optimizer, scheduler=optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.1))
    history = trainer.fit(TRAIN, **FIT)
    np.testing.assert_allclose([record["lr"] for record in history], [1e-3, 1e-4, 1e-5])


# Best weights and early stopping ------------------------------------------------------------------------------


class Validation:
    """Validation results in a given order: a stand-in for `_evaluate`."""

    def __init__(self, accuracies: list[float]) -> None:
        self.accuracies = accuracies
        self.weights: list[bytes] = []

    def attach(self, trainer: Trainer) -> Trainer:
        def evaluate(loader: DataLoader) -> dict[str, float]:
            self.weights.append(weights(trainer))
            return {"loss": 1.0, "accuracy": self.accuracies[len(self.weights) - 1]}

        trainer._evaluate = evaluate  # type: ignore[method-assign]
        return trainer


@pytest.mark.parametrize("folder", [True, False])
def test_best_weights_are_kept_and_restored(tmp_path: Path, folder: bool) -> None:
    """Lecture row M5: the snapshot with the best validation accuracy survives the epochs after it."""
    validation = Validation([0.5, 0.9, 0.9, 0.6])
    trainer = validation.attach(make_trainer())
    trainer.fit(TRAIN, VAL, restore_best=True, out=tmp_path if folder else None, **FIT | {"epochs": 4})
    assert weights(trainer) == validation.weights[1]  # the first of equals
    assert weights(trainer) != validation.weights[3]
    assert trainer.summary["best_epoch"] == 2


def test_patience_stops_early(tmp_path: Path) -> None:
    trainer = Validation([0.5, 0.6, 0.55, 0.6, 0.9]).attach(make_trainer())
    assert len(trainer.fit(TRAIN, VAL, patience=2, out=tmp_path, **FIT | {"epochs": 5})) == 4
    again = Validation([]).attach(make_trainer())
    assert len(again.fit(TRAIN, VAL, patience=2, out=tmp_path, resume=True, **FIT | {"epochs": 5})) == 4


def test_restored_best_weights_are_tested_again() -> None:
    calls = Validation([0.9, 0.1, 0.5, 0.2, 0.3])  # val, test, val, test, test of the restored weights
    trainer = calls.attach(make_trainer())
    trainer.fit(TRAIN, VAL, test=TEST, restore_best=True, **FIT | {"epochs": 2})
    assert trainer.summary["test_accuracy"] == 0.3


def test_a_callback_can_stop() -> None:
    assert len(make_trainer().fit(TRAIN, callbacks=[lambda trainer, record: record["epoch"] == 2], **FIT)) == 2


# Resuming -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_resume_after_an_epoch_is_bit_identical(tmp_path: Path, optimizer: str) -> None:
    whole = make_trainer(optimizer=optimizer)
    whole.fit(TRAIN, VAL, out=tmp_path / "whole", **FIT)
    first = make_trainer(optimizer=optimizer)
    first.fit(TRAIN, VAL, out=tmp_path / "parts", **FIT | {"epochs": 1})
    fc.manual_seed(99)  # whatever happens between the parts
    second = make_trainer(optimizer=optimizer, seed=5)
    history = second.fit(TRAIN, VAL, out=tmp_path / "parts", resume=True, **FIT)
    assert weights(second) == weights(whole)
    for a, b in zip(history, whole.history, strict=True):
        assert {k: v for k, v in a.items() if "second" not in k} == {k: v for k, v in b.items() if "second" not in k}
    for name in ("model.safetensors", "best.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


@pytest.mark.parametrize("stop", [1, 5, 6, 7, 12, 17])
def test_interrupted_run_resumes_bit_identically(tmp_path: Path, stop: int) -> None:
    whole = make_trainer()
    whole.fit(TRAIN, VAL, **FIT)
    stopped = make_trainer(capture=False)
    # the loss is also called in evaluations: 3 batches' worth after 6 steps, one evaluation batch per epoch
    stopped.loss = stop_after(stop)
    with pytest.raises(Interrupted, match=r"stopped in epoch . after step . of 6; saved to .*checkpoint\.safetensors"):
        stopped.fit(TRAIN, VAL, out=tmp_path, **FIT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed = make_trainer(seed=3)
    history = resumed.fit(TRAIN, VAL, out=tmp_path, resume=True, **FIT)
    assert weights(resumed) == weights(whole)
    assert [r["train_loss"] for r in history] == [r["train_loss"] for r in whole.history]
    assert [r["val_accuracy"] for r in history] == [r["val_accuracy"] for r in whole.history]


def test_checkpoints_in_mid_epoch_do_not_change_the_result(tmp_path: Path) -> None:
    whole = make_trainer()
    whole.fit(TRAIN, **FIT)
    written = make_trainer()
    written.fit(TRAIN, out=tmp_path, checkpoint_every=2, **FIT)
    assert weights(written) == weights(whole)


def test_every_state_matters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaving any part of the state out of the checkpoint changes the weights: the resume tests can fail."""
    whole = make_trainer()
    whole.fit(TRAIN, **FIT)
    stopped = make_trainer(capture=False)
    stopped.loss = stop_after(8)
    with pytest.raises(Interrupted):
        stopped.fit(TRAIN, out=tmp_path, **FIT)
    from fastcnn.train import load_checkpoint, trainer

    for part in ("model", "optimizer", "scheduler", "loader", "random"):

        def without(path: Any, part: str = part) -> Any:
            state, about = load_checkpoint(path)
            fresh = make_trainer(seed=3)
            state[part] = {
                "model": fresh.model.state_dict(),
                "optimizer": fresh.optimizer.state_dict(),
                "scheduler": fresh.scheduler.state_dict(),
                "loader": state["loader"] | {"epoch": 0, "batch": 0},
                "random": fc.random.all_states(),
            }[part]
            return state, about

        monkeypatch.setattr(trainer, "load_checkpoint", without)
        resumed = make_trainer(seed=3)
        resumed.fit(TRAIN, resume=tmp_path / "checkpoint.safetensors", **FIT)
        assert weights(resumed) != weights(whole), part


def test_resume_starts_a_run_that_has_no_checkpoint(tmp_path: Path) -> None:
    assert len(make_trainer().fit(TRAIN, out=tmp_path / "new", resume=True, **FIT)) == 3
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        make_trainer().fit(TRAIN, resume=tmp_path / "none.safetensors", **FIT)


def test_resume_of_a_finished_run_only_reports(tmp_path: Path) -> None:
    trainer = make_trainer()
    trainer.fit(TRAIN, out=tmp_path, **FIT)
    again = make_trainer(seed=4)
    assert len(again.fit(TRAIN, out=tmp_path, resume=True, **FIT)) == 3
    assert weights(again) == weights(trainer)


def test_resume_refuses_another_run(tmp_path: Path) -> None:
    make_trainer().fit(TRAIN, out=tmp_path, **FIT)
    with pytest.raises(ValueError, match="batch_size is 8, was 16"):
        make_trainer().fit(TRAIN, out=tmp_path, resume=True, **FIT | {"batch_size": 8})
    unscheduled = make_trainer()
    unscheduled.scheduler = None
    with pytest.raises(ValueError, match="has no scheduler"):
        unscheduled.fit(TRAIN, out=tmp_path, resume=True, **FIT)
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    optimizer = optim.SGD(other.parameters(), lr=0.1)
    trainer = Trainer(other, optimizer, scheduler=make_scheduler("cosine", optimizer, 9))
    with pytest.raises(ValueError, match="unexpected keys"):
        trainer.fit(TRAIN, out=tmp_path, resume=True, **FIT)


# Interruption -------------------------------------------------------------------------------------------------


def test_interruption_without_a_folder_says_where(capsys: pytest.CaptureFixture[str]) -> None:
    trainer = make_trainer()
    trainer.loss = stop_after(2)
    with pytest.raises(Interrupted, match=r"stopped in epoch 1 after step 2 of 6$"):
        trainer.fit(TRAIN, **FIT)
    assert "press Ctrl-C again" in capsys.readouterr().err


def test_a_second_ctrl_c_interrupts_at_once() -> None:
    trainer = make_trainer()
    loss = trainer.loss

    def impatient(output: Any, target: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        return loss(output, target)

    trainer.loss = impatient
    with pytest.raises(KeyboardInterrupt) as error:
        trainer.fit(TRAIN, **FIT)
    assert not isinstance(error.value, Interrupted)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_fit_works_outside_the_main_thread() -> None:
    trainer = make_trainer()
    thread = threading.Thread(target=trainer.fit, args=(TRAIN,), kwargs=FIT)
    thread.start()
    thread.join()
    assert len(trainer.history) == 3


# Errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"patience": 2}, "need validation data"),
        ({"restore_best": True}, "need validation data"),
        ({"resume": True}, "need a folder"),
        ({"checkpoint_every": 3}, "need a folder"),
        ({"train": (np.zeros((0, 1, 8, 8), np.uint8), np.zeros(0, int))}, "no batch (0 samples"),
    ],
)
def test_fit_rejects(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as error:
        make_trainer().fit(**{"train": TRAIN, **FIT, **arguments})
    assert words in str(error.value)


def test_empty_data_cannot_be_evaluated_or_predicted() -> None:
    empty = (np.zeros((0, 1, 8, 8), np.uint8), np.zeros(0, int))
    for method in (make_trainer().evaluate, make_trainer().predict):
        with pytest.raises(ValueError, match="no samples"):
            method(empty)
    with pytest.raises(ValueError, match="'epoch' or 'step'"):
        Trainer(small_net(), None, schedule_every="batch")


def test_divergence_is_an_error_that_helps() -> None:
    trainer = make_trainer(optimizer="sgd", lr=1e30)
    with pytest.raises(FloatingPointError, match=r"loss is (nan|inf).*smaller learning rate"):
        trainer.fit(TRAIN, **FIT)


# Progress -----------------------------------------------------------------------------------------------------


def test_progress_prints_one_plain_line_per_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    make_trainer().fit(TRAIN, VAL, test=TEST, **FIT | {"progress": True})
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("epoch 1/3  loss ")
    for word in ("accuracy", "val accuracy", "test accuracy", "images/s", "left"):
        assert word in lines[0]
    assert "left" not in lines[2]


def test_progress_of_a_long_epoch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now)
    line = progress.Progress("epoch 1/2", 100, done=10, images=640)
    for step in range(11, 101):
        now += 1.0
        line.update(step, 64 * step, 0.5, None)
    line.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "epoch 1/2  step 40/100  loss 0.5000  64 images/s  1:00 left",
        "epoch 1/2  step 70/100  loss 0.5000  64 images/s  30 s left",
        "epoch 1/2  step 100/100  loss 0.5000  64 images/s  0.0 s left",
    ]


def test_progress_is_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progress, "_BAR_INTERVAL", 0.0)
    make_trainer().fit(TRAIN, epochs=1, batch_size=4)
    text = capsys.readouterr().err
    assert "images/s" in text
    assert "/24" in text
    assert "epoch 1/1  loss" in text


@pytest.mark.parametrize(("seconds", "text"), [(0.84, "0.8 s"), (12.4, "12 s"), (185, "3:05"), (3725, "1:02:05")])
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text


# Recipes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_start_and_end_as_they_say(name: str) -> None:
    optimizer = make_optimizer("sgd", [fc.nn.Parameter(fc.tensor([1.0]))], lr=1.0)
    scheduler = make_scheduler(name, optimizer, 100)
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    assert max(rates) <= 1.0
    assert min(rates) > 0.0
    expected = {
        "warmup-cosine": (0.05, 10, 1.0, 0.001),
        "cosine": (1.0, 50, 0.5, 0.001),
        "linear": (0.995, 50, 0.5, 0.01),
        "step": (1.0, 60, 0.1, 0.01),
        "constant": (1.0, 50, 1.0, 1.0),
    }[name]
    first, place, middle, last = expected
    np.testing.assert_allclose([rates[0], rates[place]], [first, middle], atol=0.02)
    assert rates[-1] <= last + 1e-12
    with pytest.raises(ValueError, match="unknown schedule 'no'"):
        make_scheduler("no", optimizer, 10)
    with pytest.raises(ValueError, match="unknown optimizer 'no'"):
        make_optimizer("no", [], lr=1.0)


class Peeking(nn.Module):
    """A model whose forward reads values, which cannot be captured."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, x: Any) -> Any:
        return self.linear(x) if float(x.sum()) < 1e9 else x


def test_captured_training_equals_eager_training_bitwise() -> None:
    x, y = small_problem()
    weights = []
    for capture in (False, True):
        fc.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))
        trainer = Trainer(model, optim.Adam(model.parameters()), capture=capture)
        history = trainer.fit((x, y), epochs=3, batch_size=24, progress=False)
        weights.append([v.numpy().tobytes() for v in model.state_dict().values()] + [history[-1]["train_loss"]])
    assert weights[0] == weights[1]


def test_a_step_that_cannot_be_captured_is_trained_with_a_warning() -> None:
    x, y = small_problem()
    model = Peeking()
    trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.5))
    with pytest.warns(UserWarning, match="not captured.*bool"):
        history = trainer.fit((x, y), epochs=3, batch_size=16, progress=False)
    assert history[-1]["train_loss"] < history[0]["train_loss"]


def small_problem() -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(int)
