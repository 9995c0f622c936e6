"""Marked secrets, prompts and pixels go in; no sink may hold any of them: logs, metrics, records, answers."""

import base64
import logging
from pathlib import Path

import httpx2
import pytest

from app.sandbox.server import SandboxServer
from tests.e2e.conftest import StartGateway
from tests.servers import UPSTREAM_KEY

CANARY = "canary-7f3a9c"
BODY = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low", "user": f"user-{CANARY}"}


def test_no_secret_no_prompt_no_pixel_anywhere(
    start_gateway: StartGateway, sandbox: SandboxServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gateway = start_gateway(sandbox.url)
    key = gateway.store.key("images:100/day")
    headers = {"authorization": f"Bearer {key.text}", "cookie": f"session={CANARY}", f"x-{CANARY}": CANARY}
    answers = [
        httpx2.post(f"{gateway.url}/images/generations", json={**BODY, **fields}, headers=headers, timeout=30)
        for fields in (
            {"prompt": f"a house {CANARY}"},
            {"prompt": f"a house {CANARY}", "stream": True, "partial_images": 1},
            {"prompt": f"a house {CANARY} [sandbox: status=403]"},
            {"prompt": f"a house {CANARY} [sandbox: status=500]"},
            {"prompt": f"a house {CANARY} [sandbox: reset]"},
            {"prompt": f"{CANARY}" * 4000},
            {"prompt": f"a house {CANARY}", "model": f"model-{CANARY}"},
        )
    ]
    wrong_key = key.text[:-4] + "2222"
    answers.append(
        httpx2.post(
            f"{gateway.url}/images/generations", json=BODY, headers={"authorization": f"Bearer {wrong_key}"}, timeout=30
        )
    )
    gateway.store.settled(5)
    metrics = httpx2.get(f"{gateway.root}/metrics").text
    logs = "\n".join(
        f"{record.getMessage()} {record.__dict__}" for record in caplog.records if "gateway" in record.name
    )
    database = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    pixels = answers[0].json()["data"][0]["b64_json"][1000:1040]
    secret = key.text.rsplit("-", 1)[1]

    for forbidden in (CANARY, UPSTREAM_KEY, secret, wrong_key.rsplit("-", 1)[1], pixels):
        assert forbidden not in metrics
        assert forbidden not in logs
        assert forbidden.encode() not in database
    assert base64.b64decode(pixels) not in database
    for answer in answers[2:]:
        for forbidden in (UPSTREAM_KEY, secret):
            assert forbidden not in answer.text
        # A caller is told of their own words only where they are a name to mend, such as the model's.
        assert CANARY not in answer.text or answer.status_code == 404
    assert key.id in logs
