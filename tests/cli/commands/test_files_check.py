"""What `config check` says of files and links."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from app.cli.commands.files_check import check_files
from app.files.store.folder import Folder
from app.files.store.sharing import mark_name
from app.quotas.ledger.liveness.heartbeat import Heartbeat
from app.settings.settings import Settings


def beat(engine: Engine, instance: str) -> None:
    Heartbeat(engine, instance, 60, lambda: 0.0).beat()


def said(store_url: str, tmp_path: Path, **settings: object) -> list[tuple[str, str]]:
    chosen: dict[str, object] = {"database_url": store_url, "data_dir": tmp_path / "data", **settings}
    return list(check_files(Settings(_env_file=None, **chosen)))  # type: ignore[arg-type]


def test_gateways_that_keep_their_files_elsewhere_are_counted(store_url: str, engine: Engine, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data/files")
    assert said(store_url, tmp_path)[0][0] == "ok"
    folder.prepare()
    beat(engine, "one")
    folder.mark(mark_name("one"))
    assert said(store_url, tmp_path) == [("ok", f"images with links are kept in {tmp_path}/data/files")]
    beat(engine, "two")
    ((status, message),) = said(store_url, tmp_path)
    assert status == "warning"
    assert message.startswith("1 of 2 running gateways keep files elsewhere")
    assert "GATEWAY_FILES_URL" in message
    folder.mark(mark_name("two"))
    assert said(store_url, tmp_path)[0][1].endswith("as 2 gateways do")


def test_an_address_that_links_cannot_have(tmp_path: Path) -> None:
    nowhere = f"sqlite:///{tmp_path}/none.db"
    found = said(nowhere, tmp_path, host="0.0.0.0")
    assert [status for status, _ in found] == ["ok", "warning"]
    assert "GATEWAY_PUBLIC_URL" in found[1][1]
    assert len(said(nowhere, tmp_path, host="0.0.0.0", public_url="https://images.example.com")) == 1
    assert not (tmp_path / "data").exists()


def test_a_bucket_that_does_not_answer(
    store_url: str, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ENDPOINT_URL", "http://127.0.0.1:9"), ("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "b")):
        monkeypatch.setenv(f"AWS_{name}", value)
    beat(engine, "one")
    ((status, message),) = said(store_url, tmp_path, files_url="s3://kept")
    assert status == "warning"
    assert "s3://kept does not answer" in message
