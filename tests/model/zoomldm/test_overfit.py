"""Eight tiny images, learned by heart: what is sampled from a checkpoint that was trained here comes out right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import yaml
from diffusers import VQModel
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from everslide.model.zoomldm.checkpoint import random_networks
from everslide.model.zoomldm.sampling import sample
from everslide.model.zoomldm.training import init_denoiser, train
from everslide.model.zoomldm.training_run import TrainSettings
from everslide.model.zoomldm.training_set import DONE, TrainingSet, read_training_set
from everslide.model.zoomldm.zoomldm import ZoomLDM, load_zoomldm
from tests.model.zoomldm.tiny import TINY, document

SMALL = replace(
    TINY,
    unet=replace(TINY.unet, image_size=8, model_channels=64, channel_mult=(1,), attention_at=(1,)),
    autoencoder=replace(TINY.autoencoder, codes=512),
    summarizer=replace(TINY.summarizer, layers=1),
    beta_start=0.00085,
    beta_end=0.012,
)
"""Two channels a group, or GroupNorm takes away what shows a noise's mean; Stable Diffusion's schedule, whose last
signal is six times that of ZoomLDM's, so that an error at the first step of a sampler is as much smaller."""
SCALES = (3, 4)
SETTINGS = TrainSettings(steps=600, batch=16, rate=3e-3, decay=0.0, warmup=20, ema=0.99, dropped=0.1, save=10**6)


def test_samples_are_the_images_that_were_learned(tmp_path: Path) -> None:
    """Each sample is nearest to the image whose embeddings it was given, and nearly as near as the autoencoder gets.

    In grey levels, root mean square: images are 75 to 107 apart, the autoencoder's own error is 6 to 11, that of the
    samples 9 to 15.
    """
    torch.manual_seed(3)
    images = F.interpolate(torch.rand(8, 3, 4, 4), (32, 32), mode="bicubic").clamp(0, 1) * 2 - 1
    networks = random_networks(SMALL, 0)
    init_denoiser(networks["unet"])
    learn_images(networks["autoencoder"], images)
    model = ZoomLDM(SMALL, networks, "x", torch.float32, torch.device("cpu"))
    with torch.inference_mode():
        data = write_data(tmp_path / "data", model.encode(images))
    train(model, data, SETTINGS, tmp_path / "run", lambda step, loss: None)
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(document(SMALL)))

    trained = load_zoomldm(tmp_path / "run")
    with torch.inference_mode():
        u = [torch.stack([data.image(s, row)[1] for row in range(4)]) for s in SCALES]
        c = torch.cat([trained.condition(part, s) for part, s in zip(u, SCALES, strict=True)])
        start = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(4))
        sampled = trained.decode(sample(trained, start, c, w=1, steps=50, method="plms"))
        decoded = trained.decode(trained.encode(images))
    apart = distances(sampled, images)
    own, floor = apart.diagonal(), distances(decoded, images).diagonal()
    assert apart.argmin(1).tolist() == list(range(8))
    assert (own / floor).max() < 4 and own.mean() < 2 * floor.mean(), (own, floor)


def learn_images(autoencoder: VQModel, images: Tensor, steps: int = 120) -> None:
    """An autoencoder of these images, its latents of deviation one, each of them a code of its code book."""
    autoencoder.requires_grad_(True)
    optimiser = torch.optim.Adam(autoencoder.parameters(), 3e-3)
    for _ in range(steps):
        z = autoencoder.encode(images).latents
        loss = (autoencoder.decode(z, force_not_quantize=True).sample - images).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        z = autoencoder.encode(images).latents
        mean, deviation = z.mean((0, 2, 3)), z.std((0, 2, 3))
        into, out = autoencoder.quant_conv, autoencoder.post_quant_conv
        into.weight /= deviation[:, None, None, None]
        into.bias.copy_((into.bias - mean) / deviation)
        out.bias += out.weight[:, :, 0, 0] @ mean
        out.weight *= deviation[None, :, None, None]
        z = autoencoder.encode(images).latents
        autoencoder.quantize.embedding.weight.copy_(z.permute(0, 2, 3, 1).reshape(-1, 3))


def write_data(folder: Path, z: Tensor) -> TrainingSet:
    """Four images of each scale. Embeddings of an image's patches are alike, as those of a slide's neighbours are."""
    (folder / "slide").mkdir(parents=True)
    channels = SMALL.summarizer.input_channels
    u = torch.randn(8, channels, 1, 1) + 0.3 * torch.randn(8, channels, 8, 8)
    for part, s in enumerate(SCALES):
        rows = slice(4 * part, 4 * part + 4)
        tensors = {"z": z[rows].contiguous(), "u": u[rows].contiguous()}
        save_file(tensors, folder / "slide" / f"s{s}-00000.safetensors")
    (folder / "slide" / DONE).write_text("{}")
    return read_training_set(folder)


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Root mean squares of all pairs' differences, in grey levels."""
    return 127.5 * (a[:, None] - b[None]).square().mean((2, 3, 4)).sqrt()
