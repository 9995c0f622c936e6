"""docs/webhooks.md: its example is what is sent, and its receivers' code takes true signatures and no others."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from app.webhooks.message import body_of, headers_of
from tests.webhooks.test_message import due

PAGE = (Path(__file__).parents[2] / "docs/webhooks.md").read_text(encoding="utf-8")
SECRET = "a-secret-of-thirty-two-characters"
NODE = shutil.which("node")


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def keys(value: Any) -> Any:
    return {name: keys(inner) for name, inner in value.items()} if isinstance(value, dict) else None


def test_the_example_has_the_fields_that_are_sent() -> None:
    assert keys(json.loads(block("json"))) == keys(json.loads(body_of(due())))


def test_the_example_has_the_headers_that_are_sent() -> None:
    written = dict(re.findall(r"^([a-z-]+): (.+)$", block("http"), re.MULTILINE))
    assert written.keys() == headers_of(due(), b"", b"", 0).keys()


def cases() -> list[tuple[str, str, bool]]:
    """Body, signature header, and whether it is to be believed."""
    now, body = int(time.time()), body_of(due())

    def signed(at: int, secret: str = SECRET) -> str:
        return headers_of(due(), body, secret.encode(), at)["x-gateway-signature"]

    text, true = body.decode(), signed(now)
    return [
        (text, true, True),
        (text + " ", true, False),
        (text, signed(now, "another secret"), False),
        (text, signed(now - 3600), False),
        (text, signed(now + 3600), False),
        (text, true.replace("t=", "t=1"), False),
        (text, true.partition(",")[0], False),
        (text, f"t={now},v1=", False),
        (text, "v1=00", False),
        (text, "nonsense", False),
        (text, "", False),
    ]


def test_the_python_receiver() -> None:
    names: dict[str, Any] = {}
    exec(compile(block("python"), "webhooks.md", "exec"), names)
    for body, signature, believed in cases():
        assert names["verify"](body.encode(), signature, SECRET) is believed, signature


@pytest.mark.skipif(NODE is None, reason="there is no Node.js on this machine")
def test_the_node_receiver(tmp_path: Path) -> None:
    assert NODE is not None
    script = tmp_path / "receiver.mjs"
    script.write_text(
        block("js")
        + 'import fs from "node:fs";\n'
        + 'const [secret, cases] = JSON.parse(fs.readFileSync(0, "utf-8"));\n'
        + "const believed = cases.map(([body, signature]) => verify(Buffer.from(body), signature, secret));\n"
        + "console.log(JSON.stringify(believed));\n"
    )
    given = json.dumps([SECRET, cases()])
    done = subprocess.run([NODE, str(script)], input=given.encode(), capture_output=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [believed for _, _, believed in cases()]
