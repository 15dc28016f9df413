"""Slides that users made: stored, served again after a restart, renamed, deleted, and restored."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Blueprint, Response, request
from pydantic import Field

from everslide.model.errors import EverslideError, SlideError
from everslide.model.pyramid.top import ImageTop
from everslide.model.sampling_config import SamplingConfig
from everslide.model.slide import Slide
from everslide.model.style_reference import Reference
from everslide.server.access import Access
from everslide.server.documents import Document, Documents, document_name
from everslide.server.encode import NOTICE
from everslide.server.errors import ConflictError, MalformedError, NotFoundError, StorageError
from everslide.server.fields import checked, fresh_json, json_body, takes
from everslide.server.one_line import one_line
from everslide.server.picture import PICTURES, picture_of
from everslide.server.set_aside import SetAside
from everslide.server.shapes import Body, SlidePatch
from everslide.server.slides import Entry
from everslide.server.tiles import TileService

log = logging.getLogger(__name__)

KIND = "slides"
MADE = "made"
DELETED = "deleted"
MAX_DELETED = 100
"""So many deleted slides, the last ones, can be brought back. Annotations and tours of all of them are kept."""
MAX_TITLE = 80
MAX_SEED = 2**64 - 1
_SEED = re.compile(r"[0-9]{1,20}")


class SlideRecord(Body):
    """The stored form of a slide; see `record_of`. picture: its picture is stored beside it."""

    title: str = Field(max_length=MAX_TITLE)
    seed: str
    width: int
    height: int
    unbounded: bool = False
    model: str = Field(max_length=64)
    steps: int | None = None
    guidance: float = 1.0
    organ: str | None = Field("", max_length=80)
    organ_drawn: bool = False
    picture: bool = False
    reference: dict[str, Any] | None = None


def made_slides_routes(service: TileService, documents: Documents, access: Access) -> Blueprint:
    """PATCH and DELETE `/api/slides/<name>`, and POST `/api/slides/<name>/restore`, of slides that were made."""
    routes = Blueprint("made_slides", __name__)

    @routes.patch("/api/slides/<name>")
    @takes(SlidePatch)
    def rename(name: str) -> Response:
        """Give a slide that was made another title. Its id stays, and with it all links."""
        access.admit()
        fields = json_body(request)
        title = title_of(checked(SlidePatch, fields).title)
        if further := fields.keys() - {"title"}:
            found = ", ".join(sorted(further))[:80]
            raise MalformedError("the title alone", found, "make a new slide of another seed, organ or size")
        entry = _made(service, name)

        def keep(kept: Document) -> None:
            kept[name] = {**_dict(kept.get(name)), **record_of(entry), "title": title}

        documents.change(KIND, MADE, keep)
        service.rename(name, title)
        return fresh_json({"id": name, "title": title, "notice": NOTICE})

    @routes.delete("/api/slides/<name>")
    def delete(name: str) -> Response:
        """Delete a slide that was made. It can be brought back; its annotations and tours wait for that."""
        access.admit()
        entry = _made(service, name)

        def drop(kept: Document) -> None:
            _bury(documents, name, _dict(kept.pop(name, None)) or record_of(entry))

        documents.change(KIND, MADE, drop)
        service.remove(name)
        return Response(status=204)

    @routes.post("/api/slides/<name>/restore")
    def restore(name: str) -> Response:
        """Bring back a slide that was deleted."""
        access.admit()
        buried = documents.get(KIND, DELETED)
        if name not in buried:
            raise NotFoundError("a slide that was deleted", repr(name[:80]), "see /api/slides")
        try:
            entry = entry_of(service, documents, name, buried[name])
        except EverslideError as error:
            raise ConflictError("a slide that can be served", str(error), "see /api/slides") from error

        with on_offer(service, entry):
            documents.change(KIND, MADE, lambda kept: kept.update({name: buried[name]}))
        documents.change(KIND, DELETED, lambda kept: kept.pop(name, None))
        return fresh_json({"id": name, "notice": NOTICE})

    return routes


@contextmanager
def on_offer(service: TileService, entry: Entry) -> Iterator[None]:
    """A context: serves a slide, and stops serving it where the body raises. Raises ConflictError where it cannot
    be."""
    try:
        service.add(entry)
    except SlideError as error:
        raise ConflictError("a slide that can be served", str(error), "see /api/slides and /api/models") from error
    try:
        yield
    except BaseException:
        service.remove(entry.slide.name)
        raise


def taken_names(service: TileService, documents: Documents) -> set[str]:
    """Names that no new slide may have: those of served slides, of stored ones that cannot be served now, and of
    deleted ones that can be restored."""
    kept = (documents.get(KIND, name) for name in (MADE, DELETED))
    return {entry.slide.name for entry in service.catalogue}.union(*kept)


def restore_made(service: TileService, documents: Documents) -> None:
    """Serve the stored slides. Those that cannot be served are logged, each in a line, and stay in the file."""
    file = documents.file(KIND, MADE)
    try:
        records = documents.get(KIND, MADE)
    except StorageError as error:
        log.warning("%s: no slide made earlier is on offer: %s", file, error)
        return
    for name, record in records.items():
        try:
            service.add(entry_of(service, documents, name, record))
        except EverslideError as error:
            log.warning("%s: slide %r, made earlier, is not on offer: %s", file, name, error)
            service.catalogue.set_aside.append(SetAside(name, str(error), file))


def slides_set_aside(service: TileService, documents: Documents) -> list[SetAside]:
    """Slides that the server should have and cannot offer, and what else of those that were made cannot be read."""
    found = list(service.catalogue.set_aside)
    for name in (MADE, DELETED):
        try:
            found += documents.set_aside(KIND, name)
        except StorageError as error:
            file = documents.file(KIND, name)
            found.append(SetAside(file.name, str(error), file))
    return found


def record_of(entry: Entry) -> dict[str, Any]:
    """The stored form of a slide, for JSON; see `entry_of`."""
    slide = entry.slide
    return {
        "title": entry.title,
        "seed": str(slide.seed),
        "width": slide.width_px,
        "height": slide.height_px,
        "unbounded": slide.unbounded,
        "model": slide.model,
        "steps": slide.sampling.steps,
        "guidance": slide.sampling.guidance,
        "organ": slide.organ,
        "organ_drawn": slide.organ_drawn,
        "picture": entry.top is not None,
        "reference": entry.reference.as_dict() if entry.reference else None,
    }


def entry_of(service: TileService, documents: Documents, name: str, record: Any) -> Entry:
    """The inverse of `record_of`, for a slide to be served. The record may have been edited by hand: raises
    EverslideError, which names the field."""
    if name in {entry.slide.name for entry in service.catalogue}:
        raise SlideError(f"another slide is named {name!r}")
    entry = stored_entry(documents, name, record)
    slide = entry.slide
    if slide.model not in service.models:
        raise SlideError(f"its model {slide.model!r} is not served now")
    service.models[slide.model].capabilities.check(slide.sampling, f"the model {slide.model}")
    return entry


def stored_entry(documents: Documents, name: str, record: Any) -> Entry:
    """The slide of a record, whatever models there are. Raises EverslideError, which names the field."""
    if not isinstance(record, dict):
        raise SlideError(f"expected an object, found {repr(record)[:40]}")
    found = checked(SlideRecord, record)
    try:
        sampling = SamplingConfig(found.steps, found.guidance)
        size = found.width, found.height
        organ = found.organ or ""
        drawn = bool(organ) and found.organ_drawn
        slide = Slide(name, seed_of(found.seed), *size, found.unbounded, found.model, sampling, organ, drawn)
        top = _picture(documents, slide) if found.picture else None
        like = Reference.from_dict(found.reference) if found.reference else None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError) as error:
        raise SlideError(f"expected a record of a slide, found {type(error).__name__}: {str(error)[:80]}") from error
    return Entry(slide, title_of(found.title), top, like, made=True)


def _picture(documents: Documents, slide: Slide) -> ImageTop:
    """The picture that a slide was made below. Raises SlideError, which names its file."""
    try:
        return picture_of(documents.get(PICTURES, document_name(slide)))
    except (EverslideError, KeyError, TypeError, ValueError) as error:
        file = documents.file(PICTURES, document_name(slide))
        raise SlideError(
            f"its picture cannot be read from {file}: {type(error).__name__}: {str(error)[:200]}"
        ) from error


def title_of(text: str) -> str:
    """A title as one line that can be seen. Raises MalformedError where nothing of it would be."""
    title = one_line(text)
    if not title:
        raise MalformedError("a title that can be seen", repr(text)[:40], "give the slide a title")
    return title


def seed_of(value: str) -> int:
    """A seed from text (JavaScript numbers are exact only up to 2^53). Raises MalformedError."""
    if not _SEED.fullmatch(value) or int(value) > MAX_SEED:
        raise MalformedError("a seed in 0 .. 2^64 - 1, as a text of digits", repr(value)[:40], "correct the seed")
    return int(value)


def _made(service: TileService, name: str) -> Entry:
    entry = service.slide(name).entry
    if not entry.made:
        raise ConflictError(
            "a slide that was made in the viewer", f"{name!r}, which the server was started with", "leave it"
        )
    return entry


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _bury(documents: Documents, name: str, record: dict[str, Any]) -> None:
    def keep(kept: Document) -> None:
        kept.pop(name, None)
        kept[name] = record
        for oldest in list(kept)[:-MAX_DELETED]:
            del kept[oldest]

    documents.change(KIND, DELETED, keep)
