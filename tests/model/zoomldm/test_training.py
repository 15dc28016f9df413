"""Training at a tiny size: losses fall, runs go on, and checkpoints load as the authors' do."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from everslide.model.errors import DataError, WeightsError
from everslide.model.zoomldm.cdm import CDM
from everslide.model.zoomldm.cdm_sampling import sample_conditions
from everslide.model.zoomldm.cdm_training import (
    hybrid_losses,
    init_cdm,
    posterior,
    sinusoidal_positions,
    train_cdm,
    variational_term,
)
from everslide.model.zoomldm.checkpoint import random_networks
from everslide.model.zoomldm.config import CDMConfig
from everslide.model.zoomldm.training import authors_state, init_denoiser, load_start, train
from everslide.model.zoomldm.training_run import Losses, TrainSettings, shown_on
from everslide.model.zoomldm.training_set import DONE, TrainingSet, read_training_set
from everslide.model.zoomldm.zoomldm import ZoomLDM, load_cdm, load_zoomldm
from everslide.server.cli import main
from tests.model.pictures import tissue
from tests.model.zoomldm.tiny import TINY, document, state_dict, write_checkpoint

SMALL = replace(
    TINY,
    unet=replace(TINY.unet, image_size=8, channel_mult=(1, 1), attention_at=(1, 2)),
    summarizer=replace(TINY.summarizer, layers=1),
)
CPU = torch.device("cpu")
SCALES = (3, 4)
SETTINGS = TrainSettings(steps=90, batch=8, rate=3e-3, decay=0.0, warmup=20, ema=0.95, dropped=0.1, save=45)


def model(seed: int = 0) -> ZoomLDM:
    return ZoomLDM(SMALL, random_networks(SMALL, seed), "x", torch.float32, CPU)


def eight(folder: Path) -> TrainingSet:
    """Four images each of two scales, smooth patterns, with grids of embeddings of their own."""
    (folder / "slide").mkdir(parents=True, exist_ok=True)
    rng = torch.Generator().manual_seed(5)
    for s in SCALES:
        coarse = torch.randn(4, 3, 2, 2, generator=rng)
        z = torch.nn.functional.interpolate(coarse, (8, 8), mode="bilinear")
        u = torch.randn(4, 24, 8, 8, generator=rng)
        save_file({"z": z.half(), "u": u.half()}, folder / "slide" / f"s{s}-00000.safetensors")
    (folder / "slide" / DONE).write_text("{}")
    return read_training_set(folder)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingSet, list[float]]:
    """A run on the eight images, stopped in its middle and taken up again."""
    folder = tmp_path_factory.mktemp("run")
    data, losses = eight(folder / "data"), []
    run = folder / "run"

    def report(step: int, loss: float) -> None:
        losses.append(loss)

    train(model(), data, replace(SETTINGS, steps=45), run, report)
    train(model(seed=9), data, SETTINGS, run, report)
    values = document(SMALL)
    (run / "config.yaml").write_text(yaml.safe_dump(values))
    return run, data, losses


def test_a_run_learns_and_goes_on_where_it_was_stopped(learned: tuple[Path, TrainingSet, list[float]]) -> None:
    run, data, losses = learned
    assert len(losses) == SETTINGS.steps, "the second call went on after the first"
    assert np.mean(losses[-20:]) < 0.4 * np.mean(losses[:5])
    trained = load_zoomldm(run)
    z, u = data.image(SCALES[0], 1)
    assert torch.isfinite(trained.eps(z[None], 300, trained.condition(u[None], SCALES[0]))).all()


def test_the_speed_of_a_run_that_goes_on_is_that_of_its_own_steps(tmp_path: Path) -> None:
    settings, text = replace(SETTINGS, steps=50, save=50), io.StringIO()
    with tqdm(total=50, file=text, mininterval=0) as bar:
        report = shown_on(bar, Losses(tmp_path / "losses.csv", settings))
        for step in range(41, 51):
            report(step, step / 100)
        shown = bar.format_dict
    assert (shown["n"], shown["initial"]) == (50, 40), "forty of fifty steps were done before"
    assert (tmp_path / "losses.csv").read_text() == "step,loss\n50,0.45500\n"


def test_checkpoints_have_the_authors_names_and_load(learned: tuple[Path, TrainingSet, list[float]]) -> None:
    run, _, _ = learned
    found = torch.load(run / "weights.ckpt", weights_only=True)
    assert found.keys() == state_dict(SMALL).keys()
    assert {n: t.shape for n, t in found.items()} == {n: t.shape for n, t in state_dict(SMALL).items()}
    plain = found["model.diffusion_model.out.2.weight"]
    assert not torch.equal(found["model_ema.diffusion_modelout2weight"], plain), "its average is another"


def test_a_start_is_taken_over_where_it_fits(tmp_path: Path) -> None:
    begun, given = model(0), model(1)
    state = authors_state(given, given.unet)
    odd = "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight"
    for name in (odd, "model_ema." + odd.removeprefix("model.").replace(".", "")):
        state[name] = torch.zeros(32, 7)
    torch.save({"state_dict": state}, tmp_path / "imagenet.ckpt")
    before = begun.unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_k.weight.clone()
    assert load_start(begun, tmp_path / "imagenet.ckpt") == len(begun.unet.state_dict()) - 1
    torch.testing.assert_close(begun.unet.conv_in.weight, given.unet.conv_in.weight)
    assert torch.equal(begun.unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_k.weight, before)
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.ckpt")
    with pytest.raises(WeightsError, match="found no tensor of this denoiser"):
        load_start(begun, tmp_path / "other.ckpt")


def test_a_cdm_begins_as_dit_does_and_learns_what_the_summarizer_says(tmp_path: Path) -> None:
    network = init_cdm(CDMConfig(65, 32, 48, 2, 4))
    x, t, y = torch.randn(2, 32, 65), torch.tensor([3, 700]), torch.tensor([0, 1])
    assert network(x, t, y).abs().max() == 0, "gates and output at zero"
    assert network.pos_embed.shape == (1, 65, 48)
    torch.testing.assert_close(sinusoidal_positions(3, 4)[1], torch.tensor([1.0, 0.01, 1.0, 0.01]).sin().where(
        torch.tensor([True, True, False, False]), torch.tensor([1.0, 0.01, 1.0, 0.01]).cos()))  # fmt: skip
    data, own = eight(tmp_path / "data"), model()
    losses: list[float] = []
    settings = replace(SETTINGS, steps=150, rate=1e-3, batch=8, ema=0.9)
    log = lambda step, loss: losses.append(loss)  # noqa: E731
    train_cdm(own, data, network, replace(settings, steps=70, save=70), tmp_path / "cdm.pt", log)
    train_cdm(own, data, init_cdm(network.config), settings, tmp_path / "cdm.pt", log)
    assert len(losses) == 150, "the second call went on after the first"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(document(SMALL)))
    loaded, _ = load_cdm(tmp_path / "cdm.pt")
    with torch.inference_mode():
        c = sample_conditions(loaded, torch.randn(4, 32, 65), torch.full((4,), 3), 20)
        said = torch.stack([own.condition(data.image(3, row)[1][None], 3)[0] for row in range(4)])
    assert c.shape == (4, 65, 32)
    assert error(c, said) < 0.9 * error(torch.randn_like(c), said)


def test_the_variational_term_is_the_kl_divergence_of_two_gaussians() -> None:
    """Against torch's own, at a time in the middle; and least where the variance is that of the errors."""
    q = posterior(CPU)
    x0, noise, t = torch.randn(3, 4, 5), torch.randn(3, 4, 5), torch.tensor([400, 400, 400])
    a, b = q.alpha_bar[400], q.alpha_bar[399]
    x_t = a.sqrt() * x0 + (1 - a).sqrt() * noise
    beta = 1 - a / b
    found, v = x0 + 0.1 * torch.randn(3, 4, 5), torch.rand(3, 4, 5) * 2 - 1

    def mean(x: Tensor) -> Tensor:
        return b.sqrt() * beta / (1 - a) * x + (a / b).sqrt() * (1 - b) / (1 - a) * x_t

    least = beta * (1 - b) / (1 - a)
    variance = torch.exp((v + 1) / 2 * beta.log() + (1 - v) / 2 * least.log())
    normal = torch.distributions.Normal
    kl = torch.distributions.kl_divergence(normal(mean(x0), least.sqrt()), normal(mean(found), variance.sqrt()))
    term = variational_term(q, x0, t, found, v)
    torch.testing.assert_close(term, kl.mean((1, 2)) / np.log(2), rtol=1e-3, atol=1e-6)
    first = torch.zeros(3, dtype=torch.long)
    density = normal(found, q.log_beta_tilde[0].div(2).exp()).log_prob(x0)  # type: ignore[no-untyped-call]
    likelihood = -density.mean((1, 2)) / np.log(2)
    torch.testing.assert_close(variational_term(q, x0, first, found, -torch.ones(3, 4, 5)), likelihood)


