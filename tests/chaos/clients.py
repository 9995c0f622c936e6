"""Clients that behave as users of the SDKs do, and know what each answer to them may be.

They ask for small images, some in streams, some with faults on request; some hang up. A connection that breaks or
cannot be made is tried again on another gateway, as a load balancer would have it; so is what may be tried again.
"""

import asyncio
import base64
import binascii
import io
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
from PIL import Image

from tests.chaos.provider import MODELS
from tests.chaos.world import Downtimes, Replica, still_time
from tests.e2e.test_faults import CUT, FAULTS, Fault
from tests.image_files import data_url, image_file, mask_file

EDGE = 64
_IMAGE, _MASK = image_file((EDGE, EDGE)), mask_file((EDGE, EDGE))
_TRIES = 3  # an SDK's first try and its two further ones
_RETRY_SECONDS_MAX = 1.0
_THINK_SECONDS = 5.0  # the mean pause between two requests of one client
_FAULT_SHARE = 0.3
_LEAVE_SHARE = 0.1
_STREAM_SHARE = 0.4
_EDIT_SHARE = 0.3
_ANSWER_SECONDS_MAX = 120.0
_REFUSED = ("insufficient_quota", "rate_limit_exceeded")
_MADE_BEFORE = ("idempotency_in_progress", "answer_lost")
_VIOLATIONS_MAX = 50

# Not here: what takes long or much, each of which has tests of its own.
_ELSEWHERE = ("stall", "body=", "usage=", "headers", "slow=")
PLAYED = (
    *(fault for fault in FAULTS if not fault.directive.startswith(_ELSEWHERE)),
    Fault("usage=3x", 200, None, "settled", "reported", "completed"),
)


@dataclass(frozen=True)
class Plan:
    """One request: what is asked for, what the answer may be, when its client hangs up (None: never)."""

    body: dict[str, Any]
    fault: Fault | None
    leave_seconds: float | None
    edits: str | None = None  # how an edit is sent: as a form, as json; None: it is no edit

    @property
    def path(self) -> str:
        return "/images/generations" if self.edits is None else "/images/edits"

    @property
    def sent(self) -> dict[str, Any]:
        """The request as HTTPX takes it."""
        if self.edits == "form":
            files = [("image[]", ("a.png", _IMAGE)), ("mask", ("m.png", _MASK))]
            return {"data": {name: str(value).lower() for name, value in self.body.items()}, "files": files}
        images = {} if self.edits is None else {"images": [{"image_url": data_url(_IMAGE)}]}
        return {"json": self.body | images}

    @property
    def count(self) -> int:
        return int(self.body.get("n", 1))


def make_plan(chance: random.Random) -> Plan:
    """Everything about a request that is left to chance."""
    fault = chance.choice(PLAYED) if chance.random() < _FAULT_SHARE else None
    stream = fault.stream if fault else chance.random() < _STREAM_SHARE
    directive = fault.directive if fault else chance.choice(("delay=100ms", "delay=1s", "gap=50ms", "delay=10ms"))
    body: dict[str, Any] = {
        "model": chance.choice(MODELS).removeprefix("openai/"),
        "prompt": f"a{chance.randrange(1000)} [sandbox: {directive}]",
        "size": f"{EDGE}x{EDGE}",
        "quality": "low",
        "output_format": chance.choice(("png", "jpeg", "webp")),
    }
    if stream:
        body |= {"stream": True, "partial_images": chance.choice((0, 1, 2))}
    else:
        body["n"] = chance.choice((1, 1, 1, 2))
    leaves = chance.random() < _LEAVE_SHARE
    edits = chance.choice(("form", "json")) if chance.random() < _EDIT_SHARE else None
    if directive == "no-details":  # of an edit, all input would be charged as images: by design more than the bill
        edits = None
    return Plan(body, fault, chance.choice((0.001, 0.02, 0.1, 0.3)) if leaves else None, edits)


