"""`mini` in 8-bit integers: the same bytes however it is called, and pictures near to those of torch."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from everslide.model.errors import SlideError, WeightsError
from everslide.model.evaluation.fields import MemoryTiles
from everslide.model.geometry import TileIndex, WindowIndex
from everslide.model.mini import openvino_network as module
from everslide.model.mini.activation_ranges import activation_ranges
from everslide.model.mini.model import SHIPPED_WEIGHTS, MiniModel, fastest_runtime, load_mini
from everslide.model.mini.weights import save_weights
from everslide.model.pyramid.generation_context import GenerationContext
from everslide.model.pyramid.painter import Painter
from everslide.model.pyramid.top import ImageTop
from everslide.model.sampling_config import OWN, SamplingConfig
from everslide.model.slide import Slide
from everslide.model.style_reference import Reference, Style
from tests.model.networks import tiny_weights
from tests.model.pictures import missing, tissue

Floats = NDArray[np.float32]
WINDOWS = [WindowIndex(3, col, 1) for col in range(4)]
ANOTHER_PROCESS = """
import hashlib, sys
from pathlib import Path
from tests.model.mini.test_openvino_network import WINDOWS, digest, painted
from everslide.model.mini.model import load_mini
model = load_mini(Path(sys.argv[1]), side_by_side=2, runtime="openvino")
print(model.fingerprint, digest([painted(model, window) for window in reversed(WINDOWS)][::-1]))
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mini") / "mini.safetensors"
    save_weights(path, tiny_weights(cases={"colon": 3, "fat": 2}))
    return path


@pytest.fixture(scope="module")
def tiny(weights: Path) -> MiniModel:
    return integers(weights)


def integers(weights: Path | None, side_by_side: int = 1) -> MiniModel:
    """The model in 8-bit integers; skips the test where this machine cannot."""
    if not torch.cpu._is_vnni_supported():
        pytest.skip("this CPU has no AVX-512 VNNI")
    if find_spec("openvino") is None:
        missing("the extra `fast` is not installed")
    return load_mini(weights, side_by_side=side_by_side, runtime="openvino")


def painted(
    model: MiniModel, window: WindowIndex = WINDOWS[0], sampling: SamplingConfig = OWN, like: float = 0
) -> Floats:
    """Bands (160, 160, 3, 3) of a window on tissue. like: strength of a reference."""
    style = Style(np.linspace(-like, like, 64, dtype=np.float32), np.full((5, 3), 150, np.float32))
    context = replace(GenerationContext(7), sampling=sampling, reference=Reference(style) if like else None)
    return np.asarray(model.bands(context, [window], tissue(160, 160)[None])[0])


def digest(windows: list[Floats]) -> str:
    return hashlib.sha256(b"".join(window.tobytes() for window in windows)).hexdigest()


def deviation(x: Floats) -> float:
    return float(np.sqrt(np.square(x).mean()))


@pytest.mark.parametrize("sampling", [OWN, SamplingConfig(2), SamplingConfig(1, 2.0)])
@pytest.mark.parametrize("like", [0.0, 1.0])
def test_bands_are_near_to_those_of_torch(
    tiny: MiniModel, weights: Path, sampling: SamplingConfig, like: float
) -> None:
    exact = painted(load_mini(weights, side_by_side=1, runtime="torch"), sampling=sampling, like=like)
    apart = deviation(painted(tiny, sampling=sampling, like=like) - exact)
    assert 0 < apart < 0.15 * deviation(exact)


@pytest.mark.parametrize("s", [0, 3, 7])
def test_shipped_bands_are_near_to_those_of_torch(s: int) -> None:
    if not SHIPPED_WEIGHTS.exists():
        missing("no weights in model/weights: the shipped model is not tested")
    window, exact = WindowIndex(s, 2, 1), load_mini(side_by_side=1, runtime="torch")
    apart = painted(integers(None), window) - painted(exact, window)
    assert deviation(apart) < 1.5, "grey levels"
    assert abs(float(apart.mean())) < 0.1, "grey levels"


def test_the_same_window_is_the_same_bytes_in_any_order_and_thread(tiny: MiniModel, weights: Path) -> None:
    first = [painted(tiny, window) for window in WINDOWS]
    other = integers(weights, side_by_side=3)
    found: dict[int, Floats] = {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: painted(other, WINDOWS[i % len(WINDOWS)])}))
        for i in reversed(range(12))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert other.fingerprint == tiny.fingerprint
    assert sorted(found) == list(range(12))
    for i, bands in found.items():
        np.testing.assert_array_equal(bands, first[i % len(WINDOWS)])


