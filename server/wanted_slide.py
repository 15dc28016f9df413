"""The slide that a command names: one of those that a server with the same settings offers, or a new one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from everslide.model.errors import EverslideError, SlideError
from everslide.model.sampling_config import SamplingConfig
from everslide.server.documents import Documents
from everslide.server.made import KIND, MADE, stored_entry
from everslide.server.slides import Catalogue, Entry, demo_entries, organ_entries, parse_spec, read_slides

log = logging.getLogger(__name__)


def _nothing_stored() -> Documents:
    return Documents(None)


@dataclass(frozen=True)
class SlideSources:
    """Where slides come from beside the demos. specs: of `--slide`. file: of `--slides`. documents: returns the store
    of slides made in the viewer; called only for a name that nothing else has."""

    specs: tuple[str, ...] = ()
    file: Path | None = None
    documents: Callable[[], Documents] = _nothing_stored


DEMOS = SlideSources()
"""Nothing but the demo slides."""


def wanted_slide(name: str, model: str, sources: SlideSources = DEMOS) -> Entry:
    """The slide of a name, or of a specification (see `parse_spec`). Slides of one name have the order that they have
    in a server: the demo and the endless slide, `--slide`, `--slides`, those that were made, the demos of organs.

    What is wrong in the file of slides is logged. Raises SlideError, StorageError.
    """
    if ":" in name:
        return parse_spec(name, model)
    first = Catalogue((*demo_entries(model), *(parse_spec(spec, model) for spec in sources.specs)))
    listed, wrong = read_slides(sources.file, model) if sources.file else ([], [])
    for line in wrong:
        log.warning("%s", line)
    before: dict[str, Entry] = {}
    for entry in (*first, *listed):
        before.setdefault(entry.slide.name, entry)
    if name in before:
        return before[name]
    documents = sources.documents()
    made = documents.get(KIND, MADE)
    if name in made:
        try:
            return stored_entry(documents, name, made[name])
        except EverslideError as error:
            raise SlideError(f"{documents.file(KIND, MADE)}: slide {name!r}: {error}") from error
    after = {entry.slide.name: entry for entry in organ_entries(model)}
    if name in after:
        return after[name]
    names = ", ".join(dict.fromkeys([*before, *made, *after]))
    raise SlideError(
        f"slide {name[:80]!r}: expected one of {names[:1000]}; or a new one as name:seed, name:seed:WIDTHxHEIGHT "
        "or name:seed:unbounded, and if need be :organ=ORGAN behind it"
    )


def painted_otherwise(entry: Entry, steps: int | None, guidance: float | None, organ: str | None) -> Entry:
    """The slide in other steps, with other guidance or of another organ; None leaves its own. Raises
    SlideError."""
    own = entry.slide.sampling
    sampling = SamplingConfig(
        own.steps if steps is None else steps, own.guidance if guidance is None else float(guidance)
    )
    slide = replace(entry.slide, sampling=sampling)
    return replace(entry, slide=replace(slide, organ=organ, organ_drawn=False) if organ else slide)
