"""Trainer: learning, records, capture, snapshots, early stopping, errors."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import nn, optim
from fastcnn.data import DataLoader
from fastcnn.train import Trainer
from fastcnn.train.recipes import make_scheduler
from tests.small_data import small_net
from tests.small_run import FIT, TEST, TRAIN, VAL, make_trainer, weights

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


class Peeking(nn.Module):
    """A model whose forward reads values, which cannot be captured."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, x: Any) -> Any:
        return self.linear(x) if float(x.sum()) < 1e9 else x


def test_captured_training_equals_eager_training_bitwise() -> None:
    x, y = small_problem()
    results = []
    for capture in (False, True):
        fc.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))
        trainer = Trainer(model, optim.Adam(model.parameters()), capture=capture)
        history = trainer.fit((x, y), epochs=3, batch_size=24, progress=False)
        results.append((weights(trainer), history[-1]["train_loss"]))
    assert results[0] == results[1]


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
