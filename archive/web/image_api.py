"""Endpoints of the IIIF Image API 3, of the state of views, and of the change map with its places."""

from __future__ import annotations

import base64

from starlette.responses import JSONResponse, RedirectResponse, Response

from archive.errors import NotFoundError
from archive.views.change_overlay import change_overlay
from archive.views.iiif_image import render
from archive.views.iiif_request import FORMATS, RequestError, describe_image, parse_request
from archive.views.subjects import Subject, find_subject
from archive.views.view_store import ViewPendingError
from archive.web.guarded_endpoint import Call, Endpoint

_WAIT_SECONDS = 0.2  # in a thread; longer waits are outside of it
_KEEP = "private, max-age=3600"  # the bytes behind an id never change; who may see them can
_JSON_LD = 'application/ld+json;profile="http://iiif.io/api/image/3/context.json"'


def image_service(call: Call) -> Response:
    """Redirects from the base address of a picture to its description."""
    subject = _subject(call)
    return RedirectResponse(f"/iiif/3/{subject.identifier}/info.json", 303, headers=_open_headers())


def image_information(call: Call) -> Response:
    """``info.json`` of a picture."""
    subject = _subject(call)
    service = f"{call.scheme}://{call.request.url.netloc}/iiif/3/{subject.identifier}"
    kind = _JSON_LD if "application/ld+json" in call.request.headers.get("accept", "") else "application/json"
    content = describe_image(service, subject.width, subject.height)
    return JSONResponse(content, media_type=kind, headers=_open_headers() | {"cache-control": _KEEP})


def image(call: Call) -> Response:
    """The picture that a IIIF request asks for."""
    subject = _subject(call)
    parts = call.request.path_params
    quality, _, form = str(parts["quality_format"]).rpartition(".")
    wanted = parse_request(
        str(parts["region"]),
        str(parts["size"]),
        str(parts["rotation"]),
        quality,
        form,
        width=subject.width,
        height=subject.height,
    )
    pyramid = call.state.views.pyramid(subject, wait_seconds=_WAIT_SECONDS)
    if (pyramid.width, pyramid.height) != (subject.width, subject.height):
        size, recorded = (f"{each.width}x{each.height} px" for each in (pyramid, subject))
        raise RequestError(f"the file has {size}, but {recorded} are recorded", 409)
    headers = _open_headers() | {
        "cache-control": _KEEP,
        "link": '<http://iiif.io/api/image/3/level2.json>;rel="profile"',
    }
    return Response(render(pyramid, wanted), media_type=FORMATS[form], headers=headers)


def view_state(call: Call) -> Response:
    """Whether a picture's view exists; if it doesn't, the request starts making it."""
    try:
        call.state.views.pyramid(_subject(call), wait_seconds=_WAIT_SECONDS)
    except ViewPendingError as pending:
        return _pending(pending)
    return JSONResponse({"ready": True})


def changes(call: Call) -> Response:
    """The change map as a data URL, and the places in it; if it doesn't exist, the request starts making it."""
    subject = find_subject(call.state.catalogue, f"difference-{call.number('derivative_id')}", call.user.access)
    try:
        found = change_overlay(call.state.views, call.state.catalogue.settings, subject, wait_seconds=_WAIT_SECONDS)
    except ViewPendingError as pending:
        return _pending(pending)
    overlay = "data:image/png;base64," + base64.b64encode(found.png).decode()
    content = {"ready": True, "overlay": overlay, "places": found.places}
    return JSONResponse(content, headers={"cache-control": _KEEP})


def _pending(pending: ViewPendingError) -> Response:
    return JSONResponse({"ready": False, "share": round(pending.share, 3)})


def _subject(call: Call) -> Subject:
    identifier = str(call.request.path_params["identifier"])
    if len(identifier) > 40:
        raise NotFoundError("No such picture.")
    return find_subject(call.state.catalogue, identifier, call.user.access)


def _open_headers() -> dict[str, str]:
    """Lets viewers of other origins read an answer, for example behind a proxy that logs people in."""
    return {"access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin"}


ENDPOINTS = (
    Endpoint(path="/iiif/3/{identifier}", page=image_service),
    Endpoint(path="/iiif/3/{identifier}/info.json", page=image_information),
    Endpoint(path="/iiif/3/{identifier}/{region}/{size}/{rotation}/{quality_format}", page=image),
    Endpoint(path="/views/{identifier}", page=view_state),
    Endpoint(path="/derivatives/{derivative_id}/changes", page=changes),
)
