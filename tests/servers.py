"""Real servers on loopback for tests: a gateway in a thread of this process, and one in a process of its own. Their
stores are migrated already, which takes half of a start otherwise."""

import contextlib
import json
import os
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import uvicorn
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, select

from app.configuration.reading import check
from app.database.changes import Change
from app.database.clock import Clock
from app.database.engine import create_engine, reading, writing
from app.database.schema import ledger_tables, replay_tables
from app.identity.keys.format import PUBLIC_ID_BYTES, SECRET_BYTES, mint
from app.identity.keys.keys import NewKey, create_key
from app.identity.people.users import create_user, find_user
from app.main import create_app, utc_now
from app.quotas.limits.manage import set_limit
from app.quotas.reports.audit import Finding, audit, compare_with_bill
from app.quotas.rules.limits import Scope, parse_limit
from app.sandbox.server import SandboxServer
from app.server.http.bounds import Bounds
from app.server.serving import bound_buffers, server_config
from app.settings.settings import Settings
from tests.forking import Program, fork_server
from tests.stores import copy_sqlite_store

UPSTREAM_KEY = "sk-ai-v1-test-upstream-key"
_PATIENCE_SECONDS = 20
_START_SECONDS = 60  # a busy machine takes long to load the house


def wait_until(happened: Callable[[], bool], what: str, seconds: float = _PATIENCE_SECONDS) -> None:
    """Wait for something another process or thread does, where nothing announces it."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain until {what}")
        time.sleep(0.01)


def free_port() -> int:
    """A port nobody listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def fetch_json(url: str, key: str | None = None) -> Any:
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {key}"} if key else {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def read_metric(root: str, name: str, /, **labels: str) -> float:
    """The sum of all series of one metric that carry these labels, asked for over a connection of its own."""
    with urllib.request.urlopen(f"{root}/metrics", timeout=30) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


@dataclass(frozen=True)
class Key:
    """A key made for a test."""

    text: str
    id: str


@dataclass
class Store:
    """The gateway's database, seen from outside."""

    engine: Engine

    def key(self, *limits: str, user: str = "alice", user_limits: tuple[str, ...] = (), **fields: Any) -> Key:
        """A new key of `user`, who is made when missing, with these limits; `shadow_limits` are the key's, too."""
        change = Change("test", utc_now(), lambda: os.urandom(8).hex())
        shadow_limits: tuple[str, ...] = fields.pop("shadow_limits", ())
        minted = mint(os.urandom(PUBLIC_ID_BYTES), os.urandom(SECRET_BYTES))
        with writing(self.engine) as connection:
            owner = find_user(connection, user) or create_user(connection, user, change=change)
            new = NewKey(owner.id, fields.pop("name", None), fields.pop("models", None), fields.pop("expires_at", None))
            create_key(connection, new, minted, change=change)
            for scope, scope_id, written in (
                *((Scope.KEY, minted.id, limit) for limit in limits),
                *((Scope.USER, owner.id, limit) for limit in user_limits),
            ):
                set_limit(connection, parse_limit(written).on(scope, scope_id), change=change)
            for written in shadow_limits:
                set_limit(connection, parse_limit(written).on(Scope.KEY, minted.id, shadow=True), change=change)
        return Key(minted.text.get_secret_value(), minted.id)

    def limit_account(self, account: str, *limits: str) -> None:
        """Limits on one ZenMux account."""
        change = Change("test", utc_now(), lambda: os.urandom(8).hex())
        with writing(self.engine) as connection:
            for written in limits:
                set_limit(connection, parse_limit(written).on(Scope.ACCOUNT, account), change=change)

    def rows(self) -> list[dict[str, Any]]:
        """Every reservation, oldest first."""
        table = ledger_tables.reservations
        with reading(self.engine) as connection:
            rows = connection.execute(select(table).order_by(table.c.reserved_at_ms, table.c.id))
            return [dict(row._mapping) for row in rows]

    def undelivered(self) -> int:
        """How many attempts may be taken over, as every process knows it."""
        table = replay_tables.attempts
        with reading(self.engine) as connection:
            found = connection.execute(select(table.c.request_id).where(table.c.undelivered_at_ms.is_not(None)))
            return len(found.all())

    def settled(self, count: int | None = None) -> list[dict[str, Any]]:
        """The rows, once none of them is pending (and there are `count`)."""

        def done() -> bool:
            rows = self.rows()
            return all(row["state"] != "pending" for row in rows) and (count is None or len(rows) >= count)

        wait_until(done, "every reservation is resolved")
        return self.rows()

    def findings(self, bill: Mapping[str, Any] | None = None) -> list[Finding]:
        """What the audit finds wrong, the sandbox's bill held against the ledger where it is given."""
        with reading(self.engine) as connection:
            found = list(audit(connection, utc_now()))
            if bill is not None:
                found += compare_with_bill(connection, bill)
        return [finding for finding in found if finding.severity == "error"]


