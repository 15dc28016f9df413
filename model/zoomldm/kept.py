"""Finished parts of a long command, kept beside its output, so that a killed run goes on where it was."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from everslide.model.errors import DataError
from everslide.model.whole_file import written_whole

KEY_NAME = "key"
SUFFIX = ".unfinished"
_log = logging.getLogger(__name__)


class Kept:
    """Finished parts: tensors by name in the folder OUT.unfinished, which is deleted when the command has ended well.

    A context manager. facts: all that the parts depend on, compared by its repr; parts of other facts are deleted.
    resumed: whether parts of the same facts were found.
    """

    def __init__(self, out: Path, facts: object) -> None:
        """Raises DataError where the folder cannot be written, or holds something else."""
        self.folder, self.resumed = out.with_name(out.name + SUFFIX), False
        key = hashlib.sha256(repr(facts).encode()).hexdigest()
        known = self.folder / KEY_NAME
        try:
            if known.is_file() and known.read_text("utf-8") != key:
                _log.warning("%s: parts of a run with other settings are thrown away", self.folder)
                shutil.rmtree(self.folder)
            elif known.is_file():
                _log.warning("%s: going on where an earlier run was stopped", self.folder)
                self.resumed = True
            elif self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
                raise DataError(
                    f"{self.folder}: expected a folder of unfinished parts, found other files; move them away"
                )
            self.folder.mkdir(parents=True, exist_ok=True)
            known.write_text(key, "utf-8")
        except OSError as error:
            raise DataError(f"{self.folder}: cannot be written ({error}); choose another --out") from error

    def __enter__(self) -> Kept:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            shutil.rmtree(self.folder)

    def has(self, name: str) -> bool:
        """Whether a part is finished."""
        return self._path(name).is_file()

    def put(self, name: str, tensor: Tensor) -> None:
        """Write a part, whole or not at all. Raises DataError where it cannot be written."""
        try:
            with written_whole(self._path(name)) as partial:
                save_file({"x": tensor.detach().to("cpu").contiguous()}, partial)
        except (OSError, SafetensorError) as error:
            raise DataError(
                f"{self.folder}: cannot be written ({error}); make room and run the command again"
            ) from error

    def get(self, name: str, device: torch.device) -> Tensor:
        """A finished part, on `device`."""
        return load_file(self._path(name))["x"].to(device)

    def once(self, name: str, device: torch.device, make: Callable[[], Tensor]) -> Tensor:
        """A finished part, or what `make` returns, written first."""
        if not self.has(name):
            self.put(name, make())
        return self.get(name, device)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"
