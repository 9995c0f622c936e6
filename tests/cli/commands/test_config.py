"""`config`: what is checked, in which words, and that checking changes nothing."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.cli.commands.serve import prepared
from app.cli.terminal.parsing import MASK
from app.cli.terminal.root import explain
from app.cli.terminal.settings_view import read_settings
from app.configuration.reading import check
from app.database.engine import opened, writing
from app.errors import Conflict, GatewayError
from app.settings.settings import Settings
from tests.cli.conftest import Cli


def checks(cli: Cli, *, code: int) -> dict[str, Any]:
    answer = cli.json("config", "check", code=code)
    assert answer["ok"] is (code == 0)
    return {check["name"]: (check["status"], check["message"]) for check in answer["checks"]}


@pytest.fixture
def ready(cli: Cli) -> Cli:
    cli.environment["ZENMUX_API_KEY"] = "sk-ai-v1-key"
    return cli


def test_all_is_well_before_the_first_start_and_nothing_was_made(ready: Cli) -> None:
    found = checks(ready, code=0)
    assert {status for status, _ in found.values()} == {"ok"}
    assert found["database"][1].endswith("is not there yet; the first start makes it")
    assert not ready.data_dir.exists()


def test_checking_does_not_load_the_gateway(ready: Cli) -> None:
    program = (
        "import sys; sys.argv[1:] = ['config', 'check']; from app.cli.main import app\n"
        "try: app()\nfinally: print(*sys.modules)"
    )
    environment = {**os.environ, **ready.environment, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"app.main", "app.exchange", "app.api", "fastapi", "uvicorn", "httpx2"}


def test_it_is_told_to_people_a_line_each(ready: Cli) -> None:
    lines = ready("config", "check").stdout.splitlines()
    assert len(lines) == 8
    assert all(line.startswith("ok       ") for line in lines)


def test_a_database_is_looked_at(ready: Cli) -> None:
    ready("db", "upgrade")
    assert checks(ready, code=0)["database"][1].endswith("answers, with the newest schema")
    with opened(Settings(_env_file=None, data_dir=ready.data_dir).database) as engine, writing(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    status, message = checks(ready, code=0)["database"]
    assert status == "warning"
    assert "db upgrade" in message


def test_a_newer_database_is_an_error_that_no_upgrade_mends(ready: Cli) -> None:
    """Not in `config check`, not in `serve`, not in any command."""
    ready("db", "upgrade")
    with opened(Settings(_env_file=None, data_dir=ready.data_dir).database) as engine, writing(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0999'")
    status, message = checks(ready, code=1)["database"]
    told = [message, *(ready(*command, code=1).output for command in (("keys", "list"), ("db", "upgrade")))]
    with pytest.raises(Conflict) as refused, prepared(check(Settings(_env_file=None, data_dir=ready.data_dir))):
        pass
    told.append(refused.value.message)
    assert status == "error"
    for words in told:
        assert "schema 0999" in words
        assert "install the newer gateway" in words
        assert "db upgrade" not in words


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://gateway:hunter@2two@db/gateway",
        "postgresql://gateway@db/gateway?schema=public",
        "postgresql://gateway@db/gateway?connection_limit=10",
        "postgresql://gateway@db:many/gateway",
        "postgresql://gateway@127.0.0.1:1/gateway?sslmode=nonsense",
        "postgresql://gateway@127.0.0.1:1/gateway?connect_timeout=soon",
        "postgresql://gateway@127.0.0.1:1,127.0.0.1:2/gateway",
        "sqlite:///{folder}/x.db?timeout=5",
        "sqlite://x.db",
        "sqlite:///{folder}",
        "sqlite+pysqlite:///{folder}/x.db",
        "gateway.db",
        "mysql://gateway@db/gateway",
    ],
)
def test_check_and_serve_agree_that_a_database_url_is_wrong(ready: Cli, tmp_path: Path, url: str) -> None:
    ready.environment |= {"GATEWAY_DATABASE_URL": url.format(folder=tmp_path), "GATEWAY_PORT": "0"}
    status, message = checks(ready, code=1)["database"]
    with (
        pytest.raises(GatewayError) as refused,
        prepared(check(read_settings(None, database_url=ready.environment["GATEWAY_DATABASE_URL"]))),
    ):
        pass
    told, _ = explain(refused.value) or ("", 0)
    assert status == "error"
    assert message.startswith(refused.value.message)
    for part in ("hunter", "2two", "Traceback"):
        assert part not in message + told


def test_a_database_url_may_end_in_a_line_break(ready: Cli, tmp_path: Path) -> None:
    ready.environment["GATEWAY_DATABASE_URL"] = f"sqlite:///{tmp_path / 'here.db'}\n"
    assert checks(ready, code=0)["database"][0] == "ok"
    ready("db", "upgrade")
    assert (tmp_path / "here.db").is_file()


def test_a_database_that_does_not_answer_is_an_error_without_its_password(ready: Cli) -> None:
    ready.environment["GATEWAY_DATABASE_URL"] = "postgresql://gateway:hunter2@127.0.0.1:9/gateway"
    status, message = checks(ready, code=1)["database"]
    assert status == "error"
    assert "refused" in message
    assert "hunter2" not in message


def test_a_folder_that_cannot_be_written_is_an_error(ready: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ready.environment["GATEWAY_DATA_DIR"] = str(tmp_path / "file" / "data")
    status, message = checks(ready, code=1)["database"]
    assert (status, "cannot be made" in message) == ("error", True)


def test_a_folder_that_is_a_file_is_an_error(ready: Cli) -> None:
    assert checks(ready, code=0)["folders"] == ("ok", f"{ready.data_dir} can be written")
    ready.data_dir.mkdir()
    (ready.data_dir / "spool").touch()
    status, message = checks(ready, code=1)["folders"]
    assert (status, f"{ready.data_dir}/spool is there and is no folder" in message) == ("error", True)


def test_what_would_stop_serve_is_an_error(ready: Cli, tmp_path: Path) -> None:
    del ready.environment["ZENMUX_API_KEY"]
    assert checks(ready, code=1)["key"][0] == "error"
    ready.environment["ZENMUX_API_KEY"] = "sk-ai-v1-key"
    setup = tmp_path / "gateway.yaml"
    setup.write_text("version: 1\ncatalog: {models: {x: 5}}\n")
    ready.environment["GATEWAY_BOOTSTRAP_FILE"] = str(setup)
    status, message = checks(ready, code=1)["models"]
    assert (status, message) == ("error", f"{setup}, line 2: catalog.models.x: must be a table of keys and values")
    del ready.environment["GATEWAY_BOOTSTRAP_FILE"]
    catalog = tmp_path / "models.toml"
    catalog.write_text("\n[models\n")
    ready.environment["GATEWAY_CATALOG_FILE"] = str(catalog)
    status, message = checks(ready, code=1)["models"]
    assert (status, "line 2" in message) == ("error", True)
    del ready.environment["GATEWAY_CATALOG_FILE"]
    ready.environment["GATEWAY_DEFAULT_MODEL"] = "gpt-image-99"
    assert checks(ready, code=1)["models"][0] == "error"
    ready.environment["GATEWAY_PORT"] = "many"
    assert checks(ready, code=1)["settings"][0] == "error"


@pytest.mark.parametrize("name", ["GATEWAY_DEFAULT_MODEL", "GATEWAY_SUCCESSOR_MODEL"])
def test_a_setting_that_names_a_model_with_an_end_is_a_warning(ready: Cli, name: str) -> None:
    ready.environment[name] = "gpt-image-1.5"
    warned = f"{name} names gpt-image-1.5, which ends on 2026-12-01"
    assert checks(ready, code=0)["models"] == ("warning", warned)


def test_a_settings_file_that_others_read_is_a_warning(ready: Cli, tmp_path: Path) -> None:
    file = tmp_path / "gateway.env"
    file.write_text("GATEWAY_METRICS_KEY=a-key-nobody-guesses\n")
    file.chmod(0o644)
    answer = ready.json("--config", str(file), "config", "check")
    warnings = [check["message"] for check in answer["checks"] if check["status"] == "warning"]
    assert len(warnings) == 1
    assert "chmod 600" in warnings[0]
    assert "a-key-nobody-guesses" not in warnings[0]


def test_what_is_only_unwise_is_a_warning(ready: Cli) -> None:
    ready.environment |= {"ZENMUX_API_KEY": "sk-ss-v1-key", "GATEWAY_HOST": "0.0.0.0", "GATEWAY_PROT": "1"}
    found = checks(ready, code=0)
    assert {name: found[name][0] for name in ("settings", "key", "metrics")} == dict.fromkeys(
        ("settings", "key", "metrics"), "warning"
    )
    assert "Did you mean GATEWAY_PORT?" in found["settings"][1]


@pytest.mark.parametrize(
    ("url", "secret", "status", "told"),
    [
        ("https://hooks.example.com/a?token=t0ken", "s" * 32, "ok", "are sent to hooks.example.com"),
        ("http://127.0.0.1:9000/a", "s" * 32, "ok", "127.0.0.1"),
        ("http://hooks.example.com/a", "s" * 32, "warning", "is http"),
        ("", "s" * 32, "warning", "nothing is sent"),
        ("https://hooks.example.com/a", "", "error", "openssl rand -hex 32"),
    ],
)
def test_a_webhook_is_looked_at_and_not_called(ready: Cli, url: str, secret: str, status: str, told: str) -> None:
    ready.environment |= {"GATEWAY_WEBHOOK_URL": url, "GATEWAY_WEBHOOK_SECRET": secret}
    found = checks(ready, code=1 if status == "error" else 0)["webhook"]
    assert (found[0], told in found[1]) == (status, True), found
    assert "t0ken" not in found[1]


def test_percentages_are_shown_as_they_are_written(ready: Cli) -> None:
    ready.environment["GATEWAY_THRESHOLDS_PERCENT"] = "90, 75"
    shown = {setting["name"]: setting["value"] for setting in ready.json("config", "show")}
    assert shown["GATEWAY_THRESHOLDS_PERCENT"] == "75,90"


def test_it_is_told_how_many_requests_fit(ready: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, 1024))
    told = "232 requests at a time, 232 connections to ZenMux and 464 of callers, where 1024 files may be open, as here"
    assert checks(ready, code=0)["capacity"] == ("ok", told)
    shown = {setting["name"]: (setting["value"], setting["origin"]) for setting in ready.json("config", "show")}
    assert shown["GATEWAY_REQUESTS_IN_FLIGHT_MAX"] == shown["GATEWAY_UPSTREAM_CONNECTIONS_MAX"] == ("232", "default")
    ready.environment["GATEWAY_REQUESTS_IN_FLIGHT_MAX"] = "500"
    status, message = checks(ready, code=0)["capacity"]
    assert (status, "500 requests in flight (GATEWAY_REQUESTS_IN_FLIGHT_MAX) need 1596" in message) == ("warning", True)


def test_show_tells_every_setting_and_hides_secrets(ready: Cli) -> None:
    ready.environment["GATEWAY_DATABASE_URL"] = "postgresql://gateway:hunter2@db/gateway"
    result = ready("config", "show")
    assert "sk-ai-v1-key" not in result.output
    assert "hunter2" not in result.output
    assert MASK in result.stdout
    assert "GATEWAY_KEY_CACHE_SECONDS" in result.stdout
    assert len(ready.json("config", "show")) == len(Settings.model_fields)
