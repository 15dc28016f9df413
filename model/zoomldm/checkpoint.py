"""The authors' checkpoints: read once, checked name by name, and kept as safetensors beside the original.

`weights.ckpt` is a flat state dict: `model.diffusion_model.*` (the U-Net as trained), `model_ema.*` (its average, names
without dots: the one to use), `first_stage_model.*` (VQ autoencoder), `cond_stage_model.*` (Summarizer) and the
schedule. Only tensors are read (`weights_only`): a pickle with code in it is refused. Both files are mapped into
memory, and the networks take over the mapped tensors, so that no second copy of the weights is ever held.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from everslide.model.errors import WeightsError
from everslide.model.whole_file import written_whole
from everslide.model.zoomldm.cdm import CDM
from everslide.model.zoomldm.config import CDMConfig, ZoomLDMConfig, config_from_dict
from everslide.model.zoomldm.networks import autoencoder_name, make_autoencoder, make_unet, unet_name
from everslide.model.zoomldm.summarizer import make_summarizer

FORMAT = "everslide-zoomldm-1"
CDM_FORMAT = "everslide-zoomldm-cdm-1"
SUFFIX = ".everslide.safetensors"
_SCHEDULE = {
    "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod", "posterior_variance",
    "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2", "logvar",
}  # fmt: skip
"""What follows from config.yaml, and is not read."""
_EMA_STATE = {"model_ema.decay", "model_ema.num_updates"}
_HEADS = {384: 6, 768: 12, 1024: 16, 1152: 16}
"""Heads of the authors' DiT-S, -B, -L, -XL by width: a state dict does not contain them."""
_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
Networks = dict[str, nn.Module]


def empty_networks(config: ZoomLDMConfig) -> Networks:
    """U-Net, autoencoder and Summarizer on torch's meta device: shapes and names, no memory for weights."""
    with torch.device("meta"):
        return {
            "unet": make_unet(config.unet),
            "autoencoder": make_autoencoder(config.autoencoder),
            "summarizer": make_summarizer(config.summarizer),
        }


def random_networks(config: ZoomLDMConfig, seed: int) -> Networks:
    """U-Net, autoencoder and Summarizer with random weights: to begin training, to measure time and memory, to test."""
    torch.manual_seed(seed)
    return {
        "unet": make_unet(config.unet),
        "autoencoder": make_autoencoder(config.autoencoder),
        "summarizer": make_summarizer(config.summarizer),
    }


def authors_names(config: ZoomLDMConfig, networks: Networks) -> dict[str, str]:
    """ "network.parameter" here -> its name in the authors' state dict."""
    naming: dict[str, Callable[[str], str]] = {
        "unet": lambda name: unet_source(unet_name(name, config.unet), config.ema),
        "autoencoder": lambda name: f"first_stage_model.{autoencoder_name(name, config.autoencoder)}",
        "summarizer": lambda name: f"cond_stage_model.{name}",
    }
    return {f"{part}.{name}": naming[part](name) for part, net in networks.items() for name in net.state_dict()}


def unet_source(name: str, ema: bool) -> str:
    """The authors' name of a U-Net parameter -> its key in the checkpoint; ema: of the average, without dots."""
    return "model_ema." + f"diffusion_model.{name}".replace(".", "") if ema else f"model.diffusion_model.{name}"


def converted_path(weights: Path) -> Path:
    """Where `convert` writes the safetensors of a checkpoint: beside it, NAME.everslide.safetensors."""
    return weights if weights.name.endswith(SUFFIX) else weights.with_name(weights.stem + SUFFIX)


def convert(weights: Path, config: ZoomLDMConfig) -> Path:
    """Write the safetensors of `weights` beside it, unless they are there already and of this very file.

    Raises WeightsError where the file is missing, truncated, holds code, or has other keys or shapes than `config`.
    """
    target = converted_path(weights)
    if target == weights or _is_current(target, weights, config):
        return target
    return write_converted(target, weights, config, read_tensors(weights), _state_of(weights))


