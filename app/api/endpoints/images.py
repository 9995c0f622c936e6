"""/v1/images: parse a request, return an Exchange. Everything that refuses it does so before anything is reserved."""

from fastapi import APIRouter, Request, Response

from app.api.body import read_json_object
from app.api.routes import GENERATIONS
from app.api.services import authenticated, event_of, services_of
from app.errors import Draining, ModelForbidden
from app.exchange.exchange import Exchange
from app.images.request.normalize import ImageRequest, normalize
from app.telemetry.event import RequestEvent

router = APIRouter()


@router.post(GENERATIONS)
async def create_image(request: Request) -> Response:
    """Create images from a prompt, as OpenAI's endpoint of this name does."""
    return await services_of(request).receive(_exchange_of(request))


async def _exchange_of(request: Request) -> Exchange:
    services, event = services_of(request), event_of(request)
    event.operation = "generation"
    caller = await authenticated(request)
    if services.draining:
        raise Draining("The gateway is stopping. Please try again shortly.")
    fields = await read_json_object(request, services.settings.body_bytes_max)
    image_request = normalize(fields, services.policy, services.today)
    _note_request(event, image_request)
    if not caller.may_use(image_request.model.id):
        raise _forbidden(image_request)
    return Exchange(services.exchanges, caller, image_request, event)


def _forbidden(request: ImageRequest) -> ModelForbidden:
    mapped = next((f" ({change})" for change in request.changes if change.startswith("model=")), "")
    return ModelForbidden(f"Your key may not use the model '{request.model.name}'{mapped}. Ask for it, or use another.")


def _note_request(event: RequestEvent, request: ImageRequest) -> None:
    event.model = request.model.name if request.model.listed else "other"
    event.stream, event.n, event.size, event.quality = request.stream, request.n, request.size, request.quality
    event.changes = request.changes


DIRECT = {GENERATIONS: create_image}
"""The routes that api/front.py calls without FastAPI."""