def test_another_process_paints_the_same_bytes_and_reports_to_nobody(
    tiny: MiniModel, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO's telemetry would leave an identifier in the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    command = [sys.executable, "-c", ANOTHER_PROCESS, str(weights)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == [tiny.fingerprint, digest([painted(tiny, window) for window in WINDOWS])]
    assert not list(tmp_path.iterdir())


def test_tiles_do_not_depend_on_other_tiles(tiny: MiniModel) -> None:
    def painter() -> Painter:
        return Painter(Slide("photo", 3, 2048, 2048), tiny, MemoryTiles(), ImageTop(tissue(512, 512), 2))

    tiles, one = [TileIndex(1, 1, 1), TileIndex(0, 3, 2)], painter()
    one.tile(TileIndex(0, 6, 6))
    for tile in reversed(tiles):
        np.testing.assert_array_equal(one.tile(tile), painter().tile(tile))


def test_the_fingerprint_is_its_own(tiny: MiniModel, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prints = {tiny.fingerprint, load_mini(weights, side_by_side=1, runtime="torch").fingerprint}
    assert integers(weights).fingerprint in prints
    monkeypatch.setattr(module, "FORMAT", 99)
    prints.add(integers(weights).fingerprint)
    assert len(prints) == 3


def test_ranges_hold_what_was_measured_and_zero() -> None:
    network = tiny_weights().build().eval()
    ranges = activation_ranges(network)
    assert set(ranges) == {name for name, layer in network.named_modules() if isinstance(layer, torch.nn.Conv2d)}
    assert all(low <= 0 < high for low, high in ranges.values())
    assert activation_ranges(network) == ranges
    with torch.no_grad():
        network.enter.weight *= 2  # reaches the next stage past the block's normalisation
    assert activation_ranges(network)["down.1.shrink"] != ranges["down.1.shrink"]


def test_weights_that_lack_a_range_are_refused(weights: Path, tmp_path: Path) -> None:
    integers(weights)  # skips where nothing can be computed
    with safe_open(weights, "pt") as file:
        header, ranges = file.metadata(), json.loads(file.metadata()["ranges"])
    del ranges["down.1.shrink"]
    save_file(load_file(weights), tmp_path / "mini.safetensors", {**header, "ranges": json.dumps(ranges)})
    with pytest.raises(WeightsError, match=r"lack the range of activations of down\.1\.shrink"):
        load_mini(tmp_path / "mini.safetensors", runtime="openvino")


def test_without_the_package_the_error_names_the_extra(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(SlideError, match=r"pip install 'everslide\[fast\]'"):
        load_mini(weights, runtime="openvino")


def test_a_cpu_without_its_instructions_is_refused(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_load_openvino", SimpleNamespace)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    with pytest.raises(SlideError, match="expected a CPU with AVX-512 VNNI"):
        load_mini(weights, runtime="openvino")


@pytest.mark.parametrize(
    ("installed", "vnni", "gpu", "chosen"),
    [
        (True, True, False, "openvino"),
        (False, True, False, "torch"),
        (True, False, False, "torch"),
        (True, True, True, "torch"),
    ],
)
def test_it_computes_where_it_can_unless_there_is_a_gpu(
    installed: bool, vnni: bool, gpu: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: name if installed else None)
    monkeypatch.setattr(module, "_load_openvino", SimpleNamespace)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: vnni)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert fastest_runtime() == chosen


def test_the_fastest_runtime_is_the_default(weights: Path, tiny: MiniModel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_mini(weights, side_by_side=1).fingerprint == tiny.fingerprint
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert fastest_runtime() == "torch"


@pytest.mark.parametrize("content", ["raise RuntimeError('an old library')", "raise ImportError('libfoo.so')", ""])
def test_a_broken_package_leaves_it_to_torch_and_says_so(
    content: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "openvino").mkdir()
    (tmp_path / "openvino" / "__init__.py").write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "openvino"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True)
    assert fastest_runtime() == "torch"
    assert "the package openvino cannot be imported" in caplog.text and "torch computes instead" in caplog.text
    with pytest.raises(SlideError, match=r"cannot be imported .*--with runtime=torch"):
        load_mini(weights, runtime="openvino")


def test_ranges_are_part_of_the_fingerprint(weights: Path, tmp_path: Path, tiny: MiniModel) -> None:
    """A difference that one probe need not show."""
    with safe_open(weights, "pt") as file:
        header, ranges = file.metadata(), json.loads(file.metadata()["ranges"])
    ranges["down.1.shrink"][1] *= 1 + 1e-9
    save_file(load_file(weights), tmp_path / "mini.safetensors", {**header, "ranges": json.dumps(ranges)})
    assert integers(tmp_path / "mini.safetensors").fingerprint != tiny.fingerprint


@pytest.mark.parametrize("runtime", ["fast", "", "OpenVINO"])
def test_an_unknown_runtime_is_refused(runtime: str, weights: Path) -> None:
    with pytest.raises(SlideError, match=f"runtime={runtime}: expected one of torch, openvino"):
        load_mini(weights, runtime=runtime)


def test_the_threads_that_torch_had_before_change_nothing(weights: Path, tiny: MiniModel) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (2, 1):
            torch.set_num_threads(threads)
            assert integers(weights).fingerprint == tiny.fingerprint
    finally:
        torch.set_num_threads(before)


def test_ranges_are_measured_on_one_thread() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        activation_ranges(tiny_weights().build())
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_weights_that_overflow_are_told() -> None:
    network = tiny_weights().build()
    for parameter in network.parameters():
        torch.nn.init.constant_(parameter, 3e38)
    with pytest.raises(WeightsError, match="not finite"):
        activation_ranges(network)
