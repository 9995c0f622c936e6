"""Who is measured: nobody (the rig's own ceiling), and this gateway as it is shipped. Others: nginx.py, peers.py."""

import compileall
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from app import __version__
from bench.processes import BenchError, start, stop
from bench.requests import Request
from bench.scenarios import FILE, MODEL, PEER_CONNECTIONS_MAX, REPLAY, SMALL, Scenario

ROOT = Path(__file__).parents[1]
_START_SECONDS = 120
_POLL_SECONDS = 0.005


@dataclass(frozen=True)
class Place:
    """Where a contender runs: an empty folder of its own, its core, and the upstream it is to stand in front of.

    `settings` are the scenario's, and so many `users` ask.
    """

    folder: Path
    core: int
    upstream: str
    certificate: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    users: int = 1


@dataclass(frozen=True)
class Running:
    """A contender that answers on `port`. `start_seconds`: from its start to its first good answer. `headers` are those
    of the first user, `others` those of each further one.
    """

    port: int
    headers: Mapping[str, str] = field(default_factory=dict)
    model: str = MODEL
    process: subprocess.Popen[bytes] | None = None
    start_seconds: float = 0.0
    others: tuple[Mapping[str, str], ...] = ()

    @property
    def users(self) -> int:
        return 1 + len(self.others)

    def encoded(self, request: Request) -> bytes:
        """The whole request of each user, one after the other, as load.c sends them."""
        return b"".join(_encoded(request, headers) for headers in (self.headers, *self.others))

    def ask(self, request: Request) -> tuple[int, bytes]:
        """One request on a connection of its own: the status and the body. Raises OSError and HTTPException."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(request.method, request.path, request.body, {**request.headers, **self.headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def stop(self) -> None:
        if self.process is not None:
            stop(self.process)


class Contender(ABC):
    """One that can be started in front of an upstream. `name` stands in the tables."""

    name: str

    @abstractmethod
    def prepare(self) -> str:
        """Install what is missing; the version. Raises BenchError, saying why it cannot take part."""

    @abstractmethod
    def start(self, place: Place) -> Running:
        """Start it and wait for its first good answer. Raises BenchError when none comes."""

    @property
    def has_tls(self) -> bool:
        return True

    def takes_part_in(self, scenario: Scenario) -> bool:
        """Peers have none of the gateway's settings, store nothing, and would take minutes for thousands at a time."""
        return not scenario.settings and not scenario.stored and scenario.connections <= PEER_CONNECTIONS_MAX

    def asked(self, running: Running, scenario: Scenario) -> Request:
        """What `running`, which it started, is asked again and again. Raises BenchError where that cannot be made."""
        return scenario.request(running.model)


class Direct(Contender):
    """No gateway at all: what the rig itself can do. Not measured over TLS, which the load does not speak."""

    name = "direct"

    def prepare(self) -> str:
        return "bench/upstream.c"

    def start(self, place: Place) -> Running:
        return Running(int(place.upstream.split(":")[2].split("/")[0]))

    @property
    def has_tls(self) -> bool:
        return False

    def takes_part_in(self, scenario: Scenario) -> bool:
        return not scenario.stored  # the rig is the same with any settings


