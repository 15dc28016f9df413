"""Routes for making slides while the server runs: models on offer, previews of seeds, and the new slide itself."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from functools import partial
from typing import Any

from flask import Blueprint, Response, request

from everslide.model.errors import ImageError, SlideError
from everslide.model.geometry import BASE_MPP, TileIndex
from everslide.model.organs import DRAWN, SlideOrgan, known_organ, measured_sections, style_of
from everslide.model.sampling_config import SamplingCapabilities, SamplingConfig
from everslide.model.slide import Slide
from everslide.model.style_reference import LEAST_UM, Reference, Region, Style, lies_on
from everslide.server.access import Access, client_gone
from everslide.server.deepzoom import TileAddress
from everslide.server.documents import Document, Documents, document_name
from everslide.server.encode import JPEG, NOTICE, encode, mark_of
from everslide.server.errors import ConflictError, MalformedError, NotFoundError
from everslide.server.fields import asks, checked, fresh_json, json_body, takes
from everslide.server.made import (
    KIND,
    MADE,
    on_offer,
    record_of,
    restore_made,
    seed_of,
    taken_names,
    title_of,
)
from everslide.server.painters import Painters
from everslide.server.picture import PICTURES, checked_picture, picture_record, reference_picture
from everslide.server.shapes import LikeBody, RegionBody, SlidePost
from everslide.server.slides import ENDLESS_EXTENT_PX, Entry
from everslide.server.tiles import TileService

MAX_MADE = 1000
_DEVICE = re.compile(r"con|prn|aux|nul|com\d|lpt\d")


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
    @asks({"organ": "One of the model's in /api/models; by default one that is drawn from the seed."})
    def gallery(model: str, seed: str) -> Response:
        """The whole of a default slide in 256 x 192 px: the planes above what is painted, so it costs no window.
        `?organ=` shows one of that organ."""
        access.admit()
        if model not in service.models:
            raise NotFoundError(f"one of the models {', '.join(service.models)}", repr(model[:40]), "see /api/models")
        organ = _organ(request.args.get("organ"), model, service.models[model].capabilities)
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
        entry = _entry(service, documents, checked(SlidePost, json_body(request)))

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
        "organs": [
            {"name": organ, "cases": cases, "sections": measured_sections(organ)}
            for organ, cases in capabilities.organs
        ],
    }


def _entry(service: TileService, documents: Documents, body: SlidePost) -> Entry:
    """The slide that is asked for. Raises MalformedError, also where its model lacks something that it asks for."""
    model, unbounded = body.model, body.unbounded
    if model not in service.models:
        raise MalformedError(f"one of the models {', '.join(service.models)}", repr(model), "see /api/models")
    picture = checked_picture(body.picture) if body.picture is not None else None
    title = title_of(body.title)
    width, height = ENDLESS_EXTENT_PX, ENDLESS_EXTENT_PX
    if picture is not None:
        (width, height), unbounded = picture.size_px, False
    elif not unbounded:
        if body.width is None or body.height is None:
            raise MalformedError("fields 'width' and 'height'", "none", "send both, in 20x pixels")
        width, height = body.width, body.height
    like = _like(body.like, service, model) if body.like is not None else None
    name = _free_name(title, taken_names(service, documents))
    capabilities = service.models[model].capabilities
    sampling, organ = _sampling(body, capabilities), _organ(body.organ, model, capabilities)
    slide = Slide(name, seed_of(body.seed), width, height, unbounded, model, sampling, organ)
    regions = tuple(_region(order, one, slide, capabilities) for order, one in enumerate(body.regions, start=1))
    reference = Reference(like, regions) if like or regions else None
    top = picture.top if picture else None
    painters = service.models[model]
    slide = _with_organ(slide, painters.organ(slide, painters.conditioned(slide, top, reference)))
    return Entry(slide, title, top, reference, made=True)


def _with_organ(slide: Slide, organ: SlideOrgan | None) -> Slide:
    """A slide that keeps the organ that was drawn for it: other weights, which know other organs, draw another one."""
    return replace(slide, organ=organ.name, organ_drawn=True) if organ and organ.drawn else slide


def _sampling(body: SlidePost, capabilities: SamplingCapabilities) -> SamplingConfig:
    """Raises MalformedError where the model does not offer it."""
    try:
        sampling = SamplingConfig(body.steps, body.guidance)
        capabilities.check(sampling, f"the model {body.model}")
    except SlideError as error:
        raise MalformedError("steps and guidance that the model offers", str(error), "see /api/models") from error
    return sampling


def _organ(organ: str | None, model: str, capabilities: SamplingCapabilities) -> str:
    """What the slide shall be of; "" where nothing is said. Raises MalformedError where the model does not know it."""
    try:
        return known_organ(organ, dict(capabilities.organs), "field 'organ'", model, or_else=DRAWN) if organ else ""
    except SlideError as error:
        raise MalformedError("an organ that the model knows", str(error), "see /api/models") from error


def _region(order: int, body: RegionBody, slide: Slide, capabilities: SamplingCapabilities) -> Region:
    """A part that is of another organ. Raises MalformedError, also where it does not lie on the slide."""
    size_um = slide.width_px * BASE_MPP, slide.height_px * BASE_MPP
    um = body.x_um, body.y_um, body.width_um, body.height_um
    if not lies_on(um, size_um):
        raise MalformedError(
            f"region {order} to be a part of the slide of {size_um[0]:g} x {size_um[1]:g} um, "
            f"{LEAST_UM:g} um or more a side",
            f"{um[2]:g} x {um[3]:g} um at {um[0]:g}, {um[1]:g}",
            "move it or change its size",
        )
    try:
        organ = known_organ(body.organ, dict(capabilities.organs), f"region {order}", slide.model)
    except SlideError as error:
        raise MalformedError("an organ that the model knows", str(error), "see /api/models") from error
    return Region(*um, style_of(organ, slide.seed))


def _like(like: LikeBody, service: TileService, model: str) -> Style:
    """The style of a picture. Raises MalformedError."""
    if not service.models[model].steerable:
        raise MalformedError(
            f"no reference picture for the model {model}", "one", "leave it out, or take another model"
        )
    from everslide.model.mini.style_extraction import style_of_picture

    pixels, um_per_px = reference_picture(like)
    try:
        return style_of_picture(pixels, um_per_px)
    except ImageError as error:
        raise MalformedError(
            "a picture of stained tissue, 0.1 to 1.3 um per pixel", str(error), "choose another"
        ) from error


def _free_name(title: str, taken: set[str]) -> str:
    """ "My slide!" -> "my-slide", "my-slide-2" where that is taken; "Größe" -> "grosse": letters without their marks.

    Files are named so: a name that Windows keeps for devices becomes "con-slide".
    """
    letters = "".join(
        each for each in unicodedata.normalize("NFKD", title.casefold()) if not unicodedata.combining(each)
    )
    base = re.sub(r"[^a-z0-9]+", "-", letters).strip("-")[:50].strip("-") or "slide"
    base = f"{base}-slide" if _DEVICE.fullmatch(base) else base
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
    painters = service.models[slide.model]
    organ = painters.organ(slide, painters.conditioned(slide, None, None))
    return encode(pixels[:height, :width], JPEG, mark_of(slide, organ))
