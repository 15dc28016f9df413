"""Routes for making slides while the server runs: models on offer, previews of seeds, and the new slide itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from flask import Blueprint, Response, request

from everslide.model.errors import ImageError, SlideError
from everslide.model.geometry import TileIndex
from everslide.model.organs import check_organ
from everslide.model.sampling_config import SamplingCapabilities, SamplingConfig
from everslide.model.slide import Slide
from everslide.model.style_reference import Reference
from everslide.server.access import Access, client_gone
from everslide.server.deepzoom import TileAddress
from everslide.server.documents import Document, Documents, document_name
from everslide.server.encode import JPEG, NOTICE, encode, mark_of
from everslide.server.errors import ConflictError, MalformedError, NotFoundError
from everslide.server.fields import fresh_json, json_body, number, takes, text
from everslide.server.made import (
    KIND,
    MADE,
    on_offer,
    organ_field,
    record_of,
    restore_made,
    seed_of,
    taken_names,
    title_of,
)
from everslide.server.painters import Painters
from everslide.server.picture import PICTURES, checked_picture, picture_record, reference_picture
from everslide.server.shapes import SlidePost
from everslide.server.slides import ENDLESS_EXTENT_PX, Entry
from everslide.server.tiles import TileService

MAX_MADE = 1000


def made_slide_routes(service: TileService, documents: Documents, access: Access) -> Blueprint:
    """GET `/api/models`, GET `/api/gallery/<model>/<seed>.jpeg`, POST `/api/slides`.

    Slides that were made before are served again; see `restore_made`.
    """
    restore_made(service, documents)
    routes = Blueprint("new_slides", __name__)

    @routes.get("/api/models")
    def models() -> Response:
        """The models that slides can be made with."""
        offered = [_offered(name, painters) for name, painters in service.models.items()]
        return fresh_json({"models": offered})

    @routes.get("/api/gallery/<model>/<seed>.jpeg")
    def gallery(model: str, seed: str) -> Response:
        """The whole of a default slide in 256 x 192 px: the planes above what is painted, so it costs no window.
        `?organ=` shows one of that organ."""
        access.admit()
        if model not in service.models:
            raise NotFoundError(f"one of the models {', '.join(service.models)}", repr(model[:40]), "see /api/models")
        organ = _organ(request.args, model, service.models[model].capabilities)
        slide = Slide("gallery", seed_of(seed), model=model, organ=organ)
        data = _thumbnail(service, slide)
        response = Response(data, mimetype=JPEG.mimetype)
        response.headers["Cache-Control"] = "no-cache"
        return response

    @routes.post("/api/slides")
    @takes(SlidePost, 201)
    def make() -> Response:
        """Make a slide from a seed, below a picture, or like one."""
        access.admit()
        fields = json_body(request)
        entry = _entry(service, documents, fields)

        if entry.top is not None:
            documents.change(PICTURES, document_name(entry.slide), lambda kept: kept.update(picture_record(entry.top)))

        def keep(kept: Document) -> None:
            if len(kept) >= MAX_MADE:
                raise ConflictError(f"at most {MAX_MADE} slides", str(len(kept)), "delete some")
            kept[entry.slide.name] = record_of(entry)

        with on_offer(service, entry):
            documents.change(KIND, MADE, keep)
        response = fresh_json({"id": entry.slide.name, "notice": NOTICE})
        response.status_code = 201
        return response

    return routes


def _offered(name: str, painters: Painters) -> dict[str, Any]:
    """What a slide of this model may choose, for JSON. Without a choice: no steps, guidance 1, no organs."""
    capabilities = painters.capabilities
    return {
        "name": name,
        "top_scale": painters.top_scale,
        "steerable": painters.steerable,
        "steps": list(capabilities.steps),
        "own_steps": capabilities.own_calls if capabilities.steps else None,
        "guidance": capabilities.guidance,
        "organs": [{"name": organ, "cases": cases} for organ, cases in capabilities.organs],
    }


def _entry(service: TileService, documents: Documents, fields: dict[str, Any]) -> Entry:
    model = text(fields, "model", 64)
    if model not in service.models:
        raise MalformedError(f"one of the models {', '.join(service.models)}", repr(model), "see /api/models")
    picture = checked_picture(fields["picture"]) if fields.get("picture") is not None else None
    title = title_of(fields)
    unbounded = fields.get("unbounded", False)
    if not isinstance(unbounded, bool):
        raise MalformedError("field 'unbounded' as true or false", repr(unbounded)[:40], "correct it")
    width, height = ENDLESS_EXTENT_PX, ENDLESS_EXTENT_PX
    if picture is not None:
        (width, height), unbounded = picture.size_px, False
    elif not unbounded:
        width, height = (int(number(fields, side, 256, 2**40)) for side in ("width", "height"))
    reference = _reference(fields["like"], service, model) if fields.get("like") is not None else None
    name = _free_name(title, taken_names(service, documents))
    capabilities = service.models[model].capabilities
    sampling, organ = _sampling(fields, model, capabilities), _organ(fields, model, capabilities)
    slide = Slide(name, seed_of(fields.get("seed")), width, height, unbounded, model, sampling, organ)
    return Entry(slide, title, picture.top if picture else None, reference, made=True)


def _sampling(fields: dict[str, Any], model: str, capabilities: SamplingCapabilities) -> SamplingConfig:
    """Raises MalformedError where the model does not offer it."""
    steps, guidance = fields.get("steps"), number(fields, "guidance", 1, 100, default=1)
    if steps is not None and type(steps) is not int:
        raise MalformedError("field 'steps' as a whole number", repr(steps)[:40], "correct it or leave it out")
    try:
        sampling = SamplingConfig(steps, guidance)
        capabilities.check(sampling, f"the model {model}")
    except SlideError as error:
        raise MalformedError("steps and guidance that the model offers", str(error), "see /api/models") from error
    return sampling


def _organ(fields: Mapping[str, Any], model: str, capabilities: SamplingCapabilities) -> str:
    """What the slide shall be of; "" where nothing is said. Raises MalformedError where the model does not know it."""
    organ = organ_field(fields)
    try:
        if organ:
            check_organ(organ, dict(capabilities.organs), "field 'organ'", model)
    except SlideError as error:
        raise MalformedError("an organ that the model knows", str(error), "see /api/models") from error
    return organ


def _reference(like: Any, service: TileService, model: str) -> Reference:
    """{"data": base64 of a picture, "um_per_px": number} -> a reference with its style. Raises MalformedError."""
    if not service.models[model].steerable:
        raise MalformedError(
            f"no reference picture for the model {model}", "one", "leave it out, or take another model"
        )
    from everslide.model.mini.style_extraction import style_of_picture

    pixels, um_per_px = reference_picture(like)
    try:
        return Reference(style_of_picture(pixels, um_per_px))
    except ImageError as error:
        raise MalformedError(
            "a picture of stained tissue, 0.1 to 1.3 um per pixel", str(error), "choose another"
        ) from error


def _free_name(title: str, taken: set[str]) -> str:
    """ "My slide!" -> "my-slide", "my-slide-2" where that is taken."""
    base = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:50] or "slide"
    return next(name for name in (base, *(f"{base}-{n}" for n in range(2, len(taken) + 3))) if name not in taken)


def _thumbnail(service: TileService, slide: Slide) -> bytes:
    top = service.models[slide.model].top_scale
    painter = service.painter_of(Entry(slide, ""))
    s = top + max(0, (max(slide.size_at(top)) - 1).bit_length() - 8)
    width, height = slide.size_at(s)
    # Not a tile of any slide: the seed stands in its address, so that equal wishes share the work.
    address = TileAddress(0, slide.seed, 0)
    work = partial(painter.tile, TileIndex(s, 0, 0))
    pixels = service.queue.paint(f"gallery {slide.model} {slide.organ}", address, s, work, client_gone())
    return encode(pixels[:height, :width], JPEG, mark_of(slide, service.models[slide.model].organ(slide, None, None)))
