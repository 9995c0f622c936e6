"""`serve`: starts only when it can work, logs in one form, stops well, one process a folder."""

import json
import re
import signal
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.cli.commands.serve import prepared
from app.configuration.reading import check
from app.errors import Conflict
from app.settings.settings import Settings
from tests.cli.conftest import Cli
from tests.cli.processes import Process

KEY = {"ZENMUX_API_KEY": "sk-ai-v1-test"}


def url_of(process: Process) -> str | None:
    found = re.search(r'"event":"listening".*?"url":"(.*?)"', process.stderr)
    return found[1] if found else None


@pytest.mark.parametrize(
    ("key", "told"),
    [(None, "ZENMUX_API_KEY is not set"), ("sk-mg-v1-x", "management key"), ("sk-zg-x-y", "key of this gateway")],
)
def test_it_does_not_start_without_a_key_that_can_buy(cli: Cli, key: str | None, told: str) -> None:
    if key:
        cli.environment["ZENMUX_API_KEY"] = key
    error = cli("serve", code=1).stderr
    assert told in error
    assert key is None or key not in error
    assert not cli.data_dir.exists()


def test_it_does_not_start_with_a_catalog_that_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text("[models\n")
    with Process(tmp_path / "data", "serve", "--port", "0", GATEWAY_CATALOG_FILE=str(file), **KEY) as process:
        assert process.wait() == 1
    [line] = process.stderr.splitlines()
    assert str(file) in line
    assert "line 1" in line
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("serve", "uploads"),
        *(
            pytest.param(command, name, marks=pytest.mark.long("every run tries it with serve and one folder"))
            for command, name in (("serve", ""), ("dev", ""), ("dev", "uploads"))
        ),
    ],
)
def test_it_does_not_start_where_a_folder_is_a_file(tmp_path: Path, command: str, name: str) -> None:
    place = tmp_path / "data" / name
    place.parent.mkdir(exist_ok=True)
    place.touch()
    with Process(tmp_path / "data", command, "--port", "0", **KEY) as process:
        assert process.wait() == 1
    assert process.stderr.splitlines()[-1] == (
        f"Error: The gateway needs the folder {place}, but {place} is there and is no folder. Move it away, or name "
        "another folder in GATEWAY_DATA_DIR."
    )
    assert "Traceback" not in process.stderr
    assert not (tmp_path / "data" / "gateway.db").exists()


def test_a_bucket_without_its_package_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "obstore.py").write_text("raise ImportError")
    environment = {"GATEWAY_FILES_URL": "s3://kept", "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[3]}"}
    with Process(tmp_path / "data", "serve", "--port", "0", **environment, **KEY) as process:
        assert process.wait() == 1
    [line] = process.stderr.splitlines()
    assert "needs one package more: pip install 'zenmux-gateway[s3]'" in line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_logs_json_and_stops_with_0(tmp_path: Path, number: int) -> None:
    with Process(tmp_path / "data", "serve", "--port", "0", **KEY) as process:
        url = process.until(url_of)
        with urllib.request.urlopen(url.removesuffix("/v1") + "/readyz", timeout=20) as answer:
            assert json.load(answer)["status"] == "ready"
            assert "server" not in answer.headers
        assert process.stop(number) == 0
    events = [json.loads(line)["event"] for line in process.stderr.splitlines()]
    assert events == ["database_upgraded", "listening", "stopped"]
    assert process.stdout == ""


def test_one_folder_serves_one_process(tmp_path: Path) -> None:
    with Process(tmp_path / "data", "serve", "--port", "0", **KEY) as first:
        port = first.until(url_of).split(":")[2].removesuffix("/v1")
        with Process(tmp_path / "data", "serve", "--port", "0", **KEY) as second:
            assert second.wait() == 1
        assert "already serves from" in second.stderr
        with Process(tmp_path / "other", "serve", GATEWAY_PORT=port, **KEY) as third:
            assert third.wait() == 1
        assert third.stderr == (
            f"Error: Cannot listen on 127.0.0.1 port {port}: Address already in use. "
            "Stop what is there, or choose another port with GATEWAY_PORT or --port.\n"
        )
        assert first.stop(signal.SIGTERM) == 0


