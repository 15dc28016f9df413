"""How a run of the painter trains."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """How a run trains.

    minutes: over all sittings. batch: chains a step and process. rate: Adam's learning rate after `warmup` steps; it
    falls to `end_rate` of it over the last `decay` of the minutes. clip: largest norm of the gradient. average: decay
    of the moving average that is shipped. save_every_s: seconds between checkpoints. workers: processes that read
    places, 0 for none but the trainer's own. replayed: share of the steps that paint upon painted parents. critic:
    weight of the critic beside the scores. critic_rate: its learning rate. lattice: weight of the scores of
    `everslide.model.training.lattice.phases`; relief: of that of `everslide.model.training.relief.relief`. variety: how
    much the distance of two samples counts in the scores of features, see `everslide.model.training.loss`. sitting:
    minutes after which it stops for now, whatever is left.
    """

    minutes: float
    batch: int = 4
    rate: float = 3e-4
    warmup: int = 100
    decay: float = 0.2
    end_rate: float = 0.1
    clip: float = 2.0
    average: float = 0.998
    seed: int = 0
    save_every_s: float = 300.0
    workers: int = 0
    replayed: float = 0.3
    critic: float = 1.5
    lattice: float = 0.15
    relief: float = 0.4
    variety: float = 1.08
    critic_rate: float = 2e-3
    sitting: float | None = None
