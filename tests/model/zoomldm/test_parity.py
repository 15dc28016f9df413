"""Parity with the reference implementation.

A part of its recorded inputs and outputs comes with the tests (`reference/`): denoiser, Summarizer, CDM, samplers, code
book, resizer, seam pass, inversion. What runs the autoencoder needs the whole: `pytest --parity FOLDER`, or
EVERSLIDE_PARITY=FOLDER. Its weights and the denoiser's cannot be packed into less than 2.3 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor

from everslide.model.zoomldm.cdm_sampling import sample_conditions
from everslide.model.zoomldm.inversion import InversionSettings, invert, losses
from everslide.model.zoomldm.joint import JointSettings, correct, ddim_step, limit, predict
from everslide.model.zoomldm.large import Layout, context_guides, sample_details
from everslide.model.zoomldm.resize import Resizer
from everslide.model.zoomldm.sampling import Method, sample, states
from everslide.model.zoomldm.schedule import cosine_betas, respaced
from everslide.model.zoomldm.seams import (
    SeamSettings,
    blending_kernel,
    decode_large,
    from_patches,
    seam_pass,
    to_patches,
    window_conditions,
)
from everslide.model.zoomldm.summarizer import prepare_grid
from everslide.model.zoomldm.zoomldm import ZoomLDM, load_cdm, load_zoomldm
from tests.model.zoomldm.recorded import Recorded

TOLERANCE = 1e-4
FREE_RUNNING = 2e-10
PER_STEP = 1e-11
Arrays = Callable[..., Tensor]


@pytest.fixture(scope="module")
def recorded(request: pytest.FixtureRequest) -> Recorded:
    """The whole arrays where a folder of them was given, else those that come with the tests."""
    given = request.config.getoption("--parity")
    return Recorded.read(Path(given)) if given else Recorded.shipped()


@pytest.fixture(scope="module")
def checkpoint(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint as the authors publish theirs."""
    return recorded.write(tmp_path_factory.mktemp("parity"))


@pytest.fixture
def whole(recorded: Recorded) -> None:
    """For what needs the reference's autoencoder or more arrays than come with the tests."""
    if not recorded.whole:
        pytest.skip("needs the whole recording of the reference, with its autoencoder: give --parity FOLDER")


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> ZoomLDM:
    return load_zoomldm(checkpoint)


@pytest.fixture(scope="module")
def exact(checkpoint: Path) -> ZoomLDM:
    return load_zoomldm(checkpoint, dtype=torch.float64)


@pytest.fixture(scope="module")
def given(recorded: Recorded) -> Arrays:
    return recorded.array


