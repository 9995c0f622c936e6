"""/readyz says no, and nothing is bought, when what is sold could not be recorded."""

import shutil
from collections.abc import Callable
from pathlib import Path

import httpx2
import psutil
import pytest

from app.sandbox.server import SandboxServer
from tests.servers import GatewayProcess, Key, fetch_json, wait_until

BODY = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low", "prompt": "a house"}


def ready(gateway: GatewayProcess) -> tuple[int, str]:
    answer = httpx2.get(f"{gateway.root}/readyz")
    return answer.status_code, answer.json()["database"]


def buy(gateway: GatewayProcess, key: Key) -> httpx2.Response:
    return httpx2.post(
        f"{gateway.url}/images/generations", json=BODY, headers={"authorization": f"Bearer {key.text}"}, timeout=30
    )


def delete(path: Path) -> None:
    path.unlink()


def restore_a_backup(path: Path) -> None:
    backup = path.with_suffix(".backup")
    shutil.copyfile(path, backup)
    backup.rename(path)


@pytest.mark.parametrize("lose", [delete, restore_a_backup])
def test_nothing_is_sold_into_a_file_that_is_not_there_any_more(
    sandbox: SandboxServer, tmp_path: Path, lose: Callable[[Path], None]
) -> None:
    with GatewayProcess(tmp_path / "data", sandbox.url) as gateway:
        key = gateway.store.key()
        assert buy(gateway, key).status_code == 200
        assert ready(gateway) == (200, "ok")
        billed = fetch_json(sandbox.bill_url)
        lose(tmp_path / "data" / "gateway.db")
        assert ready(gateway) == (503, "does not answer")
        for _ in range(5):
            refused = buy(gateway, key)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable")
        assert fetch_json(sandbox.bill_url) == billed
        assert "database_file_replaced" in gateway.log()


def test_a_full_disk_is_not_ready_until_there_is_room_again(sandbox: SandboxServer, tmp_path: Path) -> None:
    with GatewayProcess(tmp_path / "data", sandbox.url) as gateway:
        key = gateway.store.key()
        assert buy(gateway, key).status_code == 200
        gateway.store.settled(1)
        billed = fetch_json(sandbox.bill_url)
        process = psutil.Process(gateway.process.pid)
        process.rlimit(psutil.RLIMIT_FSIZE, (4096, psutil.RLIM_INFINITY))  # less than the journal's first page
        assert buy(gateway, key).json()["error"]["code"] == "store_unavailable"
        assert ready(gateway) == (503, "cannot be written")
        process.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
        wait_until(lambda: ready(gateway) == (200, "ok"), "it can write again")
        assert fetch_json(sandbox.bill_url) == billed
        assert buy(gateway, key).status_code == 200
        gateway.store.settled(2)
        assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []
