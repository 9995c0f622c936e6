"""The stand-in for ZenMux as an ASGI app: which path answers what. No state outside the app object."""

import json
from collections.abc import Iterator, Sequence
from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.images.catalog.catalog import ModelSpec, load_catalog
from app.images.catalog.model_spec import ImagePrice, TokenPrices
from app.sandbox.answers.bill import Bill, Row, UnknownPeriod, cost_report, usd
from app.sandbox.generations import MANAGEMENT_KEY_PREFIX, ImageEndpoint, Studio, check_key
from app.sandbox.options import SandboxOptions
from app.sandbox.requests.directives import DirectiveError
from app.sandbox.requests.key_rules import KeyRules, key_mark
from app.sandbox.requests.refusals import SandboxRefusal, zenmux

API_PATH: Final = "/api/v1"
BILL_PATH: Final = "/sandbox/bill"
KEYS_PATH: Final = "/sandbox/keys"

_ROWS_PER_CHUNK: Final = 500
_RULE_BYTES_MAX: Final = 1000
_OF_ONE_KEY: Final = "of-"


def create_sandbox(options: SandboxOptions | None = None) -> ASGIApp:
    """The ASGI app, with its own bill. Directives that break connections need the server in server.py."""
    options = options or SandboxOptions()
    catalog = options.catalog or load_catalog()
    bill = Bill(options.bill_rows_max)
    key_rules = KeyRules()
    studio = Studio(options, catalog, bill, key_rules)
    doors = _Doors(studio)
    app = Starlette(
        routes=[
            Route(f"{API_PATH}/images/generations", ImageEndpoint("generation", studio), methods=["POST"]),
            Route(f"{API_PATH}/images/edits", ImageEndpoint("edit", studio), methods=["POST"]),
            Route(f"{API_PATH}/models", doors.models, methods=["GET"]),
            Route(f"{API_PATH}/management/cost", doors.cost, methods=["GET"]),
            Route(BILL_PATH, doors.bill, methods=["GET"]),
            Route(BILL_PATH, doors.empty_bill, methods=["DELETE"]),
            Route(f"{KEYS_PATH}/{{key}}", doors.rule_key, methods=["PUT", "DELETE"]),
            Route("/healthz", doors.health, methods=["GET"]),
        ],
        exception_handlers={SandboxRefusal: _refused, HTTPException: _refused_by_routing},
    )
    return _RequestIds(app, options)


class _RequestIds:
    """Gives every request an id, and adds it to every answer."""

    def __init__(self, app: ASGIApp, options: SandboxOptions) -> None:
        self._app = app
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._options.new_request_id()
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-ZenMux-RequestId"] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)


class _Doors:
    """Everything but the images."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._catalog = studio.catalog
        self._bill = studio.bill
        self._key_rules = studio.key_rules

    async def models(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": [_model(spec) for spec in self._catalog.models]})

    async def bill(self, request: Request) -> Response:
        """All of it, or with `key=` only what that key pays; the totals are then those of its rows."""
        key, bill = request.query_params.get("key"), self._bill
        if key is not None:
            rows = bill.of_key(key_mark(key))
            bill = Bill(self._bill.rows.maxlen or 0)
            for row in rows:
                bill.add(row)
        return StreamingResponse(_bill_json(bill, tuple(bill.rows)), media_type="application/json")

    async def empty_bill(self, _: Request) -> Response:
        self._bill.clear()
        return Response(status_code=204)

    async def cost(self, request: Request) -> Response:
        key = check_key(request.headers, MANAGEMENT_KEY_PREFIX, request.state.request_id)
        query = request.query_params
        # One sandbox plays several accounts: the management key of the account with sk-ai-v1-NAME is sk-mg-of-NAME.
        is_of_one = key.startswith(_OF_ONE_KEY)
        rows = self._bill.of_key(key_mark(key.removeprefix(_OF_ONE_KEY))) if is_of_one else self._bill.rows
        if query.get("type") != "cost":
            raise zenmux(400, "invalid_params", "Parameter type is required and must be cost")
        models = [slug for slug in query.get("model_slugs", "").split(",") if slug]
        try:
            report = cost_report(rows, query.get("query_dimension", ""), query.get("query_time", ""), models)
        except UnknownPeriod as error:
            raise zenmux(400, "invalid_params", f"Parameter {error}") from None
        return JSONResponse({"success": True, "data": report})

    async def rule_key(self, request: Request) -> Response:
        """PUT with a refusal as its body, as status=402, refuses every request with sk-ai-v1-KEY; with `every=N`
        each Nth. DELETE ends that.
        """
        key = request.path_params["key"]
        if request.method == "DELETE":
            self._key_rules.drop(key)
            return Response(status_code=204)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > _RULE_BYTES_MAX:
                raise zenmux(413, "invalid_params", "The rule is too long")
        every = request.query_params.get("every", "1")
        try:
            self._key_rules.put(key, body.decode("utf-8", "replace"), int(every) if every.isdecimal() else 0)
        except DirectiveError as error:
            raise zenmux(400, "invalid_params", str(error)) from None
        return Response(status_code=204)

    async def health(self, _: Request) -> Response:
        """With the number of image requests that arrived whole since the start, refused ones too."""
        return JSONResponse({"status": "ok", "requests_received": self._studio.requests_received})


def _model(spec: ModelSpec) -> dict[str, object]:
    """A model as ZenMux lists it. Which keys of `pricings` hold image rates is not documented; text rates are."""
    pricings: dict[str, object] = {}
    if isinstance(spec.prices, TokenPrices):
        pricings["prompt"] = _rate(spec.prices.text_in / 1000, "perMTokens")
        pricings["completion"] = _rate((spec.prices.text_out or 0) / 1000, "perMTokens")
    elif isinstance(spec.prices, ImagePrice):
        pricings["image"] = _rate(spec.prices.per_image / 1_000_000_000, "perCount")
    return {
        "id": spec.id,
        "object": "model",
        "display_name": f"{spec.owned_by}: {spec.name}",
        "created": spec.created,
        "owned_by": spec.owned_by,
        "input_modalities": ["text", "image"],
        "output_modalities": ["image"],
        "capabilities": {"reasoning": False},
        "context_length": 10_000,
        "pricings": pricings,
    }


def _rate(value: float, unit: str) -> list[dict[str, object]]:
    return [{"value": value, "unit": unit, "currency": "USD"}]


def _bill_json(bill: Bill, rows: Sequence[Row]) -> Iterator[bytes]:
    """The bill as of now, written some hundred rows at a time."""
    totals = {
        "count": bill.count,
        "dropped": bill.dropped,
        "total_cost_nanousd": bill.total_nanousd,
        "total_cost_usd": usd(bill.total_nanousd),
    }
    yield b'{"generations":['
    for start in range(0, len(rows), _ROWS_PER_CHUNK):
        lines = ",".join(json.dumps(row.as_json()) for row in rows[start : start + _ROWS_PER_CHUNK])
        yield ("," if start else "").encode() + lines.encode()
    yield b"]," + json.dumps(totals).encode()[1:]


def _answer(refusal: SandboxRefusal) -> Response:
    return JSONResponse(refusal.body, refusal.status, refusal.headers)


async def _refused(_: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, SandboxRefusal)
    return _answer(refusal)


async def _refused_by_routing(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _answer(zenmux(error.status_code, "invalid_params", error.detail))
