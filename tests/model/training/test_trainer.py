"""Training of the painter: it learns, goes on where it was, and outlives what goes wrong."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from everslide.model.errors import DataError, WeightsError
from everslide.model.mini.weights import load_weights, save_weights
from everslide.model.pyramid.wavelet import details
from everslide.model.training import trainer as module
from everslide.model.training.chain import Brush
from everslide.model.training.objective import SHIFT_PX, Metrics, Objective, seen
from everslide.model.training.places import Batch, Tissue
from everslide.model.training.plan import Plan
from everslide.model.training.prepare import prepare
from everslide.model.training.progress_sheet import ROWS, SIDE_PX, draw_progress
from everslide.model.training.trainer import (
    CHECKPOINT,
    MAX_LOST_STEPS,
    WEIGHTS,
    Trainer,
    deviations,
    train,
)
from tests.model.networks import TINY, tiny_weights
from tests.model.pictures import tissue, write_images
from tests.model.training.ranks import CPU, PixelFeatures, make, one_of_two

PLAN = Plan(minutes=60, batch=2, warmup=1, save_every_s=1e9)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Features", PixelFeatures)
    monkeypatch.setattr(module, "CALIBRATION_CROPS", 8)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One training image."""
    base = tmp_path_factory.mktemp("trainer")
    prepare(write_images(base / "images", {"a.png": (tissue(400, 420, 1), 0.5)}), base / "out", [])
    return base / "out"


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with an image for validation."""
    base = tmp_path_factory.mktemp("validated")
    fields = {"a.png": (tissue(400, 420, 1), 0.5), "b.png": (tissue(540, 520, 2), 0.5)}
    prepare(write_images(base / "images", fields), base / "out", [], ["b*"])
    return base / "out"


def state(trainer: Trainer) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}


def equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def stopping(trainer: Trainer, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Interrupt a run at its end of so many steps."""
    step = trainer._step

    def interrupted() -> Mapping[str, float]:
        if trainer.clock.step == after:
            raise KeyboardInterrupt
        return step()

    monkeypatch.setattr(trainer, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()


def test_the_score_falls(prepared: Path, tmp_path: Path) -> None:
    """Of the same chains, with the same noise, after a few steps."""
    trainer = make(prepared, tmp_path, replace(PLAN, rate=3e-3))
    batches = [next(trainer.batches).to(CPU) for _ in range(4)]

    def score() -> float:
        torch.manual_seed(1)
        with torch.no_grad():
            return float(np.mean([float(trainer.objective.of(trainer.brush, batch)[0]) for batch in batches]))

    before, first = score(), state(trainer)
    for _ in range(25):
        trainer._step()
        trainer.clock.step += 1
    assert score() < 0.97 * before
    moved = [name for name, tensor in state(trainer).items() if not torch.equal(tensor, first[name])]
    assert len(moved) > 0.95 * len(first), "everything is trained"


def test_an_interrupted_run_goes_on_at_its_step_with_equal_weights(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make(prepared, tmp_path, replace(PLAN, save_every_s=0.0))
    stopping(first, monkeypatch, after=3)
    second = make(prepared, tmp_path, PLAN)
    assert second.clock.step == 3 and second.clock.seconds == first.clock.seconds > 0
    assert equal(state(second), state(first)) and equal(second.average, first.average)
    assert not equal(second.average, state(second))
    assert torch.equal(second.deviation, first.deviation)
    for mine, theirs in zip(second.features.scales, first.features.scales, strict=True):
        assert torch.equal(mine, theirs)
    assert second.opponent.steps == 3
    assert equal(second.opponent.critic.state_dict(), first.opponent.critic.state_dict())
    ours, theirs_too = (trainer.optimizer.state_dict()["state"] for trainer in (second, first))
    assert all(torch.equal(ours[k]["exp_avg_sq"], theirs_too[k]["exp_avg_sq"]) for k in theirs_too)
    assert equal(load_weights(tmp_path / WEIGHTS).tensors, {k: v.half() for k, v in first.average.items()})


def test_a_run_goes_on_from_what_was_carried_to_another_machine(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights and parts are enough, in half precision; the critic comes along."""
    first = make(prepared, tmp_path, replace(PLAN, save_every_s=0.0))
    stopping(first, monkeypatch, after=3)
    (tmp_path / CHECKPOINT).unlink()
    second = Trainer(prepared, tmp_path, PLAN, CPU)
    assert second.clock.step == 3 and second.opponent.steps == 3
    pairs = ((second.network, first.network), (second.opponent.critic, first.opponent.critic))
    for mine, theirs in pairs:
        for name, tensor in theirs.state_dict().items():
            torch.testing.assert_close(mine.state_dict()[name], tensor, rtol=1e-3, atol=1e-3, msg=name)
    second._step()


def test_a_run_that_goes_on_is_not_asked_where_it_began(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sizes and deviations are those of its checkpoint, whatever weights are given to start from."""
    first = make(prepared, tmp_path, replace(PLAN, save_every_s=0.0))
    stopping(first, monkeypatch, after=1)
    other = replace(tiny_weights(1), deviation=tiny_weights().deviation * 2)
    for start in (None, other):
        again = Trainer(prepared, tmp_path, PLAN, CPU, start)
        assert again.network.config == TINY and equal(state(again), state(first))
        assert torch.equal(again.deviation, first.deviation)


def test_a_new_run_starts_from_given_weights_or_from_random_ones(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = make(prepared, tmp_path / "given", PLAN)
    assert equal(state(given), tiny_weights().build().state_dict())
    np.testing.assert_array_equal(given.deviation.numpy(), tiny_weights().deviation)
    monkeypatch.setattr(module, "NetworkConfig", lambda **_: TINY)
    monkeypatch.setattr(module.deviations, "__defaults__", (8, 12))
    random, again = (Trainer(prepared, tmp_path / name, PLAN, CPU) for name in ("random", "again"))
    assert not equal(state(random), state(given)) and equal(state(random), state(again))


def test_other_processes_and_sittings_see_other_places(prepared: Path, tmp_path: Path) -> None:
    def places(rank: int, seed: int = 0) -> bytes:
        trainer = make(prepared, tmp_path, replace(PLAN, seed=seed), rank)
        noise = torch.rand(1)
        return bytes(next(trainer.batches).reals.numpy().tobytes() + noise.numpy().tobytes())

    assert places(0) == places(0)
    assert len({places(0), places(1), places(0, 1)}) == 3


@pytest.mark.parametrize("held", ["encoder.pt", CHECKPOINT])
def test_a_folder_of_another_objective_is_refused(prepared: Path, tmp_path: Path, held: str) -> None:
    torch.save({"objective": "distance of patches", "step": 3, "seconds": 1.0}, tmp_path / held)
    with pytest.raises(DataError, match="another objective"):
        make(prepared, tmp_path, PLAN)


def unfinished(trainer: Trainer, monkeypatch: pytest.MonkeyPatch, lost: range) -> None:
    """The score of these steps is not a number."""
    of = Objective.of

    def damaged(self: Objective, brush: Brush, batch: Batch) -> tuple[Tensor, Metrics]:
        total, metrics = of(self, brush, batch)
        if trainer.clock.step not in lost:
            return total, metrics
        return total * float("nan"), dict.fromkeys(metrics, float("nan"))

    monkeypatch.setattr(Objective, "of", damaged)


def test_a_step_without_a_finite_loss_is_left_out(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make(prepared, tmp_path, PLAN)
    unfinished(trainer, monkeypatch, range(1, 3))
    assert trainer._step()
    trainer.clock.step = 1
    before, average = state(trainer), {k: v.clone() for k, v in trainer.average.items()}
    moments = [x["exp_avg"].clone() for x in trainer.optimizer.state_dict()["state"].values()]
    assert trainer._step() == {}, "nothing for the curve, which would not be a number ever after"
    assert equal(state(trainer), before) and equal(trainer.average, average)
    after = [x["exp_avg"] for x in trainer.optimizer.state_dict()["state"].values()]
    assert all(torch.equal(a, b) for a, b in zip(moments, after, strict=True))
    trainer.clock.step = 3
    assert trainer._step() and not equal(state(trainer), before)
    assert trainer.lost == 0 and all(bool(torch.isfinite(v).all()) for v in state(trainer).values())


def test_after_twenty_such_steps_in_a_row_a_run_ends_and_its_checkpoint_is_from_before(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make(prepared, tmp_path, replace(PLAN, save_every_s=0.0))
    stopping(first, monkeypatch, after=2)
    before = (tmp_path / CHECKPOINT).read_bytes()
    second = make(prepared, tmp_path, PLAN)
    unfinished(second, monkeypatch, range(3, 10**6))
    with pytest.raises(DataError, match=r"not a finite number for 20 steps; the last checkpoint in .* lower --rate"):
        second.run()
    assert MAX_LOST_STEPS == 20 and second.clock.step == 3 + 19
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert equal(state(make(prepared, tmp_path, PLAN)), state(first))


def test_lost_steps_are_counted_in_a_row(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make(prepared, tmp_path, PLAN)
    for finite in [*[False] * 19, True, *[False] * 19]:
        trainer._count(finite)
    with pytest.raises(DataError, match="not a finite number"):
        trainer._count(False)


@pytest.mark.parametrize("file", ["checkpoint", "weights"])
def test_a_full_disk_keeps_the_old_checkpoint_and_weights_whole(
    prepared: Path, tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make(prepared, tmp_path, replace(PLAN, save_every_s=0.0))
    stopping(first, monkeypatch, after=1)
    before, shipped = (tmp_path / CHECKPOINT).read_bytes(), load_weights(tmp_path / WEIGHTS).digest

    def full(_: object, path: Path, **__: object) -> None:
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    if file == "checkpoint":
        monkeypatch.setattr(torch, "save", full)
    else:
        monkeypatch.setattr("everslide.model.mini.tensors.save_file", full)
    second = make(prepared, tmp_path, replace(PLAN, save_every_s=0.0))
    with pytest.raises((DataError, WeightsError), match=r"cannot be written.*make room"):
        second.run()
    monkeypatch.undo()
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert not list(tmp_path.glob("*.part"))
    assert file == "checkpoint" or load_weights(tmp_path / WEIGHTS).digest == shipped
    assert load_weights(tmp_path / WEIGHTS).config == TINY


def test_the_rate_rises_and_falls(prepared: Path, tmp_path: Path) -> None:
    plan = replace(PLAN, warmup=10, rate=1.0, decay=0.2, end_rate=0.1)
    trainer = make(prepared, tmp_path, plan)
    rates = []
    for step, seconds in ((0, 0), (4, 0), (9, 0), (500, 0.5), (900, 0.8), (950, 0.9), (999, 1.0)):
        trainer.clock.step, trainer.clock.seconds = step, seconds * 3600
        rates.append(trainer._rate())
    assert rates == pytest.approx([0.1, 0.5, 1, 1, 1, 0.55, 0.1])


def test_validation_is_always_of_the_same_places_and_changes_nothing(validated: Path, tmp_path: Path) -> None:
    trainer = make(validated, tmp_path, replace(PLAN, rate=3e-3))
    for _ in range(3):
        trainer._step()
        trainer.clock.step += 1
    before, rng = state(trainer), torch.random.get_rng_state()
    figures = [trainer._validate() for _ in range(2)]
    assert figures[0] == figures[1] and equal(state(trainer), before)
    assert torch.equal(torch.random.get_rng_state(), rng)
    values = figures[0]["validation"]
    assert isinstance(values, dict) and values.keys() == {"lattice", "relief", "s0", "s1"}
    trainer.average = {name: tensor + 0.05 for name, tensor in trainer.average.items()}
    assert trainer._validate() != figures[0], "it is the average that is validated"


def test_without_validation_images_a_run_goes_on_and_says_so(
    prepared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = make(prepared, tmp_path, PLAN)
    assert trainer._validate() == {} and "no validation images" in caplog.text


def test_a_run_leaves_weights_a_curve_and_sheets(validated: Path, tmp_path: Path) -> None:
    make(validated, tmp_path, replace(PLAN, minutes=1e-5)).run()
    (point,) = (json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines())
    assert point["step"] == 1 and {"lattice", "relief", "s0", "s1"} >= point["validation"].keys()
    assert load_weights(tmp_path / WEIGHTS).config == TINY
    assert [path.name for path in tmp_path.glob("sheet*")] == ["sheet-000001.jpg"]


def test_the_sheet_shows_parent_painted_and_real(validated: Path, tmp_path: Path) -> None:
    trainer, places = make(validated, tmp_path, PLAN), Tissue(validated, "validation")
    picture = draw_progress(trainer.brush, places, trainer.network.config.conditions)
    assert picture is not None and picture.size == (3 * SIDE_PX, SIDE_PX), "of 520 px: 20x from 10x alone"
    pixels = np.asarray(picture)
    parent, real = pixels[:SIDE_PX, :SIDE_PX], pixels[:SIDE_PX, 2 * SIDE_PX :]
    np.testing.assert_array_equal(parent[::2, ::2], parent[1::2, 1::2])
    assert np.abs(parent.astype(int) - real).mean() < 20 and ROWS[0] == (0, 1)


def test_validation_images_too_small_for_a_sheet_are_validated_nonetheless(tmp_path: Path) -> None:
    fields = {"a.png": (tissue(400, 420, 1), 0.5), "b.png": (tissue(300, 300, 2), 0.5)}
    prepare(write_images(tmp_path / "images", fields), tmp_path / "out", [], ["b*"])
    trainer = make(tmp_path / "out", tmp_path / "run", PLAN)
    assert trainer._validate().keys() == {"validation"}
    assert not list((tmp_path / "run").glob("sheet*"))


def test_deviations_are_those_of_real_detail(prepared: Path) -> None:
    """About those of the whole plane, measured with numpy, of what the smooth surface lacks."""
    from everslide.model.mini.bands import rotate_colours
    from everslide.model.pyramid.wavelet import box_mean, smooth_bands

    found = deviations(Tissue(prepared, "train"), np.random.default_rng(1), crops=24)
    assert found.shape == (12, 3, 3) and found.dtype == np.float32
    pixels = tissue(400, 420, 1)
    smooth = smooth_bands(box_mean(pixels).astype(np.float32))
    whole = rotate_colours(details(pixels.astype(np.float32)) - smooth)
    expected = np.sqrt(np.square(whole).mean((0, 1)))
    np.testing.assert_allclose(found[0], expected + 0.05, rtol=0.25)
    assert (found[2:] == found[1]).all(), "scales beyond the images are taken for like the coarsest of them"


def test_features_see_all_but_a_rim_of_changing_width() -> None:
    grey = torch.arange(2 * 3 * 20 * 24, dtype=torch.float32).reshape(2, 3, 20, 24) % 255
    part = seen(grey, 3, 5)
    assert part.shape == (2, 3, 20 - SHIFT_PX, 24 - SHIFT_PX)
    torch.testing.assert_close(part, grey[:, :, 3:15, 5:21] / 127.5 - 1)


def test_two_processes_end_with_equal_weights_those_of_the_averaged_gradient(prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    spawn(one_of_two, (prepared, tmp_path, PLAN, 1), nprocs=2)  # type: ignore[no-untyped-call]
    left = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert equal(left[0]["network"], left[1]["network"])
    assert equal(left[0]["critic"], left[1]["critic"]), "and one critic"
    assert [one["seconds"] for one in left] == [1.0, 1.0], "the clock is that of the first"

    gradients = []
    for rank in (0, 1):
        trainer = make(prepared, tmp_path / f"alone{rank}", PLAN, rank)
        trainer.objective.of(trainer.brush, next(trainer.batches).to(CPU))[0].backward()  # type: ignore[no-untyped-call]
        gradients.append([None if p.grad is None else p.grad.clone() for p in trainer.network.parameters()])
    for p, one, other in zip(trainer.network.parameters(), *gradients, strict=True):
        p.grad = None if one is None or other is None else (one + other) / 2
    for group in trainer.optimizer.param_groups:
        group["lr"] = trainer._rate()
    torch.nn.utils.clip_grad_norm_(trainer.network.parameters(), PLAN.clip)
    trainer.optimizer.step()
    for name, expected in trainer.network.state_dict().items():
        torch.testing.assert_close(left[0]["network"][name], expected, rtol=0, atol=2e-5, msg=name)
    alone = tiny_weights().build().state_dict()
    assert not equal(left[0]["network"], alone)


def test_train_in_two_processes_after_a_run_that_was_killed(prepared: Path, tmp_path: Path) -> None:
    """The file by which processes meet is left over then."""
    save_weights(tmp_path / "tiny.safetensors", tiny_weights())
    run = tmp_path / "run"
    run.mkdir()
    (run / "processes").write_bytes(b"\x00\x05init/\x01\x00\x00\x00\x00")
    written = train(
        prepared, run, replace(PLAN, minutes=1e-5), start=tmp_path / "tiny.safetensors", processes=2, threads=1
    )
    assert load_weights(written).config == TINY
    assert len((run / "curve.jsonl").read_text().splitlines()) == 1, "one of them writes"


def test_an_error_of_a_process_is_told_like_any_other(validated: Path, tmp_path: Path) -> None:
    torch.save({"objective": "another"}, tmp_path / CHECKPOINT)
    with pytest.raises(DataError, match=r"checkpoint\.pt: a run of another objective") as told:
        train(validated, tmp_path, PLAN, processes=2)
    assert "Traceback" not in str(told.value)
