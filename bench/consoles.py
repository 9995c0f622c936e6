"""Who else asks a gateway while it makes images: consoles that people have open, and programs that read the admin API.

A console does what its page does in a browser: the changing part of Now every five seconds, and now and then a look at
Usage and at Requests. Each belongs to a user who signed in with a link.
"""

import http.client
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from app.admin.access.sign_in import create_link, sign_in_by_link
from app.admin.operator import Operator
from app.identity.sessions.sessions import SessionBounds
from bench.processes import BenchError

READERS = 20  # as in bench.budgets.CONSOLES
EVERY_SECONDS = 5.0  # as hx-trigger of the templates says
NOW, USAGE, REQUESTS = "/console/now", "/console/usage", "/console/requests"
_LOOKS_ELSEWHERE = 6  # every so many refreshes, one page more
_PART = {"hx-request": "true"}

Ask = Callable[[], float]
"""Asks once, and returns how long the whole answer took, in milliseconds."""


@dataclass(frozen=True)
class Console:
    """A browser in which somebody is signed in."""

    port: int
    cookie: str

    def refresh(self) -> float:
        return ask(self.port, NOW, {"cookie": self.cookie, **_PART})

    def show(self, path: str) -> float:
        return ask(self.port, path, {"cookie": self.cookie})


def ask(port: int, path: str, headers: dict[str, str]) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    began = time.perf_counter()
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise BenchError(f"{path}: HTTP {answer.status}: {content[:300].decode(errors='replace')}")
    return (time.perf_counter() - began) * 1e3


def sign_in(port: int, engine: Engine, user: str) -> Console:
    """A user's console, signed in as an admin's is; not over HTTP, where logins of one address are throttled."""
    operator = Operator(engine, lambda: datetime.now(UTC), "bench")  # noqa: TID251 - a benchmark is its own clock
    link = create_link(operator, user, "admin").get_secret_value()
    opened = sign_in_by_link(operator, link, "bench", SessionBounds(timedelta(hours=8), timedelta(days=7)))
    if opened is None:
        raise BenchError(f"{user} cannot sign in")
    return Console(port, f"zg_session={opened.token.get_secret_value()}")


def habits(consoles: Sequence[Console]) -> list[Ask]:
    """What each of them asks at each refresh."""
    return [_habit(console, number) for number, console in enumerate(consoles)]


def _habit(console: Console, number: int) -> Ask:
    count = number  # so that not all look elsewhere at once

    def ask_next() -> float:
        nonlocal count
        count += 1
        if count % _LOOKS_ELSEWHERE == 0:
            console.show(USAGE if count // _LOOKS_ELSEWHERE % 2 else REQUESTS)
        return console.refresh()

    return ask_next


@contextmanager
def repeating(asks: Sequence[Ask]) -> Iterator[None]:
    """Each of them asks every five seconds, one after the other. Raises BenchError with what one of them met."""
    is_over, faults = threading.Event(), list[Exception]()

    def repeat(number: int, once: Ask) -> None:
        is_over.wait(EVERY_SECONDS * number / len(asks))
        try:
            while not is_over.is_set():
                once()
                is_over.wait(EVERY_SECONDS)
        except (BenchError, OSError, http.client.HTTPException) as fault:
            faults.append(fault)

    readers = [threading.Thread(target=repeat, args=pair) for pair in enumerate(asks)]
    for reader in readers:
        reader.start()
    try:
        yield
    finally:
        is_over.set()
        for reader in readers:
            reader.join()
    if faults:
        raise BenchError(f"Who reads beside images met: {faults[0]!r}")
