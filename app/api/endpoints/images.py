"""/v1/images: parse a request, return an Exchange. Everything that refuses it does so before anything is reserved."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from fastapi import APIRouter, Request, Response

from app.api.body import read_json_object
from app.api.edits.reading import EditBody, EditBounds, digests_of, files_of, read_edit
from app.api.endpoints.dry_run import answer_dry_run, is_dry_run
from app.api.endpoints.submission import CheckedRequest, check_background, run_or_submit
from app.api.link_base import with_link_base
from app.api.retry_headers import retry_headers_of
from app.api.routes import EDIT_JOBS, EDITS, GENERATION_JOBS, GENERATIONS
from app.api.services import authenticated, event_of, services_of
from app.errors import Draining, ModelForbidden
from app.exchange.bodies import edit_body, json_body
from app.exchange.exchange import Exchange
from app.exchange.replay.fingerprint import edit_document
from app.files.uploads import UploadFile
from app.identity.keys.authentication import Caller
from app.images.request.inputs import Inputs
from app.images.request.normalize import ImageRequest, normalize
from app.telemetry.event import RequestEvent

router = APIRouter()


@router.post(GENERATIONS)
async def create_image(request: Request) -> Response:
    """Create images from a prompt, as OpenAI's endpoint of this name does."""
    return await services_of(request).receive(_exchange_of(request))


async def _exchange_of(request: Request) -> Response:
    event_of(request).operation = "generation"  # also of a request whose key is refused
    return await generation_of(request, await authenticated(request), read_json_object)


async def generation_of(
    request: Request, caller: Caller, read: Callable[[Request, int], Awaitable[Mapping[str, object]]]
) -> Response:
    """What answers a generation of this caller, whoever found out who calls. `read` gets the request and the most bytes
    that its body may have, and returns the fields. Raises GatewayError before anything is reserved.
    """
    services, event = services_of(request), event_of(request)
    event.operation = "generation"
    if services.draining:
        raise Draining("The gateway is stopping. Please try again shortly.")
    dry, retry = is_dry_run(request), retry_headers_of(request)
    fields = await read(request, services.settings.body_bytes_max)
    image_request = checked_request(request, caller, fields)
    _note_request(event, image_request)
    if dry:
        return await answer_dry_run(request, caller, image_request)
    check_background(request, image_request)
    body = json_body(image_request.fields)
    assert isinstance(body.content, bytes), "a document is in memory"
    ask = services.replays.ask(caller.key_id, image_request, body.content, *retry)
    new_exchange = partial(Exchange, services.exchanges, caller, image_request, body=body)
    return run_or_submit(request, CheckedRequest(caller, image_request, ask, new_exchange))


def checked_request(
    request: Request, caller: Caller, fields: Mapping[str, object], inputs: Inputs | None = None
) -> ImageRequest:
    """What the fields ask for: an edit of `inputs`, or else a generation. Raises CallerError, FilesUnavailable."""
    services = services_of(request)
    image_request = with_link_base(request, normalize(fields, services.policy, services.today, inputs))
    if not caller.may_use(image_request.model.id):
        changes = image_request.changes
        mapped = next((f" ({change})" for change in changes if change.startswith("model=")), "")
        name = f"'{image_request.model.name}'{mapped}"
        raise ModelForbidden(f"Your key may not use the model {name}. Ask for it, or use another.")
    return image_request


@router.post(EDITS)
async def edit_image(request: Request) -> Response:
    """Edit images as a prompt says, as OpenAI's endpoint of this name does, sent as a form or as JSON."""
    return await services_of(request).receive(_edit_of(request))


async def _edit_of(request: Request) -> Response:
    event_of(request).operation = "edit"  # also of a request whose key is refused
    return await edit_of(request, await authenticated(request), read_edit)


async def edit_of(
    request: Request, caller: Caller, read: Callable[[Request, UploadFile, EditBounds], Awaitable[EditBody]]
) -> Response:
    """What answers an edit of this caller, whoever found out who calls. `read` is read_edit, or changes the fields that
    it finds. Raises GatewayError before anything is reserved.
    """
    services, event = services_of(request), event_of(request)
    event.operation = "edit"
    if services.draining:
        raise Draining("The gateway is stopping. Please try again shortly.")
    dry, retry = is_dry_run(request), retry_headers_of(request)
    upload = await services.uploads.open(caller.user_id)
    try:
        body = await read(request, upload, services.edit_bounds)
        event.received_bytes = upload.size
        image_request = checked_request(request, caller, body.fields, body.inputs)
        event.input_images = image_request.input_image_count
        _note_request(event, image_request)
        if dry:
            await upload.aclose()
            return await answer_dry_run(request, caller, image_request)
        check_background(request, image_request)
        # With several accounts the upload may be sent again, to the next one.
        on_sent = None if services.exchanges.upstream.accounts.are_several else upload.aclose
        sent = edit_body(image_request.fields, files_of(body, upload), services.new_boundary, on_sent)
        document = edit_document(image_request.fields, digests_of(body))
        ask = services.replays.ask(caller.key_id, image_request, document, *retry)
    except BaseException:
        await upload.aclose()
        raise
    new_exchange = partial(Exchange, services.exchanges, caller, image_request, body=sent)
    return run_or_submit(request, CheckedRequest(caller, image_request, ask, new_exchange, on_end=upload.aclose))


def _note_request(event: RequestEvent, request: ImageRequest) -> None:
    event.model = request.model.name if request.model.listed else "other"
    event.stream, event.n, event.size, event.quality = request.stream, request.n, request.size, request.quality
    event.changes = request.changes


@router.post(GENERATION_JOBS)
async def create_image_job(request: Request) -> Response:
    """Create images as a job, as `Prefer: respond-async` does."""
    return await create_image(request)


@router.post(EDIT_JOBS)
async def edit_image_job(request: Request) -> Response:
    """Edit images as a job, as `Prefer: respond-async` does."""
    return await edit_image(request)


DIRECT = {GENERATIONS: create_image, EDITS: edit_image, GENERATION_JOBS: create_image_job, EDIT_JOBS: edit_image_job}
"""What api/front.py enters without FastAPI."""
