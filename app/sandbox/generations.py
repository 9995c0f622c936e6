"""The life of one image request: key, body, rules, work, charge, answer. The charge is made when the work is done,
whether or not the client still waits.
"""

from contextlib import ExitStack
from typing import Final

import anyio
import anyio.to_thread
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from app.images.catalog.catalog import Catalog
from app.images.cost.pricing import price
from app.images.cost.usage import Usage
from app.sandbox.answers.bill import Bill, Row, cost_parts
from app.sandbox.answers.bodies import Answer, html_answer, images_answer, odd_answer, refusal_answer
from app.sandbox.answers.connection import connection_of
from app.sandbox.answers.delivery import Line, deliver
from app.sandbox.answers.metering import meter
from app.sandbox.images.drawing import draw_all
from app.sandbox.images.editing import Sources
from app.sandbox.images.lettering import Lettering
from app.sandbox.options import SandboxOptions
from app.sandbox.requests.asked import Asked, check
from app.sandbox.requests.directives import Directives
from app.sandbox.requests.key_rules import KeyRules, key_mark
from app.sandbox.requests.reading import read_body
from app.sandbox.requests.refusals import (
    BILLED_STATUSES,
    SandboxRefusal,
    from_table,
    moderation_azure,
    moderation_openai,
    zenmux,
)

KEY_PREFIX: Final = "sk-ai-v1-"
MANAGEMENT_KEY_PREFIX: Final = "sk-mg-"


def check_key(headers: Headers, prefix: str, request_id: str) -> str:
    """The key without its prefix. Any key with the prefix is valid, in any of the three headers that ZenMux reads.

    Raises SandboxRefusal (403).
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    keys = (
        token.strip() if scheme.lower() == "bearer" else "",
        headers.get("x-api-key"),
        headers.get("x-goog-api-key"),
    )
    key = next((key for key in keys if key), "")
    if not key.startswith(prefix) or key == prefix:
        raise from_table(403, "access_denied", request_id)
    return key.removeprefix(prefix)


class Studio:
    """What the two image endpoints share: the fonts, the drawing slots, the models, the bill, the rules of keys."""

    def __init__(self, options: SandboxOptions, catalog: Catalog, bill: Bill, key_rules: KeyRules) -> None:
        self.options = options
        self.key_rules = key_rules
        self.catalog = catalog
        self.bill = bill
        self.requests_received = 0
        self._lettering = Lettering(options.font)
        self._places = anyio.CapacityLimiter(options.draws_at_a_time)

    async def work(self, asked: Asked, inputs: Sources, usage: Usage) -> Answer:
        """Draw, unless the answer shows no image."""
        odd = odd_answer(asked.directives)
        if odd is not None:
            return odd
        drawn = await anyio.to_thread.run_sync(draw_all, asked, self._lettering, inputs, limiter=self._places)
        return images_answer(asked, drawn, usage, int(self.options.clock().timestamp()))

    def charge(self, asked: Asked, usage: Usage, request_id: str, key: str) -> Row:
        """Adds the generation to the bill."""
        row = Row(
            request_id=request_id,
            at=self.options.clock(),
            model=asked.spec.id,
            operation=asked.operation,
            size=asked.size,
            quality=asked.quality,
            n=asked.n,
            stream=asked.stream,
            partial_images=asked.partial_images,
            usage=usage,
            cost_nanousd=price(usage, asked.n, asked.spec),
            parts=cost_parts(usage, asked.n, asked.spec),
            key=key_mark(key),
        )
        self.bill.add(row)
        return row


class ImageEndpoint:
    """One of the two image endpoints, as an ASGI app: `operation` is `generation` or `edit`."""

    def __init__(self, operation: str, studio: Studio) -> None:
        self._operation = operation
        self._studio = studio

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        request_id = scope["state"]["request_id"]
        key = check_key(request.headers, KEY_PREFIX, request_id)
        with ExitStack() as files:
            try:
                body = await read_body(request, self._operation, self._studio.options, files)
            except ClientDisconnect:
                return  # a request that did not arrive completely is not performed
            self._studio.requests_received += 1
            refused = self._studio.key_rules.refusal_of(key)
            if refused is not None and (refusal := _refusal(refused, request_id)) is not None:
                await anyio.sleep(refused.delay_seconds)
                raise refusal
            asked = check(body.fields, self._operation, body.inputs, self._studio.catalog)
            line = Line(send, connection_of(scope), self._studio.options)
            _check_breakable(asked.directives, line)
            async with anyio.create_task_group() as group:
                group.start_soon(line.watch, receive)
                await self._perform(asked, Sources(body.images, body.mask), request_id, key, line)
                group.cancel_scope.cancel()

    async def _perform(self, asked: Asked, inputs: Sources, request_id: str, key: str, line: Line) -> None:
        directives = asked.directives
        await anyio.sleep(directives.delay_seconds)  # the provider continues, even if the client leaves
        refusal = _refusal(directives, request_id)
        if refusal is not None and refusal.status not in BILLED_STATUSES:
            await deliver(refusal_answer(refusal), directives, line)
            return
        if directives.html is not None and directives.html < 500:  # something on the way refused: it never came here
            await deliver(html_answer(directives.html), directives, line)
            return
        usage = meter(asked)
        answer = await self._studio.work(asked, inputs, usage) if refusal is None else refusal_answer(refusal)
        row = self._studio.charge(asked, usage, request_id, key)
        if directives.reset:
            await line.reset()
        else:
            row.client_left = not await deliver(answer, directives, line)


def _refusal(directives: Directives, request_id: str) -> SandboxRefusal | None:
    if directives.moderation is not None:
        return (moderation_azure if directives.moderation == "azure" else moderation_openai)(request_id)
    if directives.status is None:
        return None
    refusal = from_table(directives.status, directives.type, request_id)
    if directives.retry_after_seconds is not None:
        refusal.headers["Retry-After"] = str(directives.retry_after_seconds)
    return refusal


def _check_breakable(directives: Directives, line: Line) -> None:
    if (directives.reset or directives.cut is not None or directives.stall is not None) and not line.breakable:
        raise zenmux(
            400,
            "invalid_params",
            "Directives cut, stall and reset need the server that `zenmux-gateway sandbox` starts",
        )