def check(found: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> None:
    assert found.shape == expected.shape
    torch.testing.assert_close(found.detach(), expected, atol=tolerance, rtol=tolerance, check_dtype=False)


def test_schedule(model: ZoomLDM, given: Arrays) -> None:
    check(model.schedule.betas, given("sched/betas"), 0)
    check(model.schedule.alpha_bar, given("sched/alphas_cumprod"), 0)


def test_grids_are_pooled_and_normalised(given: Arrays) -> None:
    check(prepare_grid(given("ssl/raw16")), given("ssl/norm8"))


@pytest.mark.parametrize("tokens", [1, 4, 16, 64])
def test_summarizer(model: ZoomLDM, given: Arrays, tokens: int) -> None:
    check(model.summarizer(given(f"summ/in_{tokens}"), given(f"summ/mag_{tokens}")), given(f"summ/out_{tokens}"))


def test_summarizer_at_all_magnifications(model: ZoomLDM, given: Arrays) -> None:
    found = model.summarizer(given("summ/in_64")[:1].expand(8, -1, -1, -1), torch.arange(8))
    check(found, given("summ/out_64_allmags"))


def test_unet(model: ZoomLDM, given: Arrays) -> None:
    x, c = given("unet/x_mag"), given("summ/out_64_allmags")
    check(model.eps(x, 500, c), given("unet/eps_mag_t500"))
    check(model.eps(x, given("unet/t_list"), c[:1].expand(8, -1, -1)), given("unet/eps_tlist"))
    check(model.guided_eps(x, 500, c, 2), given("unet/cfg_w2_t500"))
    check(model.guided_eps(x, 500, c, 0), given("unet/eps_mag_t500"))


def test_code_book(model: ZoomLDM, given: Arrays) -> None:
    quantised, _, (_, _, indices) = model.autoencoder.quantize(given("vq/prequant"))
    check(quantised, given("vq/quant"))
    check(indices.reshape(1, 16, 16), given("vq/indices"), 0)


@pytest.mark.usefixtures("whole")
def test_autoencoder(model: ZoomLDM, given: Arrays) -> None:
    z = given("vq/prequant")
    check(model.encode(given("vq/img")), z)
    check(model.decode(z), given("vq/dec"))
    check(model.autoencoder.decode(z, force_not_quantize=True, return_dict=False)[0], given("vq/dec_noquant"))


def test_ddim(model: ZoomLDM, given: Arrays) -> None:
    start = given("ddim/xT")
    path = list(states(model, start, given("ddim/cond"), w=1, steps=10))
    assert [state.t for state in path] == given("ddim/timesteps").flip(0).tolist()
    check(path[-1].z, given("ddim/x0"))
    times = given("ddim/timesteps")
    check(model.schedule.alpha_bar[times], given("ddim/alphas"))
    before = torch.cat([model.schedule.alpha_bar[:1], model.schedule.alpha_bar[times[:-1]]])
    check(before, given("ddim/alphas_prev"))
    predictions = given("ddim/traj_pred_x0")
    steps = [0, 4, 9] if len(predictions) == 3 else range(10)  # three of them come with the tests
    check(torch.stack([z0 for i in steps if (z0 := path[i].z0) is not None]), predictions)


def test_plms(model: ZoomLDM, given: Arrays) -> None:
    method: Method = "plms"
    found = sample(model, given("ddim/xT"), given("ddim/cond"), w=1, steps=10, method=method)
    check(found, given("plms/x0"))
    check(model.schedule.alpha_bar[given("plms/timesteps")], given("plms/alphas"))


@pytest.mark.usefixtures("whole")
def test_sampled_images(model: ZoomLDM, given: Arrays) -> None:
    path = list(states(model, given("ddim/xT"), given("ddim/cond"), w=1, steps=10))
    check(torch.stack([given("ddim/xT"), *(state.z for state in path)]), given("ddim/traj_x"))
    check(model.decode(path[-1].z[:1]), given("ddim/image"))
    found = sample(model, given("ddim/xT"), given("ddim/cond"), w=1, steps=10, method="plms")
    check(model.decode(found[:1]), given("plms/image"))


def test_resizer(given: Arrays) -> None:
    x = given("resize/x")
    for factor in (2, 4, 8):
        check(Resizer(factor).down(x), given(f"resize/down{factor}"))
    for factor in (2, 8):
        check(Resizer(factor).up(Resizer(factor).down(x)), given(f"resize/up{factor}"))


NOTEBOOK = partial(JointSettings, stride=100, normalise=True, noise=True)
VARIANTS = {
    "K1": NOTEBOOK(),
    "K2": NOTEBOOK(corrections=2),
    "K1_minusbeta": NOTEBOOK(deduct_noise=True),
}


def _quarters(image: Tensor) -> Tensor:
    """(1, 3, 64, 64) -> (4, 3, 32, 32)."""
    return to_patches(image, 32)


def _conditions(model: ZoomLDM, given: Arrays) -> tuple[Tensor, Tensor]:
    """Of the context and of its four details, in float64; the recorded ones are rounded to float32."""
    grid = given("joint/ssl_grid", torch.float64)
    context = model.summarizer(grid[None], torch.tensor([1]))
    detail = model.summarizer(grid.flatten(1).T[:, :, None, None], torch.zeros(4, dtype=torch.long))
    check(context, given("joint/cond_context"))
    check(detail, given("joint/cond_detail"))
    return context, detail


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize("name", VARIANTS)
def test_joint_sampling_runs_free(exact: ZoomLDM, given: Arrays, name: str) -> None:
    settings, operator = VARIANTS[name], Resizer(2)
    c_context, c = _conditions(exact, given)
    z, z_context = (given(f"joint/xT_{part}", torch.float64) for part in ("detail", "context"))
    for i, t in enumerate(settings.times):
        context = predict(exact, z_context, t, c_context, settings.w)
        guide = _quarters(limit(exact.decode(context.z0), settings))
        detail = correct(exact, predict(exact, z, t, c, settings.w), t, c, guide, operator, settings)
        z = ddim_step(exact, detail, t, settings, given("joint/noise_detail", torch.float64)[i])
        z_context = ddim_step(exact, context, t, settings, given("joint/noise_context", torch.float64)[i])
    check(z, given(f"joint/{name}/xd_final"), FREE_RUNNING)
    if name != "K1_minusbeta":
        check(z_context, given(f"joint/{name}/xg_final"), FREE_RUNNING)
    if name == "K1":
        check(exact.decode(z_context), given("joint/K1/img_context"))


@pytest.mark.usefixtures("whole")
def test_joint_sampling_of_whole_images(exact: ZoomLDM, given: Arrays) -> None:
    """The same through what `everslide large` runs: the context's path first, then its details, two and two."""
    settings, double = VARIANTS["K1"], torch.float64
    c_context, c = _conditions(exact, given)

    def noise_of(part: str) -> Callable[[str, Sequence[int]], Tensor]:
        starts, noises = given(f"joint/xT_{part}", double), given(f"joint/noise_{part}", double)
        return lambda stream, rows: (starts if stream == "start" else noises[int(stream.split()[1])])[list(rows)]

    above = noise_of("context")
    guides, last = context_guides(exact, c_context, settings, lambda stream: above(stream, [0]))
    check(last, given("joint/K1/xg_final"), FREE_RUNNING)
    z = sample_details(exact, guides, c, Layout(0, 2, 2), settings, "resizer", noise_of("detail"), batch=2)
    check(to_patches(z, 16), given("joint/K1/xd_final"), 1e-9)  # in batches of another shape


@pytest.mark.usefixtures("whole")
def test_joint_sampling_step_by_step(exact: ZoomLDM, given: Arrays) -> None:
    settings, operator = VARIANTS["K1"], Resizer(2)
    c_context, c = _conditions(exact, given)
    for i, t in enumerate(settings.times):
        z, z_context = given(f"joint/K1/step{i}/xd_in"), given(f"joint/K1/step{i}/xg_in")
        context = predict(exact, z_context, t, c_context, settings.w)
        before = predict(exact, z, t, c, settings.w)
        guide = limit(exact.decode(context.z0), settings)
        after = correct(exact, before, t, c, _quarters(guide), operator, settings)
        if i == 0:
            check(before.z0, given("joint/K1/s0_x0_before"))
            check(guide, given("joint/K1/s0_guide_img"))
        if i in (0, 4, 9):
            check(after.z, given(f"joint/K1/step{i}/xd_corr"))
            check(after.z0, given(f"joint/K1/step{i}/xd_x0"))
            check(context.z0, given(f"joint/K1/step{i}/xg_x0"))
        last = i == len(settings.times) - 1
        next_z, next_context = (
            ("joint/K1/xd_final", "joint/K1/xg_final")
            if last
            else (f"joint/K1/step{i + 1}/xd_in", f"joint/K1/step{i + 1}/xg_in")
        )
        noise = given("joint/noise_detail", torch.float64)[i]
        check(ddim_step(exact, after, t, settings, noise), given(next_z), PER_STEP)
        noise = given("joint/noise_context", torch.float64)[i]
        check(ddim_step(exact, context, t, settings, noise), given(next_context), PER_STEP)


@pytest.mark.usefixtures("whole")
def test_directions_of_the_first_correction(exact: ZoomLDM, given: Arrays) -> None:
    """Of the first patch: what its image lacks, the same in latents, and carried through the denoiser."""
    settings, operator = VARIANTS["K1"], Resizer(2)
    _, c = _conditions(exact, given)
    t = settings.start
    before = predict(exact, given("joint/K1/step0/xd_in"), t, c, settings.w)
    image = exact.decode(before.z0)
    guide = _quarters(given("joint/K1/s0_guide_img", torch.float64))
    e_img = operator.up(guide - operator.down(image))
    e_img = e_img / e_img.abs().amax((1, 2, 3), keepdim=True)
    check(e_img[:1], given("joint/K1/s0_k0_img_err"))
    e = exact.encode(image + settings.zeta * e_img) - exact.encode(image)
    check(e / e.abs().amax((1, 2, 3), keepdim=True), given("joint/K1/s0_k0_lat_err"))
    g = given("joint/K1/s0_k0_grad", torch.float64)
    after = correct(exact, before, t, c, guide, operator, settings)
    check((after.z - before.z) / settings.lambda_, g)


@pytest.mark.usefixtures("whole")
def test_large_images_are_decoded_alike(model: ZoomLDM, given: Arrays) -> None:
    decoded = decode_large(model, given("large/latent"), 4)
    pixels = (decoded * 255).to(torch.uint8).permute(1, 2, 0)[None]
    assert (pixels.int() - given("large/decoded_u8_stride4").int()).abs().max() <= 1


def test_blending_kernel(given: Arrays) -> None:
    check(blending_kernel(64), given("large/kernel64"))


@pytest.mark.parametrize("batch", [1, 25])
def test_seam_pass(model: ZoomLDM, given: Arrays, batch: int) -> None:
    c = window_conditions(model, given("joint/ssl_grid"), 32, 32, 4)
    check(c[:1], given("post/conds_0_0"))
    check(c[7:8], given("post/conds_4_8"))

    def noise(i: int) -> Tensor:
        return from_patches(given("post/noise_init"), 2) if i < 0 else given("post/noise_steps")[i]

    start = from_patches(given("joint/K1/xd_final", torch.float32), 2)
    done = seam_pass(model, start, c, SeamSettings(300, 100, 2.0, 4), noise, batch)
    check(to_patches(done, 16), given("post/out"))


def test_inversion(model: ZoomLDM, given: Arrays) -> None:
    settings = InversionSettings()
    assert settings.times == given("inv/t_all").tolist()
    assert settings.times[:3] == given("inv/t").tolist()
    z, start, noise = given("inv/latent"), given("inv/feat0")[None], given("inv/noise")
    u = start.clone().requires_grad_(True)
    denoising, similarity = losses(model, z, 1, u, 950, noise[0])
    (denoising - settings.similarity * similarity).sum().backward()  # type: ignore[no-untyped-call]
    assert u.grad is not None
    torch.testing.assert_close(u.grad[0], given("inv/grad0"), atol=1e-8, rtol=1e-4)
    steps = list(islice(invert(model, z, 1, start, lambda i: noise[i], settings), 3))
    found = torch.tensor([[float(x) for x in (s.denoising, s.similarity, s.total)] for s in steps])
    check(found, given("inv/losses"), 1e-6)
    check(steps[2].u[0], given("inv/feat3"))
    check(steps[2].u[0], given("inv/feat1"))  # recorded after the third step as well
    assert (steps[0].u - start).abs().max() <= settings.rate * 1.001


def test_cdm(checkpoint: Path, given: Arrays) -> None:
    cdm, _ = load_cdm(checkpoint / "cdm.ckpt")
    check(torch.from_numpy(cosine_betas()), given("cdm/betas1000"), 1e-12)
    assert respaced(200)[0] == given("cdm/timestep_map_200").tolist()
    times, alpha_bar = respaced(10)
    assert times == given("cdm/timestep_map_10").tolist()
    check(torch.from_numpy(alpha_bar), given("cdm/alphas_cumprod_10"), 1e-12)
    found = sample_conditions(cdm, given("cdm/z"), given("cdm/z_y"), 10)
    check(found.transpose(1, 2), given("cdm/ddim10_sample"))


def test_outputs_of_the_cdm(checkpoint: Path, given: Arrays) -> None:
    cdm, _ = load_cdm(checkpoint / "cdm.ckpt")
    check(cdm(given("cdm/x"), given("cdm/t"), given("cdm/y")), given("cdm/out"))
