"""What a gateway refused is in the database once it has stopped: as often as it happened."""

from pathlib import Path

import httpx2

from app.database.engine import reading
from app.quotas.refusals.hours import refusal_report
from app.sandbox.server import SandboxServer
from tests.e2e.test_limits import BODY
from tests.forking import run_command
from tests.servers import GatewayProcess, fetch_json

_STOP_SECONDS = 60


def test_every_refusal_is_written_at_the_end(tmp_path: Path, sandbox: SandboxServer) -> None:
    with GatewayProcess(tmp_path / "data", sandbox.url) as gateway:
        key = gateway.store.key("images:1/day")
        for text, model in ((key.text, "gpt-image-2"), (key.text, "gpt-image-2"), (key.text, "no-such"), ("sk-x", "")):
            body, headers = BODY | {"model": model}, {"authorization": f"Bearer {text}"}
            httpx2.post(f"{gateway.url}/images/generations", json=body, headers=headers, timeout=60)
        gateway.terminate()
        assert gateway.process.wait(_STOP_SECONDS) == 0, gateway.log()
        with reading(gateway.store.engine) as connection:
            found = {(row.user, row.key_id, row.code): row.count for row in refusal_report(connection)}
        assert found == {
            ("alice", key.id, "insufficient_quota"): 1,
            ("alice", key.id, "model_not_found"): 1,
            (None, "", "invalid_api_key"): 1,
        }
        assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []
        environment = {"GATEWAY_DATA_DIR": str(tmp_path / "data"), "COLUMNS": "120"}
        shown = run_command(("usage", "refusals", "--since", "1d"), environment).stdout
        assert "insufficient_quota" in shown
        assert "(unknown)" in shown