@dataclass
class Scores:
    """What all clients have seen. `images`: the answers that were whole and bought, by request id. `undelivered`: the
    requests whose callers did not receive an answer; only these may be answered with what was bought before.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    images: dict[str, int] = field(default_factory=dict)
    undelivered: set[tuple[str, str]] = field(default_factory=set)

    def blame(self, what: str) -> None:
        if len(self.violations) < _VIOLATIONS_MAX:
            self.violations.append(what)


class Client:
    """One user with one key. `name` stands in what it reports."""

    def __init__(self, name: str, key: str, replicas: Sequence[Replica], scores: Scores, chance: random.Random) -> None:
        self._name = name
        self._headers = {"authorization": f"Bearer {key}"}
        self._replicas = replicas
        self._scores = scores
        self._chance = chance

    async def work(self, session: httpx2.AsyncClient, store_down: Downtimes, until: float) -> None:
        """Ask for images until that moment of the monotonic clock."""
        while await still_time(until, self._chance.expovariate(1 / _THINK_SECONDS)):
            await self._ask(session, store_down, make_plan(self._chance))

    async def _ask(self, session: httpx2.AsyncClient, store_down: Downtimes, plan: Plan) -> None:
        order = self._chance.sample(self._replicas, len(self._replicas))
        asked = self._headers["authorization"], f"{plan.edits} {json.dumps(plan.body)}"
        for number in range(_TRIES):
            attempt = _Attempt(plan, order[number % len(order)], store_down)
            outcome, wait_seconds = await attempt.run(session, self._headers)
            if attempt.is_replayed:
                outcome = f"replayed: {outcome}"
                if asked not in self._scores.undelivered:
                    attempt.wrong = f"{outcome}, and nobody was left without an answer"
            if attempt.is_undelivered:
                self._scores.undelivered.add(asked)
            self._scores.outcomes[outcome] += 1
            if attempt.wrong:
                where = f"{self._name}, {attempt.replica.name}, {attempt.request_id}, {json.dumps(plan.body)}"
                self._scores.blame(f"{attempt.wrong} ({where})")
            if outcome == "image":
                self._scores.images[attempt.request_id] = plan.count
            if wait_seconds is None:
                return
            await asyncio.sleep(min(wait_seconds, _RETRY_SECONDS_MAX))


class _Attempt:
    """One request to one gateway. `wrong` says what must not have been. `is_replayed`: it was answered with what
    another one bought, or refused because of that; `is_undelivered`: there was no whole answer.
    """

    def __init__(self, plan: Plan, replica: Replica, store_down: Downtimes) -> None:
        self.replica = replica
        self.request_id = "no request id"
        self.wrong = ""
        self.is_replayed = self.is_undelivered = False
        self._plan = plan
        self._store_down = store_down
        self._began = time.monotonic()

    async def run(self, session: httpx2.AsyncClient, headers: dict[str, str]) -> tuple[str, float | None]:
        """What came of it, and after how many seconds to try again (None: not at all)."""
        url = f"{self.replica.url}{self._plan.path}"
        limit = _ANSWER_SECONDS_MAX if self._plan.leave_seconds is None else self._plan.leave_seconds
        try:
            async with asyncio.timeout(limit):
                answer = await session.post(url, headers=headers, **self._plan.sent)
        except TimeoutError:
            self.is_undelivered = True
            if self._plan.leave_seconds is None:
                self.wrong = f"no answer in {limit} s"
            return "left", None
        except httpx2.TransportError as error:
            self.is_undelivered = True
            return self._broken(error)
        self.is_replayed = "x-gateway-replayed" in answer.headers
        self.request_id = answer.headers.get("x-request-id", self.request_id)
        return self._refused(answer) if answer.status_code != 200 else self._judge(answer.content)

    def _broken(self, error: Exception) -> tuple[str, float | None]:
        expected = self._plan.fault is not None and self._plan.fault.status == CUT
        if self.replica.down.touched(self._began, time.monotonic()):
            return ("refused connection" if isinstance(error, httpx2.ConnectError) else "broken"), 0.0
        if not expected:
            self.wrong = f"the connection broke and nobody had killed the gateway: {error!r}"
        return "fault on request", None

    def _judge(self, body: bytes) -> tuple[str, float | None]:
        told = stream_error(body) if self._plan.body.get("stream") else None
        if told is not None:
            if not self._expects(200, told.get("code")):
                self.wrong = f"a stream told of {told}"
            return "fault on request", None
        try:
            check_whole(self._plan, body)
        except (ValueError, KeyError, TypeError, OSError) as error:
            self.wrong = f"not a whole answer: {error!r}: {body[:200]!r}…{body[-200:]!r}"
            return "garbled", None
        if self._plan.fault is not None and (self._plan.fault.told or self._plan.fault.status != 200):
            self.wrong = "a good answer where a fault was asked for"
        return "image", None

    def _refused(self, answer: httpx2.Response) -> tuple[str, float | None]:
        status = answer.status_code
        try:
            error = answer.json()["error"]
            code, _ = error["code"], (error["message"], error["type"], error["param"])
        except (ValueError, KeyError, TypeError):
            self.wrong = f"{status} is not in OpenAI's shape: {answer.content[:300]!r}"
            return "garbled", None
        again = status in (408, 409, 429) or status >= 500
        if answer.headers.get("x-should-retry") == "false":
            again = False
        wait_seconds = float(answer.headers.get("retry-after", "0.5")) if again else None
        if status == 429 and code in _REFUSED:
            return f"refused: {code}", wait_seconds
        if status == 503 and code == "store_unavailable" and self._store_was_down():
            return "store away", wait_seconds
        if code in _MADE_BEFORE:
            self.is_replayed = True
            return str(code), wait_seconds
        if not self._expects(status, code) and not self.is_replayed:  # a failure that another one was to have
            self.wrong = f"{status} {error}"
        return "fault on request", wait_seconds

    def _expects(self, status: int, code: object) -> bool:
        fault = self._plan.fault
        return fault is not None and fault.status == status and fault.told in (None, "any", code)

    def _store_was_down(self) -> bool:
        return self._store_down.touched(self._began, time.monotonic())


def stream_error(body: bytes) -> dict[str, Any] | None:
    """The error a stream ends with."""
    for event in events(body):
        if isinstance(event.get("error"), dict):
            return dict(event["error"])
    return None


def events(body: bytes) -> list[dict[str, Any]]:
    """The data of a stream's events. ValueError when one of them is no JSON, or the last one is cut."""
    *whole, rest = body.split(b"\n\n")
    if rest:
        raise ValueError("the stream ends in the middle of an event")
    lines = [line for event in whole for line in event.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line.removeprefix(b"data: ")) for line in lines]


def check_whole(plan: Plan, body: bytes) -> None:
    """Every image that was asked for is there and can be opened. Raises ValueError, KeyError, OSError."""
    if plan.body.get("stream"):
        found = events(body)
        last = found[-1]
        if last["type"] != ("image_generation.completed" if plan.edits is None else "image_edit.completed"):
            raise ValueError("the stream ends without its completed event")
        if len(found) - 1 > plan.body["partial_images"]:
            raise ValueError(f"{len(found) - 1} partial images")
        images = [last["b64_json"]]
    else:
        images = [image["b64_json"] for image in json.loads(body)["data"]]
    if len(images) != plan.count:
        raise ValueError(f"{len(images)} images")
    for image in images:
        try:
            with Image.open(io.BytesIO(base64.b64decode(image, validate=True))) as opened:
                opened.load()
                size, kind = opened.size, (opened.format or "").lower()
        except binascii.Error as error:
            raise ValueError("not base64") from error
        if size != (EDGE, EDGE) or kind != plan.body["output_format"]:
            raise ValueError(f"a {kind} of {size}")
