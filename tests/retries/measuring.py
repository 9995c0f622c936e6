"""What one client costs that asks for one image while something goes wrong: images by the sandbox's bill."""

import os
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from app.sandbox.server import SandboxServer
from app.settings.settings import Settings
from tests.retries.clients import Client
from tests.retries.faults import Fault, faulty_proxy
from tests.servers import UPSTREAM_KEY, RunningGateway, fetch_json


class Trouble(NamedTuple):
    """What goes wrong: a column. `directives` are the sandbox's, `seconds` is how long the client waits."""

    name: str
    directives: str
    fault: Fault = Fault()
    seconds: float = 60
    refusal: str | None = None  # ZenMux's, until the client has an answer


TROUBLES = (
    Trouble("time-out", "delay=2s", seconds=1),
    Trouble("cut", "body=2MB", Fault(after_bytes=1_000_000)),
    Trouble("reset", "delay=2s", Fault(silent_seconds=1)),
    Trouble("5xx, nothing bought", "chunked", refusal="status=502"),
    Trouble("5xx, bought", "status=504"),
)


class Outcome(NamedTuple):
    """Images bought for one asked, and whether the client has it."""

    version: str
    bought: int
    has_image: bool
    error: str | None

    @property
    def cell(self) -> str:
        return str(self.bought) if self.has_image else f"{self.bought}, no image"


@contextmanager
def refusing(sandbox: SandboxServer, refusal: str | None) -> Iterator[Callable[[], None]]:
    """ZenMux refuses until what it gives is called."""
    url = sandbox.bill_url.replace("/bill", f"/keys/{UPSTREAM_KEY.removeprefix('sk-ai-v1-')}")

    def send(method: str, data: bytes | None = None) -> None:
        urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=30).close()

    if refusal is not None:
        send("PUT", refusal.encode())
    yield lambda: send("DELETE") if refusal is not None else None


def measure(client: Client, trouble: Trouble, folder: Path) -> Outcome:
    """`folder` is empty, for the gateway's data."""
    with SandboxServer() as sandbox, refusing(sandbox, trouble.refusal) as relent:
        settings = Settings(
            _env_file=None, zenmux_api_key=UPSTREAM_KEY, zenmux_base_url=sandbox.url, data_dir=folder / "data"
        )
        with (
            RunningGateway(settings) as gateway,
            faulty_proxy(int(gateway.root.rpartition(":")[2]), trouble.fault, relent) as root,
        ):
            answer = client.ask(
                {
                    "PATH": os.environ["PATH"],
                    "HOME": str(folder),
                    "OPENAI_BASE_URL": f"{root}/v1",
                    "OPENAI_API_KEY": gateway.store.key().text,
                    "ASK_PROMPT": f"a paper boat [sandbox: {trouble.directives}]",
                    "ASK_SECONDS": str(trouble.seconds),
                }
            )
            gateway.store.settled()
            bill = fetch_json(sandbox.bill_url)
            assert gateway.store.findings(bill) == []
            return Outcome(answer.version, len(bill["generations"]), answer.has_image, answer.error)
