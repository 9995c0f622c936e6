"""x-gateway-dry-run: what an image request would cost and meet. Reserves nothing, sends nothing, asks no account."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.admin.views import forecast_json
from app.api.endpoints.usage import shown_limit
from app.api.error_responses import wire_error
from app.api.headers import header
from app.api.services import Services, event_of, services_of
from app.errors import InvalidRequest
from app.identity.keys.authentication import Caller
from app.images.cost.pricing import estimate
from app.images.request.normalize import ImageRequest
from app.quotas.reports.forecast import Forecast, read_forecast
from app.quotas.rules.applicable import Party
from app.quotas.rules.reservation import Amounts

_NAME = "x-gateway-dry-run"
_WORDS: Mapping[str, bool] = {"true": True, "false": False}


def is_dry_run(request: Request) -> bool:
    """Whether the request is only to be looked at. Raises InvalidRequest for any word but true and false: a request
    that was meant so must not buy an image."""
    value = header(request, _NAME.encode())
    if value is None:
        return False
    word = _WORDS.get(value.strip().lower())
    if word is None:
        message = f"Invalid value of the header '{_NAME}': send true, or leave it out."
        raise InvalidRequest(message, param=_NAME, code="invalid_value")
    if word:
        event_of(request).operation = None  # it makes no image: the metrics of images do not count it
    return word


async def answer_dry_run(request: Request, caller: Caller, image_request: ImageRequest) -> Response:
    """Raises StoreUnavailable."""
    return JSONResponse(await foreseen(services_of(request), caller, image_request))


async def foreseen(services: Services, caller: Caller, image_request: ImageRequest) -> dict[str, Any]:
    """What the request would cost and meet, as the answer of a dry run has it. Raises StoreUnavailable."""
    most, now = estimate(image_request), services.clock()
    # Which account would be asked is not known beforehand, so limits of accounts are left out.
    party = Party(caller.key_id, caller.user_id, caller.team_id, image_request.model.id, account="")
    amounts = Amounts(1, most.images, most.tokens, most.nanousd)
    found = await services.usage_readers.run(
        lambda: read_forecast(services.engine, party, amounts, now), services.settings.ledger_wait_seconds
    )
    shown = forecast_json(image_request, found)
    shown["limits"] = [shown_limit(each, services) for each in shown["limits"]]
    return {"object": "image.dry_run", **_request_json(image_request), "refusal": _refusal(found), **shown}


def _request_json(request: ImageRequest) -> dict[str, Any]:
    return {
        "operation": request.operation,
        "request": dict(request.fields),
        "input_images": request.input_image_count,
        "changes": list(request.changes),
    }


def _refusal(found: Forecast) -> Mapping[str, Any] | None:
    return None if found.refusal is None else wire_error(found.refusal.error()).error
