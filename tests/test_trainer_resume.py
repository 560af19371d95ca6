"""Trainings that are interrupted, and how they go on: bit by bit as if nothing had happened."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

import fastcnn as fc
from fastcnn import nn, optim
from fastcnn.train import Interrupted, Trainer
from fastcnn.train.recipes import OPTIMIZERS, make_scheduler
from tests.small_run import FIT, TRAIN, VAL, make_trainer, weights


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


def test_checkpoints_in_mid_epoch_do_not_change_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make_trainer()
    whole.fit(TRAIN, **FIT)
    written = make_trainer()
    places = []
    save = written._save

    def noted(run: Any) -> None:
        save(run)
        places.append((run.epoch, run.step))

    monkeypatch.setattr(written, "_save", noted)
    written.fit(TRAIN, out=tmp_path, checkpoint_every=2, **FIT)
    assert places == [place for n in range(3) for place in ((n, 2), (n, 4), (n, 6), (n + 1, 0))]  # also after an epoch
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
