"""/files: images by their signed links. No key is asked for; the signature is the permission."""

import re
from datetime import UTC

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from app.api.byte_range import asked_part
from app.api.file_answer import FileAnswer
from app.api.routes import FILES
from app.api.services import services_of
from app.errors import FileGone
from app.files.links import extension_of
from app.files.store.store import OpenFile

router = APIRouter()

_NAME = re.compile(r"([0-9a-f]{32})\.([a-z0-9]{1,8})")
_EXPIRY = re.compile(r"[0-9]{1,12}")
_SHOWN_HERE = "image/"
# A page of any origin may show the image: it has the link, and no cookie or key travels with it.
_ALWAYS = {
    "access-control-allow-origin": "*",
    "cross-origin-resource-policy": "cross-origin",
    "x-content-type-options": "nosniff",
}


@router.head(f"{FILES}/{{name}}")
@router.get(f"{FILES}/{{name}}")
async def read_file(request: Request, name: str) -> Response:
    """The image behind a link of an answer with `response_format: url`, until the link expires."""
    services = services_of(request)
    file_id, extension, expires = _signed_parts(request, name)
    if not await services.links.is_signed(file_id, expires, request.query_params["sig"]):
        raise HTTPException(404)
    rest = expires - services.clock().timestamp()
    if rest <= 0:
        raise FileGone("This link has expired. Ask for the image again, or for b64_json.")
    file = await services.files.open(file_id)
    if file is None:
        raise FileGone("The image behind this link is kept no longer: the gateway needed the room for newer ones.")
    if extension != extension_of(file.content_type):
        file.close()
        raise HTTPException(404)
    return _answer(request, file, name, int(rest))


def _signed_parts(request: Request, name: str) -> tuple[str, str, int]:
    """Id, extension and expiry. Raises HTTPException unless it is written as the gateway writes links."""
    found, expires = _NAME.fullmatch(name), request.query_params.get("exp", "")
    if found is None or not _EXPIRY.fullmatch(expires) or "sig" not in request.query_params:
        raise HTTPException(404)
    return found[1], found[2], int(expires)


def _answer(request: Request, file: OpenFile, name: str, rest_seconds: int) -> Response:
    tag = f'"{file.stored.id}"'
    headers = {
        **_ALWAYS,
        "etag": tag,
        "accept-ranges": "bytes",
        "cache-control": f"private, max-age={rest_seconds}",
        "last-modified": f"{file.stored.created_at.astimezone(UTC):%a, %d %b %Y %H:%M:%S GMT}",
    }
    if request.headers.get("if-none-match") in (tag, "*"):
        file.close()
        return Response(status_code=304, headers=headers)
    wants_part = request.headers.get("if-range", tag) == tag
    part = asked_part(request.headers.get("range") if wants_part else None, file.size)
    if part.is_partial and part.start >= part.stop:
        file.close()
        raise HTTPException(416, headers={"content-range": f"bytes */{file.size}"})
    if part.is_partial:
        headers["content-range"] = f"bytes {part.start}-{part.stop - 1}/{file.size}"
    where = "inline" if file.content_type.startswith(_SHOWN_HERE) else "attachment"
    headers |= {"content-type": file.content_type, "content-disposition": f'{where}; filename="image-{name}"'}
    return FileAnswer(file, part, headers, services_of(request).settings.client_stall_seconds)