def write_converted(
    target: Path, weights: Path, config: ZoomLDMConfig, found: Mapping[str, Tensor], state: str
) -> Path:
    """Write a state dict in the authors' names (`found`) as safetensors to `target`, under the names of our networks.

    weights: the path that errors name. state: of the source files, by which `is_converted` knows them again. Raises
    WeightsError where keys or shapes are others than those of `config`, or `target` cannot be written.
    """
    networks = empty_networks(config)
    expected = authors_names(config, networks)
    ignored = _SCHEDULE | _EMA_STATE
    if config.ema:
        ignored |= {f"model.diffusion_model.{unet_name(name, config.unet)}" for name in networks["unet"].state_dict()}
    check_names(weights, set(expected.values()), found.keys(), ignored)
    shapes = {f"{part}.{name}": t.shape for part, net in networks.items() for name, t in net.state_dict().items()}
    tensors = {name: _fit(weights, source, found[source], shapes[name]) for name, source in expected.items()}
    header = {"format": FORMAT, "config": json.dumps(config.as_dict()), "source": state}
    return _save(target, tensors, header)


def load_networks(path: Path, dtype: torch.dtype) -> tuple[ZoomLDMConfig, Networks, str]:
    """Configuration, networks in `dtype` and SHA-256 of a file written by `convert`. Raises WeightsError."""
    header, tensors = _open(path, FORMAT)
    config = config_from_dict(json.loads(header["config"]))
    networks = empty_networks(config)
    for part, network in networks.items():
        _fill(
            path,
            network,
            {n.removeprefix(f"{part}."): t for n, t in tensors.items() if n.startswith(f"{part}.")},
            dtype,
        )
    return config, networks, header["digest"]


def convert_cdm(weights: Path, config: CDMConfig | None) -> Path:
    """Write the safetensors of a CDM's checkpoint beside it, unless they are there already and of this very file.

    The tensors are those below "ema" where there are such. config: None infers sizes from shapes, heads from the
    authors' table. Raises WeightsError as `convert` does.
    """
    target = converted_path(weights)
    if target == weights or _is_current(target, weights, config):
        return target
    found = read_tensors(weights)
    config = config or _infer_cdm(weights, found)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in CDM(config).state_dict().items()}
    check_names(weights, shapes.keys(), found.keys(), set())
    tensors = {name: _fit(weights, name, found[name], shape) for name, shape in shapes.items()}
    header = {"format": CDM_FORMAT, "config": json.dumps(asdict(config)), "source": _state_of(weights)}
    return _save(target, tensors, header)


def load_cdm_network(path: Path, dtype: torch.dtype) -> tuple[CDM, str]:
    """The CDM in `dtype` and SHA-256 of a file written by `convert_cdm`. Raises WeightsError."""
    header, tensors = _open(path, CDM_FORMAT)
    with torch.device("meta"):
        network = CDM(CDMConfig(**json.loads(header["config"])))
    _fill(path, network, tensors, dtype)
    return network, header["digest"]


