"""docs/webhooks.md: its example is what is sent, and its receivers' code takes true signatures and no others."""

import json
import re
import shutil
import subprocess
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.alerts.message import body_of, headers_of
from app.main import utc_now
from tests.alerts.test_message import due

PAGE = (Path(__file__).parents[2] / "docs/webhooks.md").read_text(encoding="utf-8")
SECRET = "a-secret-of-thirty-two-characters"
NODE = shutil.which("node")
NODE_MODULES = Path(__file__).parents[1] / "node" / "node_modules"


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def keys(value: Any) -> Any:
    return {name: keys(inner) for name, inner in value.items()} if isinstance(value, dict) else None


def test_the_example_has_the_fields_that_are_sent() -> None:
    assert keys(json.loads(block("json"))) == keys(json.loads(body_of(due())))


def test_the_example_has_the_headers_that_are_sent() -> None:
    written = dict(re.findall(r"^([a-z-]+): (.+)$", block("http"), re.MULTILINE))
    assert written.keys() == headers_of(due(), b"", b"secret", utc_now()).keys()


def cases() -> list[tuple[str, dict[str, str], bool]]:
    """Body, headers, and whether they are to be believed."""
    now, body = utc_now(), body_of(due())

    def signed(at: datetime = now, secret: str = SECRET, **changed: str) -> dict[str, str]:
        return headers_of(due(), body, secret.encode(), at) | {
            name.replace("_", "-"): value for name, value in changed.items()
        }

    text, hour = body.decode(), timedelta(hours=1)
    return [
        (text, signed(), True),
        (text + " ", signed(), False),
        (text, signed(secret="another secret"), False),
        (text, signed(now - hour), False),
        (text, signed(now + hour), False),
        (text, signed(webhook_id="evt_other"), False),
        (text, signed(webhook_timestamp=str(int(now.timestamp()) + 1)), False),
        (text, signed(webhook_signature="v1,"), False),
        (text, {}, False),
    ]


def test_the_python_receiver() -> None:
    names: dict[str, Any] = {}
    exec(compile(block("python"), "webhooks.md", "exec"), names)
    for body, headers, believed in cases():
        assert names["is_from_the_gateway"](body.encode(), headers, SECRET) is believed, headers


@pytest.mark.skipif(not NODE_MODULES.is_dir(), reason="there is no Node.js on this machine")
def test_the_node_receiver() -> None:
    assert NODE is not None
    script = (
        block("js")
        + 'import fs from "node:fs";\n'
        + 'const [secret, cases] = JSON.parse(fs.readFileSync(0, "utf-8"));\n'
        + "const believed = cases.map(([body, headers]) => isFromTheGateway(Buffer.from(body), headers, secret));\n"
        + "console.log(JSON.stringify(believed));\n"
    )
    given = json.dumps([SECRET, cases()])
    command = [NODE, "--input-type=module", "--eval", script]
    done = subprocess.run(
        command, input=given.encode(), capture_output=True, timeout=60, check=True, cwd=NODE_MODULES.parent
    )
    assert json.loads(done.stdout) == [believed for _, _, believed in cases()]