def assert_bill_is_ledger(
    gateway: "RunningGateway | GatewayProcess", sandbox: SandboxServer, bought: int | None = None
) -> None:
    """Once all is settled, the sandbox has charged what the ledger says; for so many generations, where it is given."""
    gateway.store.settled()
    bill = fetch_json(sandbox.bill_url)
    assert bought is None or len(bill["generations"]) == bought
    assert gateway.store.findings(bill) == []


class RunningGateway:
    """A gateway served by a real uvicorn in a thread: `url` ends in /v1."""

    def __init__(self, settings: Settings, clock: Clock = utc_now) -> None:
        self.settings = settings
        if settings.database_url is None:
            copy_sqlite_store(settings.data_dir / "gateway.db")
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=2048)
        bound_buffers(self.socket, settings.socket_buffer_bytes)
        self.root = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.url = f"{self.root}/v1"
        self.app = create_app(check(settings).configuration, clock)
        # Tests that read until the server closes wait for the end of the idle time.
        bounds = replace(Bounds.of(settings), idle_seconds=5)
        self.server = uvicorn.Server(server_config(self.app, 10, bounds))
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self.server.started or not self._thread.is_alive(), "the gateway started")
        assert self.server.started, "the gateway did not start"
        self.store = Store(create_engine(self.settings.database))
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self._thread.join(_PATIENCE_SECONDS)
        self.store.engine.dispose()
        assert not self._thread.is_alive(), "the gateway did not stop"

    def metric(self, name: str, /, **labels: str) -> float:
        """The sum of all series of one metric that carry these labels."""
        return read_metric(self.root, name, **labels)


class GatewayProcess:
    """`zenmux-gateway serve` in a process of its own: for memory, signals and kill -9.

    `module` is what Python runs: `tests.loop_stall` is the gateway with a probe on its loop.
    """

    stderr: int | None = None  # a subclass may send the log lines elsewhere than to `log`

    def __init__(self, data_dir: Path, upstream_url: str, *, module: str = "app", **environment: str) -> None:
        self.port = int(environment.get("GATEWAY_PORT") or free_port())
        self.root = f"http://{environment.get('GATEWAY_HOST', '127.0.0.1')}:{self.port}"
        self.url = f"{self.root}/v1"
        self._log = data_dir.parent / f"{data_dir.name}-{self.port}.log"
        if "GATEWAY_DATABASE_URL" not in environment:
            copy_sqlite_store(data_dir / "gateway.db")
        environment = {
            "PATH": os.environ["PATH"],
            "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"],
            "ZENMUX_API_KEY": UPSTREAM_KEY,
            "ZENMUX_BASE_URL": upstream_url,
            "GATEWAY_DATA_DIR": str(data_dir),
            "GATEWAY_PORT": str(self.port),
            **environment,
        }
        with self._log.open("ab") as file:
            outputs = (file.fileno(), file.fileno() if self.stderr is None else self.stderr)
            folder = Path(__file__).parent.parent
            self.process = fork_server().start(Program(module, ("serve",), environment, folder, outputs, True))
        self.store_url = environment.get("GATEWAY_DATABASE_URL", f"sqlite:///{data_dir / 'gateway.db'}")

    def __enter__(self) -> Self:
        try:
            wait_until(self.is_ready, "the gateway process is ready", _START_SECONDS)
        except BaseException:
            self.kill()
            raise
        self.store = Store(create_engine(self.store_url))
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.store.engine.dispose()

    def begin(self, key: Key, prompt: str) -> socket.socket:
        """Send a request for an image over a connection of its own; the answer is the caller's to read."""
        body = json.dumps({"model": "gpt-image-2", "size": "1024x1024", "quality": "low", "prompt": prompt})
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        head = (
            f"POST /v1/images/generations HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key.text}\r\n"
            f"connection: close\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        connection.sendall((head + body).encode())
        return connection

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log()
        with contextlib.suppress(OSError):
            return bool(fetch_json(f"{self.root}/readyz")["status"] == "ready")
        return False

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.process.kill()
        self.process.wait()