def test_variances_are_learned_and_x0_is_what_it_would_be_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variational term trains its own rows of the last layer; all other weights are as if there were none."""
    data, own = eight(tmp_path / "data"), model()
    settings = replace(SETTINGS, steps=60, rate=1e-3, ema=0.9, save=60)

    def trained(name: str) -> CDM:
        torch.manual_seed(4)
        network = init_cdm(CDMConfig(65, 32, 48, 2, 4))
        train_cdm(own, data, network, settings, tmp_path / name, lambda step, loss: None)
        return network

    network = trained("both.pt")
    with monkeypatch.context() as patch:
        patch.setattr("everslide.model.zoomldm.cdm_training._add_gradients", lambda loss, layer: None)
        plain = trained("plain.pt")
    for (name, found), expected in zip(network.state_dict().items(), plain.state_dict().values(), strict=True):
        rows = slice(32 if name.startswith("final_layer.linear") else None)
        torch.testing.assert_close(found[rows], expected[rows], msg=name)
    assert network.final_layer.linear.weight[32:].abs().max() > 0 == plain.final_layer.linear.weight[32:].abs().max()
    q, t = posterior(CPU), torch.arange(50, 1000, 50)
    with torch.inference_mode():
        x0 = own.condition(data.image(3, 0)[1][None], 3).transpose(1, 2).expand(len(t), -1, -1)
        noise, y = torch.randn(x0.shape, generator=torch.Generator().manual_seed(1)), torch.full((len(t),), 3)
        terms = [hybrid_losses(each, q, x0, t, y, noise)[1].mean() for each in (network, plain)]
    assert terms[0] < terms[1], "a better bound than with variances half way between beta and beta~"


def test_a_foreign_file_in_the_place_of_a_run_is_named_and_kept(tmp_path: Path) -> None:
    data, out = eight(tmp_path / "data"), tmp_path / "cdm.pt"
    config, settings = CDMConfig(65, 32, 48, 2, 4), replace(SETTINGS, steps=1)
    nothing = lambda step, loss: None  # noqa: E731
    torch.save({"ema": init_cdm(config).state_dict()}, out)
    foreign = [out.read_bytes(), b"not a checkpoint"]
    for content in foreign:
        out.write_bytes(content)
        with pytest.raises(WeightsError, match=r"cdm.pt: expected nothing, or the checkpoint of a run"):
            train_cdm(model(), data, init_cdm(config), settings, out, nothing)
        assert out.read_bytes() == content
    run = tmp_path / "run"
    run.mkdir()
    for content in foreign:
        (run / "state.pt").write_bytes(content)
        with pytest.raises(WeightsError, match=r"not the state of a run of these sizes.*give another --out"):
            train(model(), data, settings, run, nothing)
        assert [path.name for path in run.iterdir()] == ["state.pt"]


def test_data_of_other_sizes_are_refused_before_the_first_step(tmp_path: Path) -> None:
    data = eight(tmp_path / "data")
    wide = replace(SMALL, unet=replace(SMALL.unet, image_size=16))
    other = ZoomLDM(wide, random_networks(wide, 0), "x", torch.float32, CPU)
    with pytest.raises(DataError, match=r"expected scales 0 .. 7, latents \(3, 16, 16\).*found \(3, 8, 8\) and 24"):
        train(other, data, SETTINGS, tmp_path / "run", lambda step, loss: None)
    data.autoencoder = "other"
    with pytest.raises(DataError, match="latents of another autoencoder"):
        train(model(), data, SETTINGS, tmp_path / "run", lambda step, loss: None)
    assert not (tmp_path / "run").exists()


def test_a_fresh_denoiser_predicts_zero() -> None:
    """As latent diffusion begins: residual branches and output at zero."""
    own = model()
    init_denoiser(own.unet)
    assert own.eps(torch.randn(2, 3, 8, 8), 500, own.unconditional(2)).abs().max() == 0


def error(c: Tensor, said: Tensor) -> float:
    return float((c[:, None] - said[None]).square().mean((2, 3)).min(1).values.mean())


def test_from_slides_to_a_checkpoint_by_the_commands(tmp_path: Path) -> None:
    weights = write_checkpoint(tmp_path / "brca")
    script = torch.jit.script(torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d((2, 4)), torch.nn.Flatten()))
    script.save(str(tmp_path / "net.pt"))  # type: ignore[no-untyped-call]
    for number in range(2):
        Image.fromarray(tissue(128, 192, number)).save(tmp_path / f"slide{number}.png")
    slides = [str(tmp_path / f"slide{number}.png") for number in range(2)]
    run = CliRunner()

    def done(*arguments: object) -> str:
        result = run.invoke(main, ["zoomldm", *map(str, arguments)])
        assert result.exit_code == 0, (result.output, result.exception)
        return result.stdout

    out = tmp_path / "data"
    prepare = ("prepare", *slides, "--weights", weights, "--encoder", f"script:{tmp_path / 'net.pt'}", "--tissue", 0)
    text = done(*prepare, "--out", out)
    assert "12 of scale 0, 2 of scale 1, 0 of scale 2" in text
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    assert done(*prepare, "--out", out) == text, "a second call goes on: nothing is left to do"
    assert written == {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    for words, reason in (
        (("--tissue", 0.25), "data of another tissue"),
        (("--weights", write_checkpoint(tmp_path / "other", seed=3)), "data of another autoencoder"),
        (("--out", tmp_path / "brca"), "found other files"),
    ):
        refusal = run.invoke(main, ["zoomldm", *map(str, (*prepare, "--out", out, *words))])
        assert refusal.exit_code == 1 and reason in refusal.output, refusal.output
    data = read_training_set(out)
    z, u = data.image(1, 0)
    assert (z.shape, u.shape) == ((3, 16, 16), (24, 2, 2))
    train_words = ("train", out, "--config", weights / "config.yaml", "--autoencoder", weights, "--batch", 2)
    done(*train_words, "--steps", 2, "--out", tmp_path / "run")
    assert load_zoomldm(tmp_path / "run").config == TINY
    done(*train_words, "--steps", 5, "--save", 2, "--out", tmp_path / "run")
    lines = (tmp_path / "run" / "losses.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "2", "4", "5"], "a mean of losses for each checkpoint"
    assert all(0 < float(line.split(",")[1]) < 3 for line in lines[1:])
    values = yaml.safe_load((weights / "config.yaml").read_text())
    values["model"]["params"]["cond_stage_config"]["params"]["num_layers"] = 1
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(values))
    odd = (*train_words, "--steps", 9, "--config", tmp_path / "other.yaml", "--out", tmp_path / "run")
    refused = run.invoke(main, ["zoomldm", *map(str, odd)])
    assert refused.exit_code == 1 and "a run of another configuration; go on with" in refused.output
    own = (*train_words, "--config", tmp_path / "run" / "config.yaml")
    done(*own, "--steps", 6, "--out", tmp_path / "run")
    assert load_zoomldm(tmp_path / "run").config == TINY, "what was refused left no configuration behind"
    cdm = ("train-cdm", out, "--weights", tmp_path / "run", "--config", weights / "config.yaml", "--batch", 2)
    done(*cdm, "--steps", 2, "--out", tmp_path / "run" / "cdm.pt")
    assert (tmp_path / "run" / "cdm.losses.csv").read_text().startswith("step,loss\n2,")
    sampled = run.invoke(
        main, ["sample", "--weights", str(tmp_path / "run"), "--cdm", str(tmp_path / "run" / "cdm.pt"), "--count", "1",
               "--steps", "1", "--out", str(tmp_path / "painted")],
    )  # fmt: skip
    assert sampled.exit_code == 0, sampled.output
    (out / "slide1" / DONE).unlink()
    with pytest.raises(DataError, match="is not finished"):
        read_training_set(out)
    other = ["train", str(weights), *map(str, train_words[2:]), "--steps", "1", "--out", str(tmp_path / "x")]
    refused = run.invoke(main, ["zoomldm", *other])
    assert refused.exit_code == 1 and "found no shards" in refused.output


def test_an_autoencoder_of_other_latents_trains_and_samples_by_the_commands(tmp_path: Path) -> None:
    """Seven channels, no residual block in its encoder, latents scaled."""
    config = replace(
        TINY,
        unet=replace(TINY.unet, channels=7),
        autoencoder=replace(TINY.autoencoder, z_channels=7, res_blocks=0),
        summarizer=replace(TINY.summarizer, input_channels=64, magnifications=1),
    )
    weights, out = write_checkpoint(tmp_path / "own", config), tmp_path / "data"
    values = yaml.safe_load((weights / "config.yaml").read_text())
    values["model"]["params"]["scale_factor"] = 0.5
    (weights / "config.yaml").write_text(yaml.safe_dump(values))
    Image.fromarray(tissue(64, 128, 1)).save(tmp_path / "slide.png")
    training = ("zoomldm", "train", out, "--config", weights / "config.yaml", "--autoencoder", weights)
    for words in (
        ("zoomldm", "prepare", tmp_path / "slide.png", "--weights", weights, "--encoder", "mini", "--out", out),
        (*training, "--batch", 2, "--steps", 1, "--out", tmp_path / "run"),
        ("sample", "--weights", tmp_path / "run", "--mag", 20, "--steps", 2, "--out", tmp_path / "painted"),
    ):
        done = CliRunner().invoke(main, [str(word) for word in words])
        assert done.exit_code == 0, (done.output, done.exception)
    assert read_training_set(out).image(0, 0)[0].shape == (7, 16, 16)
    assert load_zoomldm(tmp_path / "run").config == replace(config, scale_factor=0.5)
    assert Image.open(tmp_path / "painted" / "00000.png").size == (64, 64)


def test_two_processes_average_their_gradients(tmp_path: Path) -> None:
    """By torchrun: after two steps on different images both hold the same weights."""
    eight(tmp_path / "data")
    weights = write_checkpoint(tmp_path / "brca", SMALL)
    program = tmp_path / "two.py"
    program.write_text(
        "import sys, torch\n"
        "from everslide.model.zoomldm import training\n"
        "from everslide.model.zoomldm.training_commands import zoomldm\n"
        "steps = training.average_gradients\n"
        "def kept(networks):\n"
        "    own = torch.cat([p.grad.flatten() for p in networks.parameters() if p.grad is not None]).norm().item()\n"
        "    steps(networks)\n"
        "    mean = torch.cat([p.grad.flatten() for p in networks.parameters()]).norm().item()\n"
        f"    open(r'{tmp_path}/gradients', 'a').write(f'{{torch.distributed.get_rank()}} {{own!r}} {{mean!r}}\\n')\n"
        "training.average_gradients = kept\n"
        "zoomldm(sys.argv[1:])\n"
    )
    words = ["train", tmp_path / "data", "--config", weights / "config.yaml", "--autoencoder", weights]
    words += ["--steps", "2", "--batch", "2", "--device", "cpu", "--out", tmp_path / "run"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", program]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([str(word) for word in (*launch, *words)], env=environment, capture_output=True, timeout=250)
    assert done.returncode == 0, done.stderr.decode()
    rows = [line.split() for line in (tmp_path / "gradients").read_text().splitlines()]
    by_rank = {rank: [row for row in rows if row[0] == rank] for rank in "01"}
    assert len(by_rank["0"]) == len(by_rank["1"]) == 2
    for first, second in zip(by_rank["0"], by_rank["1"], strict=True):
        assert first[1] != second[1], "each drew its own images"
        assert first[2] == second[2], "and both step along the mean"
    assert load_zoomldm(tmp_path / "run").config == SMALL