def test_several_workers_on_sqlite_are_refused_with_the_way_out(cli: Cli) -> None:
    cli.environment |= KEY
    for arguments, workers in ((("serve", "--workers", "2"), "1"), (("serve",), "3")):
        cli.environment["GATEWAY_WORKERS"] = workers
        error = cli(*arguments, code=1).stderr
        assert "an SQLite database serves one process" in error
        assert "GATEWAY_DATABASE_URL=postgresql://" in error
    assert "workers" in {check["name"] for check in cli.json("config", "check", code=1)["checks"]}
    assert not cli.data_dir.exists()


def by_its_url(data: Path) -> dict[str, object]:
    return {"database_url": f"sqlite:///{data / 'gateway.db'}"}


def by_a_way_around(data: Path) -> dict[str, object]:
    return {"database_url": f"sqlite:///{data / '..' / data.name / 'gateway.db'}"}


def by_a_link_to_its_folder(data: Path) -> dict[str, object]:
    link = data.parent / "link"
    link.symlink_to(data)
    return {"data_dir": link}


def by_a_link_to_the_file(data: Path) -> dict[str, object]:
    link = data.parent / "elsewhere" / "other.db"
    link.parent.mkdir()
    link.symlink_to(data / "gateway.db")
    return {"database_url": f"sqlite:///{link}"}


@pytest.mark.parametrize("named", [by_its_url, by_a_way_around, by_a_link_to_its_folder, by_a_link_to_the_file])
def test_one_sqlite_file_serves_one_process_whatever_it_is_called(
    tmp_path: Path, named: Callable[[Path], dict[str, object]]
) -> None:
    data = tmp_path / "data"
    other: dict[str, Any] = {"data_dir": tmp_path / "other", **named(data)}
    with prepared(check(Settings(_env_file=None, data_dir=data))):
        with pytest.raises(Conflict) as refusal, prepared(check(Settings(_env_file=None, **other))):
            pass
        for part in ("already serves from", str(data), "GATEWAY_DATA_DIR", "GATEWAY_DATABASE_URL=postgresql://"):
            assert part in refusal.value.message
    with prepared(check(Settings(_env_file=None, **other))):
        pass


@pytest.mark.long("four processes start; every run lets two of a kind refuse each other")
def test_dev_and_serve_refuse_each_other(tmp_path: Path) -> None:
    data, url = tmp_path / "data", f"sqlite:///{tmp_path / 'data' / 'gateway.db'}"
    elsewhere = {"GATEWAY_DATABASE_URL": url, **KEY}
    with Process(data, "dev", "--port", "0") as first:
        first.until(lambda process: "ready" if "Ctrl-C" in process.stdout else None)
        with Process(tmp_path / "other", "serve", "--port", "0", **elsewhere) as second:
            assert second.wait() == 1
        assert "already serves from" in second.stderr
        assert first.stop(signal.SIGTERM) == 0
    with Process(tmp_path / "other", "serve", "--port", "0", **elsewhere) as first:
        first.until(url_of)
        with Process(data, "dev", "--port", "0") as second:
            assert second.wait() == 1
        assert "already serves from" in second.stderr
        assert first.stop(signal.SIGTERM) == 0


def test_what_is_unwise_is_a_warning_in_the_log(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / "dev-key").write_text("")
    with Process(data_dir, "serve", "--port", "0", ZENMUX_API_KEY="sk-ss-v1-secret") as process:
        process.until(url_of)
        assert process.stop(signal.SIGTERM) == 0
    warnings = [json.loads(line) for line in process.stderr.splitlines() if '"level":"warning"' in line]
    assert ["forbid sharing" in warnings[0]["event"], "users disable dev" in warnings[1]["event"]] == [True, True]
    assert "sk-ss-v1-secret" not in process.stderr