def is_cdm(path: Path) -> bool:
    """Whether a checkpoint is one of a conditioning diffusion model. Raises WeightsError."""
    if not path.name.endswith(SUFFIX):
        return "x_embedder.weight" in read_tensors(path)
    try:
        with safe_open(path, "pt") as file:
            return (file.metadata() or {}).get("format") == CDM_FORMAT
    except (FileNotFoundError, SafetensorError) as error:
        raise WeightsError(f"{path}: not a whole safetensors file ({error})") from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The flat state dict of a .ckpt, mapped into memory. Raises WeightsError."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; `everslide models pull` fetches the published ones")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # options of a training script: names and values
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except UnpicklingError as error:
        raise WeightsError(
            f"{path}: refused: expected tensors only, found a pickle that holds other objects or code"
            f"{_culprit(error)}; take the file from its authors"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"{path}: expected a whole PyTorch checkpoint (a .ckpt as published), found a truncated or other file "
            f"({str(error).split('.')[0].splitlines()[0]}); copy it again"
        ) from error
    for wrapper in ("ema", "teacher", "state_dict"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
    if not isinstance(loaded, Mapping) or not loaded or not all(isinstance(t, Tensor) for t in loaded.values()):
        raise WeightsError(f"{path}: expected a state dict (tensors by name), found {type(loaded).__name__}")
    return dict(loaded)


def _culprit(error: UnpicklingError) -> str:
    """What the pickle wanted to call, without torch's advice to allow it."""
    named = re.search(r"GLOBAL (\S+)", str(error))
    return f" ({named[1]})" if named else ""


def check_names(path: Path, expected: Iterable[str], found: Iterable[str], ignored: set[str]) -> None:
    """Raise WeightsError, which names them, where keys are missing or unknown."""
    wanted, there = set(expected), set(found)
    missing, unknown = sorted(wanted - there), sorted(there - wanted - ignored)
    if missing or unknown:
        raise WeightsError(
            f"{path}: not the architecture of its configuration: missing {_names(missing)}; unknown {_names(unknown)}"
        )


def _names(names: list[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more


def _fit(path: Path, name: str, tensor: Tensor, shape: torch.Size) -> Tensor:
    """The tensor in the shape of its parameter: a 1x1 convolution of the authors may be a linear layer here."""
    if tensor.shape != shape and tensor.shape != (*shape, 1, 1):
        raise WeightsError(f"{path}: {name} has the shape {tuple(tensor.shape)}, expected {tuple(shape)}")
    if not tensor.is_floating_point():
        raise WeightsError(f"{path}: {name} is of type {tensor.dtype}, expected floating point numbers")
    kept = tensor if tensor.dtype in _DTYPES else tensor.to(torch.float32)
    return kept.reshape(shape).contiguous()


def _state_of(weights: Path) -> str:
    """Size and time of change of a file: equal while it is the one that was converted."""
    state = weights.stat()
    return f"{state.st_size} {state.st_mtime_ns}"


def is_converted(target: Path, state: str, config: ZoomLDMConfig | CDMConfig | None) -> bool:
    """Whether `target` was converted from files of that state, whole, and for that configuration."""
    try:
        with safe_open(target, "pt") as file:
            header = file.metadata() or {}
    except (FileNotFoundError, SafetensorError):
        return False  # an interrupted conversion: do it again
    same = config is None or json.loads(header.get("config", "{}")) == json.loads(json.dumps(asdict(config)))
    return same and header.get("source") == state


def _is_current(target: Path, weights: Path, config: ZoomLDMConfig | CDMConfig | None) -> bool:
    if not target.is_file() or not weights.is_file():
        return target.is_file()
    return is_converted(target, _state_of(weights), config)


def _save(target: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> Path:
    """Write whole or not at all. Raises WeightsError where the folder cannot be written to."""
    sha = hashlib.sha256(header["config"].encode())
    for name in sorted(tensors):
        sha.update(name.encode())
        sha.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    try:
        with written_whole(target) as partial:
            save_file(tensors, partial, metadata={**header, "digest": sha.hexdigest()})
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{target}: the converted weights cannot be written ({error}); put the checkpoint into a folder that can "
            "be written to, with as much free space as its own size"
        ) from error
    return target


def _open(path: Path, wanted: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            if header.get("format") != wanted:
                raise WeightsError(f"{path}: expected the format {wanted}, found {header.get('format')!r}")
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: no such file") from error
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a whole safetensors file ({error}); delete it to convert again") from error


def _fill(path: Path, network: nn.Module, tensors: dict[str, Tensor], dtype: torch.dtype) -> None:
    """Give an empty network its weights, one tensor after the other; those of `dtype` already stay mapped."""
    check_names(path, network.state_dict().keys(), tensors.keys(), set())
    for name in list(tensors):
        tensors[name] = tensors[name].to(dtype)
    network.load_state_dict(tensors, assign=True)
    network.requires_grad_(False).eval()


def _infer_cdm(path: Path, found: Mapping[str, Tensor]) -> CDMConfig:
    """Sizes from the shapes of the tensors, heads from the authors' table."""
    try:
        hidden, channels = found["x_embedder.weight"].shape
        mlp = found["blocks.0.mlp.fc1.weight"].shape[0]
        classes = found["y_embedder.embedding_table.weight"].shape[0]
        tokens = found["pos_embed"].shape[1]
        depth = len({name.split(".")[1] for name in found if name.startswith("blocks.")})
        return CDMConfig(tokens, channels, hidden, depth, _HEADS[hidden], mlp / hidden, classes)
    except (KeyError, ValueError, IndexError) as error:
        raise WeightsError(
            f"{path}: expected the state dict of a conditioning diffusion model, lacks {error}"
        ) from error
