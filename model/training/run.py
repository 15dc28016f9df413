"""A training run in a folder: so many minutes over all sittings, a checkpoint every few, and a curve."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from tqdm import tqdm

from everslide.model.errors import DataError
from everslide.model.whole_file import written_whole

if TYPE_CHECKING:
    from everslide.model.mini.network import DetailUNet
    from everslide.model.mini.section_network import SectionUNet

log = logging.getLogger(__name__)
LONGEST_STEP_S = 30.0
"""A step that took longer was compiling or stopped; only this much of it counts as training."""


class Run:
    """Keeps time and checkpoints; what a step does and what has to be kept is the trainer's.

    step, seconds: of training so far, over all sittings.
    """

    def __init__(
        self,
        folder: Path,
        checkpoint: str,
        minutes: float,
        save_every_s: float,
        *,
        objective: str = "",
        sitting: float | None = None,
        agreed: Callable[[float], float] | None = None,
        leads: bool = True,
    ) -> None:
        """objective: a run of another one is not continued. sitting: minutes after which it stops for now. agreed:
        makes the seconds of all processes of a run equal. leads: whether this process writes and shows anything.
        Raises DataError."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{folder}: expected a folder to write a run into, found: {error}") from error
        self.folder, self._path, self._objective = folder, folder / checkpoint, objective
        self._budget, self._save_every_s = minutes * 60, save_every_s
        self._agreed, self._leads, self._sitting = agreed, leads, sitting
        self.step, self.seconds = 0, 0.0

    @property
    def progress(self) -> float:
        """Share of the minutes that is used up, 0 to 1."""
        return min(1.0, self.seconds / self._budget)

    def resume(self, device: torch.device) -> dict[str, Any] | None:
        """What the last checkpoint kept, or None for a new run. Raises DataError where it is none of this objective."""
        if not self._path.exists():
            others = [path.name for path in self.folder.glob("*.pt")]
            if others:
                raise DataError(
                    f"{self.folder}: holds {others[0]}, a run of another objective; choose another folder with --run"
                )
            return None
        try:
            state: dict[str, Any] = torch.load(self._path, weights_only=True, map_location=device)
            if state.pop("objective", "") != self._objective:
                raise DataError(
                    f"{self._path}: a run of another objective or version; choose another folder with --run"
                )
            self.step, self.seconds = int(state.pop("step")), float(state.pop("seconds"))
        except (RuntimeError, KeyError, EOFError, OSError, ValueError, UnpicklingError) as error:
            found = "not one of torch" if isinstance(error, UnpicklingError) else error
            raise DataError(f"{self._path}: not a whole checkpoint ({found}); delete it to begin again") from error
        log.info("resumed at step %d after %.1f minutes", self.step, self.seconds / 60)
        return state

    def until_used_up(
        self, step: Callable[[], Mapping[str, float]], keep: Callable[[], tuple[dict[str, Any], Mapping[str, object]]]
    ) -> None:
        """Call `step`, which gives its losses, until the minutes are used up.

        keep: writes what is shipped; gives the state of a checkpoint and figures for the curve. Raises DataError where
        a file cannot be written.
        """
        smooth: dict[str, float] = {}
        saved = time.monotonic()
        total, before = round(self._budget), round(self.seconds)
        with tqdm(total=total, initial=before, unit="s", desc="training", disable=not self._leads) as bar:
            end = self.seconds + 60 * self._sitting if self._sitting else self._budget
            while self.seconds < min(self._budget, end):
                started = time.monotonic()
                for name, value in step().items():
                    smooth[name] = 0.98 * smooth.get(name, value) + 0.02 * value
                self.step += 1
                self.seconds += min(time.monotonic() - started, LONGEST_STEP_S)
                if self._agreed:
                    self.seconds = self._agreed(self.seconds)
                bar.update(round(self.seconds) - bar.n)
                shown = {name: f"{value:.3f}" for name, value in sorted(smooth.items())}
                bar.set_postfix({"step": str(self.step), **shown}, refresh=False)
                if self._leads and (
                    self.seconds >= min(self._budget, end) or time.monotonic() - saved > self._save_every_s
                ):
                    self._save(smooth, keep)
                    saved = time.monotonic()

    def _save(
        self, losses: Mapping[str, float], keep: Callable[[], tuple[dict[str, Any], Mapping[str, object]]]
    ) -> None:
        try:
            state, figures = keep()
            with written_whole(self._path) as partial:
                _write(partial, {**state, "objective": self._objective, "step": self.step, "seconds": self.seconds})
            rounded = {name: round(value, 5) for name, value in losses.items()}
            point = {"step": self.step, "minutes": round(self.seconds / 60, 2), **rounded, **figures}
            with (self.folder / "curve.jsonl").open("a") as curve:
                curve.write(json.dumps(point) + "\n")
        except OSError as error:
            raise DataError(
                f"{self.folder}: a run cannot be written ({error}); what was kept before is whole: "
                "make room and run the same command again"
            ) from error


def _write(path: Path, state: dict[str, Any]) -> None:
    """Raises OSError where it cannot be written: torch tells a full disk as a RuntimeError."""
    try:
        torch.save(state, path)
    except RuntimeError as error:
        raise OSError(str(error)) from error


@torch.no_grad()
def follow(average: Mapping[str, Tensor], live: Mapping[str, Tensor], decay: float, step: int) -> None:
    """Move the moving average of the weights towards the live ones, faster in the first steps."""
    keep = min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.values()), [live[name] for name in average], 1 - keep)


def take_over(network: DetailUNet | SectionUNet, tensors: Mapping[str, Tensor], organs: Sequence[str]) -> None:
    """Give a network the weights of one that knew other `organs`: what both have, and the organs that both know."""
    known = dict(tensors)
    columns = known.pop("organ.weight", None)
    network.load_state_dict(known, strict=False)
    if columns is not None and network.organ is not None:
        for index, organ in enumerate(network.config.organs):
            if organ in organs:
                network.organ.weight.data[:, index] = columns[:, organs.index(organ)]