class Gateway(Contender):
    """This gateway with everything on: a key with limits on all of its scopes, SQLite on disk, a log line a request.

    `settings` are environment variables of its own, to measure what one of them does.
    """

    name = "gateway"
    _LIMITS = ("--gateway", "usd:1000000/month")
    _USER_LIMITS = ("images:100000000/day", "usd:1000000/month")
    _KEY_LIMITS = ("requests:100000000/hour", "images:100000000/day")

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._settings = settings or {}

    def prepare(self) -> str:
        compileall.compile_dir(ROOT / "app", quiet=2)  # as an installation is
        return __version__

    def takes_part_in(self, scenario: Scenario) -> bool:  # noqa: ARG002 - the settings are its own
        return True

    def start(self, place: Place) -> Running:
        port = free_port()
        environment = clean_environment() | {
            "GATEWAY_DATA_DIR": str(place.folder / "data"),
            "GATEWAY_PORT": str(port),
            "ZENMUX_API_KEY": "sk-ai-v1-benchmark-upstream-key",
            "ZENMUX_BASE_URL": place.upstream,
            "SSL_CERT_FILE": str(place.certificate),
            **self._settings,
            **place.settings,
        }
        first, *others = [self._make_user(environment, f"bench-{number}") for number in range(place.users)]
        _run_cli(environment, "limits", "set", *self._LIMITS)
        running = Running(port, first, others=tuple(others))
        return started([sys.executable, "-m", "app", "serve"], place, running, environment=environment)

    def _make_user(self, environment: Mapping[str, str], name: str) -> Mapping[str, str]:
        """The headers with a key of a new user."""
        limits = [part for limit in self._KEY_LIMITS for part in ("--limit", limit)]
        made = json.loads(_run_cli(environment, "keys", "create", "--user", name, *limits, "--json"))
        _run_cli(environment, "limits", "set", "--user", name, *self._USER_LIMITS)
        return {"authorization": f"Bearer {made['key']}"}

    def asked(self, running: Running, scenario: Scenario) -> Request:
        request = super().asked(running, scenario)
        if scenario.stored == REPLAY:
            return replace(request, headers={**request.headers, "idempotency-key": "bench"})
        if scenario.stored != FILE:
            return request
        wish = json.dumps(json.loads(request.body) | {"response_format": "url"}).encode()
        status, answer = running.ask(replace(request, body=wish))
        if status != http.HTTPStatus.OK:
            raise BenchError(f"gives no link: {answer[:300].decode(errors='replace')}")
        link = urlsplit(json.loads(answer)["data"][0]["url"])
        return Request("GET", f"{link.path}?{link.query}")


def _encoded(request: Request, headers: Mapping[str, str]) -> bytes:
    fields = {"host": "127.0.0.1", "content-length": str(len(request.body)), **request.headers, **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{request.method} {request.path} HTTP/1.1\r\n{lines}\r\n".encode() + request.body


def stored_bytes(scenario: Scenario, answer: bytes) -> bytes:
    """What is stored of a whole answer: its image, or all of it."""
    return b64decode(json.loads(answer)["data"][0]["b64_json"]) if scenario.stored == FILE else answer


def clean_environment() -> dict[str, str]:
    """This process's environment without the settings of a gateway somebody runs.

    And without the word that Python is to keep nothing it compiles: who is measured would compile at every start.
    """
    foreign = ("GATEWAY_", "ZENMUX_", "OTEL_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def _run_cli(environment: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own command line
        [sys.executable, "-m", "app", *arguments], env=dict(environment), cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise BenchError(f"`{' '.join(arguments[:2])}` failed: {done.stderr.strip()}")
    return done.stdout


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def started(
    arguments: Sequence[object], place: Place, running: Running, environment: Mapping[str, str] | None = None
) -> Running:
    """Start a process and wait until it answers well. Raises BenchError, with the end of its log."""
    log = place.folder / "log"
    began = time.perf_counter()
    process = start(arguments, core=place.core, log=log, environment=environment, folder=ROOT)
    last = "nothing listens"
    while time.perf_counter() < began + _START_SECONDS and process.poll() is None:
        try:
            status, body = running.ask(SMALL.request(running.model))
        except (OSError, http.client.HTTPException) as error:
            last = repr(error)
        else:
            if status == http.HTTPStatus.OK:
                took = time.perf_counter() - began
                return replace(running, process=process, start_seconds=took)
            last = f"HTTP {status}: {body[:300].decode(errors='replace')}"
        time.sleep(_POLL_SECONDS)
    stop(process)
    tail = log.read_text(encoding="utf-8", errors="replace")[-500:]
    raise BenchError(f"does not answer ({last}); its log ends: {tail.strip() or 'it is empty'}")
