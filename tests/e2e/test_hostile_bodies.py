"""No caller's body holds the loop: what is slow to read, to parse or to refuse, in one MiB, beside the loop's probe."""

import http.client
import time
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import date
from functools import partial
from pathlib import Path

import pytest

from app.api.body import parse_json_object
from app.errors import GatewayError
from app.images.catalog.catalog import load_catalog
from app.images.request.normalize import RequestPolicy, normalize
from tests.loop_stall import assert_no_stall
from tests.servers import GatewayProcess

_MIB = 1 << 20
_CHECK_SECONDS_MAX = 0.02  # of one MiB at most; the dearest takes 8 ms
_ATTEMPTS = 10


def filled(unit: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    """A body of one MiB at most: `unit` as often as it fits between the two."""
    return before + unit * ((_MIB - len(before) - len(after)) // len(unit)) + after


_ASKED = b'{"model":"gpt-image-2","prompt":"x",'
BODIES = {
    "a name twice among thousands": b"{" + b"".join(b'"%06x":1,' % name for name in range(95_000)) + b'"000001":1}',
    "a name twice among as many as are read": b"{"
    + b'"zz":1,'
    + b"".join(b'"%d":1,' % n for n in range(4000))
    + b'"zz":1}',
    "names nobody knows": _ASKED + b"".join(b'"a%d":1,' % name for name in range(4000)) + b'"b":1}',
    "objects": filled(b"{},", b'{"a":[', b"1]}"),
    "opening brackets": filled(b"["),
    "closing brackets": filled(b"]"),
    "quotes": filled(b'"'),
    "escaped quotes without an end": filled(b'\\"', b'{"'),
    "backslashes": filled(b"\\\\", _ASKED + b'"user":"', b'"}'),
    "brackets in a prompt": filled(b"[{,", b'{"model":"gpt-image-2","prompt":"', b'"}'),
    "half surrogates": filled(b"\\ud800", b'{"model":"gpt-image-2","prompt":"', b'"}'),
    "a model": filled(b"a/", b'{"prompt":"x","model":"', b'"}'),
    "a size": filled(b"1", _ASKED + b'"size":"', b'"}'),
    "a quality": filled(b"h", _ASKED + b'"quality":"', b'"}'),
    "a style": filled(b"a", _ASKED + b'"n":0,"style":"', b'"}'),
    "an unknown name": filled(b"a", _ASKED + b'"', b'":1}'),
    "long numbers": filled(b"9" * 4300 + b",", b'{"a":[', b"1]}"),
    "digits behind a point": filled(b"1", b'{"a":0.', b"}"),
    "an exponent": filled(b"9", b'{"a":1e', b"}"),
    "lines": filled(b"\n", b"{", b"x}"),
    "a list for a number": _ASKED + b'"n":[' + b"1," * 9000 + b"1]}",
}


def test_no_body_holds_the_loop(tmp_path: Path) -> None:
    with GatewayProcess(tmp_path / "data", "http://127.0.0.1:9/api/v1", module="tests.loop_stall") as gateway:
        key = gateway.store.key()

        def send(body: bytes) -> int:
            headers = {"authorization": f"Bearer {key.text}", "content-type": "application/json"}
            with closing(http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)) as connection:
                connection.request("POST", "/v1/images/generations", body, headers)
                return connection.getresponse().status

        for name, body in BODIES.items():
            assert send(body) == (404 if name == "a model" else 400), name
            assert_no_stall(gateway.root, partial(send, body))


def cpu_seconds(act: Callable[[], object]) -> float:
    begun = time.thread_time()
    with suppress(GatewayError):
        act()
    return time.thread_time() - begun


@pytest.mark.parametrize("name", BODIES)
def test_the_checks_of_a_body_take_20_ms_at_most(name: str) -> None:
    """Of the processor, so that a busy machine does not fail it; once of ten times is enough."""
    policy = RequestPolicy(load_catalog(), True, None, None, None)
    body = BODIES[name]

    def check() -> None:
        normalize(parse_json_object(body), policy, date(2026, 11, 24))

    taken: list[float] = []
    while not taken or taken[-1] >= _CHECK_SECONDS_MAX:
        assert len(taken) < _ATTEMPTS, ", ".join(f"{seconds * 1000:.0f} ms" for seconds in taken)
        taken.append(cpu_seconds(check))
