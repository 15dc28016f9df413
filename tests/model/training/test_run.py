"""A run in a folder: its minutes, its checkpoints, and what is told where one cannot be written or read."""

from __future__ import annotations

import errno
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from everslide.model.errors import DataError
from everslide.model.training.run import LONGEST_STEP_S, Run, follow

CPU = torch.device("cpu")


class Clock:
    """A clock that a step moves on by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step_s: float = 1.0) -> None:
        self.now, self.step_s, self.steps = 1000.0, step_s, 0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def step(self) -> Mapping[str, float]:
        self.now += self.step_s
        self.steps += 1
        return {"loss": float(self.steps)}

    def keep(self) -> tuple[dict[str, Any], Mapping[str, object]]:
        return {"steps": torch.tensor(self.steps)}, {"figure": self.steps}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def new_run(folder: Path, minutes: float, save_every_s: float = 1e9, objective: str = "this") -> Run:
    return Run(folder, "checkpoint.pt", minutes, save_every_s, objective=objective)


def curve(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]


def test_a_run_ends_with_its_minutes_and_keeps_its_end(tmp_path: Path, clock: Clock) -> None:
    run = new_run(tmp_path, minutes=0.1)
    assert run.resume(CPU) is None
    run.until_used_up(clock.step, clock.keep)
    assert (run.step, run.seconds, run.progress) == (6, 6.0, 1.0)
    assert [(point["step"], point["figure"]) for point in curve(tmp_path)] == [(6, 6)]
    state = new_run(tmp_path, 0.1).resume(CPU)
    assert state is not None and int(state["steps"]) == 6


def test_a_checkpoint_is_written_every_so_many_seconds(tmp_path: Path, clock: Clock) -> None:
    new_run(tmp_path, minutes=0.2, save_every_s=4.5).until_used_up(clock.step, clock.keep)
    assert [point["step"] for point in curve(tmp_path)] == [5, 10, 12]


def test_minutes_count_over_all_sittings(tmp_path: Path, clock: Clock) -> None:
    """What was not kept before an interruption is trained again; the rest goes on where it was."""

    def interrupted() -> Mapping[str, float]:
        if clock.steps == 8:
            raise KeyboardInterrupt
        return clock.step()

    first = new_run(tmp_path, minutes=0.2, save_every_s=4.5)
    with pytest.raises(KeyboardInterrupt):
        first.until_used_up(interrupted, clock.keep)
    second = new_run(tmp_path, minutes=0.2)
    state = second.resume(CPU)
    assert state is not None and (second.step, second.seconds, int(state["steps"])) == (5, 5.0, 5)
    second.until_used_up(clock.step, clock.keep)
    assert (second.step, second.seconds, clock.steps) == (12, 12.0, 8 + 7)


def test_a_run_that_is_used_up_takes_no_step_more(tmp_path: Path, clock: Clock) -> None:
    new_run(tmp_path, minutes=0.1).until_used_up(clock.step, clock.keep)
    again = new_run(tmp_path, minutes=0.1)
    again.resume(CPU)
    again.until_used_up(clock.step, clock.keep)
    assert clock.steps == again.step == 6 and len(curve(tmp_path)) == 1


def test_a_step_that_compiled_or_was_stopped_counts_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, step_s=3600)
    run = new_run(tmp_path, minutes=1)
    run.until_used_up(clock.step, clock.keep)
    assert (run.step, run.seconds) == (2, 2 * LONGEST_STEP_S)


def test_losses_are_smoothed_in_the_curve(tmp_path: Path, clock: Clock) -> None:
    new_run(tmp_path, minutes=0.05).until_used_up(clock.step, clock.keep)
    smooth = 0.98 * (0.98 * 1 + 0.02 * 2) + 0.02 * 3
    assert curve(tmp_path)[0]["loss"] == pytest.approx(smooth, abs=1e-4)


def test_processes_go_by_the_seconds_of_one(tmp_path: Path, clock: Clock) -> None:
    run = Run(tmp_path, "checkpoint.pt", 0.1, 1e9, agreed=lambda seconds: 3 * seconds, leads=False)
    run.until_used_up(clock.step, clock.keep)
    assert run.step == 2 and not list(tmp_path.iterdir()), "who does not lead writes nothing"


@pytest.mark.parametrize("checkpoint", ["checkpoint.pt", "encoder.pt"])
def test_a_folder_of_another_objective_is_refused(tmp_path: Path, clock: Clock, checkpoint: str) -> None:
    other = Run(tmp_path, checkpoint, 0.05, 1e9, objective="another")
    other.until_used_up(clock.step, clock.keep)
    before = (tmp_path / checkpoint).read_bytes()
    with pytest.raises(DataError, match=r"another objective.*choose another folder with --run"):
        new_run(tmp_path, 0.05).resume(CPU)
    assert (tmp_path / checkpoint).read_bytes() == before


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "other"])
def test_a_damaged_checkpoint_is_told(tmp_path: Path, clock: Clock, damage: str) -> None:
    new_run(tmp_path, 0.05).until_used_up(clock.step, clock.keep)
    path = tmp_path / "checkpoint.pt"
    if damage == "other":
        torch.save({"objective": "this"}, path)
    else:
        path.write_bytes({"cut": path.read_bytes()[:-200], "empty": b"", "text": b"<html>not found</html>"}[damage])
    with pytest.raises(DataError, match=r"checkpoint\.pt: not a whole checkpoint .*delete it to begin again"):
        new_run(tmp_path, 0.1).resume(CPU)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="expected a folder to write a run into"):
        new_run(tmp_path / "file" / "run", 1)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("PytorchStreamWriter")]
)
def test_a_full_disk_keeps_the_old_checkpoint_whole(
    tmp_path: Path, clock: Clock, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_run(tmp_path, 0.05).until_used_up(clock.step, clock.keep)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def full(state: object, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise error

    monkeypatch.setattr(torch, "save", full)
    run = new_run(tmp_path, 0.1)
    run.resume(CPU)
    with pytest.raises(
        DataError, match=r"a run cannot be written .*what was kept before is whole: make room and run the same"
    ):
        run.until_used_up(clock.step, clock.keep)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "curve.jsonl"]
    again = new_run(tmp_path, 0.1)
    assert again.resume(CPU) is not None and again.step == 3


@pytest.mark.parametrize("part", ["keep", "curve"])
def test_a_full_disk_is_told_whatever_file_fills_it(tmp_path: Path, clock: Clock, part: str) -> None:
    """Weights, sheets and the curve are written beside the checkpoint."""

    def keep() -> tuple[dict[str, Any], Mapping[str, object]]:
        if part == "keep":
            raise OSError(errno.ENOSPC, "No space left on device", "mini.part")
        (tmp_path / "curve.jsonl").mkdir()
        return clock.keep()

    with pytest.raises(DataError, match=r"cannot be written .*make room and run the same command again"):
        new_run(tmp_path, 0.05).until_used_up(clock.step, keep)


def test_an_error_of_training_is_not_taken_for_a_full_disk(tmp_path: Path, clock: Clock) -> None:
    def keep() -> tuple[dict[str, Any], Mapping[str, object]]:
        raise RuntimeError("CUDA out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        new_run(tmp_path, 0.05).until_used_up(clock.step, keep)


def test_the_average_follows_faster_at_first() -> None:
    average, live = {"a": torch.zeros(2)}, {"a": torch.tensor([1.0, 2.0])}
    follow(average, live, 0.9, step=0)
    assert average["a"].tolist() == pytest.approx([0.9, 1.8])
    follow(average, live, 0.9, step=10**6)
    assert average["a"].tolist() == pytest.approx([0.91, 1.82])
    assert math.isclose(float(live["a"][1]), 2.0)
