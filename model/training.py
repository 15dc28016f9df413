"""The six trainings of `mini`, each by the name of its objective. Each gives the file that it wrote."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from everslide.model.adversarial import AdversarialTrainer
from everslide.model.chain import ChainPlan, ChainTrainer
from everslide.model.conditions.cdm import CDMConfig
from everslide.model.conditions.cdm_training import CDMPlan, CDMTrainer
from everslide.model.conditions.encoder import EncoderConfig, load_encoder
from everslide.model.conditions.encoder_training import EncoderPlan, EncoderTrainer
from everslide.model.distillation import Distiller
from everslide.model.network import NetworkConfig
from everslide.model.train import Trainer, TrainingPlan
from everslide.model.weights import Weights, load_weights, save_weights

WEIGHTS, ENCODER = "mini.safetensors", "encoder.safetensors"


@dataclass(frozen=True)
class Given:
    """What a training is given. start: weights to go on from; encoder: of the tissue, the shipped one by default."""

    prepared: Path
    folder: Path
    minutes: float
    threads: int
    batch: int
    compile: bool
    start: Path | None
    encoder: Path | None

    @property
    def weights(self) -> Weights:
        """Those of `start`. Raises WeightsError."""
        assert self.start is not None
        return load_weights(self.start)


def encoder(given: Given) -> Path:
    """Learns without labels what a 20x patch shows."""
    plan = EncoderPlan(given.minutes)
    EncoderTrainer(given.prepared, given.folder, plan, EncoderConfig(), given.threads).run()
    return given.folder / ENCODER


def velocity(given: Given) -> Path:
    """Trains the denoiser on real parents."""
    start = given.weights if given.start else None
    plan = TrainingPlan(given.minutes, given.batch, compile=given.compile)
    config = start.config if start else NetworkConfig()
    tissue = load_encoder(given.encoder)
    Trainer(given.prepared, given.folder, plan, config, given.threads, start, tissue).run()
    return given.folder / WEIGHTS


def cdm(given: Given) -> Path:
    """Trains the model that samples conditions, and puts it into the weights."""
    plan, tissue = CDMPlan(given.minutes), load_encoder(given.encoder)
    tensors = CDMTrainer(given.prepared, given.folder, plan, tissue, given.threads, CDMConfig()).run()
    written = given.folder / WEIGHTS
    save_weights(written, replace(given.weights, cdm=tensors))
    return written


def chain(given: Given) -> Path:
    """Trains the denoiser on what it paints itself."""
    plan, tissue = ChainPlan(given.minutes, compile=given.compile), load_encoder(given.encoder)
    ChainTrainer(given.prepared, given.folder, plan, given.weights, given.threads, tissue).run()
    return given.folder / WEIGHTS


def distil(given: Given) -> Path:
    """Teaches the denoiser to reach in half the steps what it reaches now."""
    plan, tissue = ChainPlan(given.minutes, rate=4e-4, compile=given.compile), load_encoder(given.encoder)
    Distiller(given.prepared, given.folder, plan, given.weights, given.threads, tissue).run()
    return given.folder / WEIGHTS


def adversarial(given: Given) -> Path:
    """Trains weights that paint in one step against a critic, below real tissue."""
    plan = ChainPlan(given.minutes, rate=2e-5, batch=given.batch, average=0.998, compile=given.compile)
    tissue = load_encoder(given.encoder)
    AdversarialTrainer(given.prepared, given.folder, plan, given.weights, given.threads, tissue).run()
    return given.folder / WEIGHTS
