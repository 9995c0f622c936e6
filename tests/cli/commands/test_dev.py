"""`dev`: the key that stays, whose database it touches, what it says. tests/e2e/test_dev.py pastes what it prints."""

import re
import signal
from pathlib import Path

import pytest

from app.cli.commands import dev
from app.cli.terminal.output import Terminal
from app.database import migrate
from app.database.engine import opened
from app.errors import Conflict
from app.settings.settings import Settings
from tests.cli.conftest import Cli
from tests.cli.processes import Process

KEY = "sk-zg-abc-def"


@pytest.fixture
def settings(cli: Cli) -> Settings:
    settings = Settings(_env_file=None, data_dir=cli.data_dir)
    with opened(settings.database) as engine:
        migrate.upgrade(engine)
    return settings


def key(settings: Settings) -> str:
    return dev._key(settings, Terminal())


def test_the_key_stays_the_same_and_is_readable_by_its_owner_only(cli: Cli, settings: Settings) -> None:
    first = key(settings)
    assert key(settings) == first
    file = cli.data_dir / "dev-key"
    assert file.read_text() == f"{first}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    [listed] = cli.json("keys", "list")
    assert listed["user"] == "dev"
    assert len(listed["limits"]) == len(dev._LIMITS)


@pytest.mark.parametrize("kept", [None, "", "nonsense", "sk-zg-000000000000-" + "0" * 40, "\u00e9"])
def test_a_kept_key_that_opens_nothing_is_replaced(cli: Cli, settings: Settings, kept: str | None) -> None:
    file = cli.data_dir / "dev-key"
    if kept is not None:
        file.write_text(kept)
    made = key(settings)
    assert made != kept
    assert file.read_text().strip() == made


def test_a_disabled_key_is_replaced_and_a_disabled_user_is_told(cli: Cli, settings: Settings) -> None:
    first = key(settings)
    cli("keys", "disable", first, "--yes")
    assert key(settings) != first
    cli("users", "disable", "dev", "--yes")
    with pytest.raises(Conflict, match="users enable dev"):
        key(settings)


def test_the_greeting_says_loudly_what_it_is() -> None:
    bill = "http://127.0.0.1:9/sandbox/bill"
    pretended = dev.Greeting("http://127.0.0.1:8080", KEY, bill, "zenmux-gateway", "t").text()
    assert "SANDBOX" in pretended
    assert "Nothing is bought" in pretended
    assert bill in pretended
    bought = dev.Greeting("http://127.0.0.1:8080", KEY, None, "zenmux-gateway", "t").text()
    assert "BOUGHT" in bought
    assert "SANDBOX" not in bought
    for text in (pretended, bought):
        assert "http://127.0.0.1:8080/metrics" in text
        assert "http://127.0.0.1:8080/console/link/t " in text
        assert text.count(KEY) == 3


def test_it_leaves_other_databases_alone(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    elsewhere = {"GATEWAY_DATABASE_URL": "postgresql://127.0.0.1:9/production", "GATEWAY_LOG_FORMAT": "json"}
    with Process(data_dir, "dev", "--port", "0", **elsewhere) as process:
        process.until(lambda process: ("Ctrl-C" in process.stdout and process.stdout) or None)
        assert process.stop(signal.SIGTERM) == 0
    assert (data_dir / "gateway.db").is_file()
    assert '"event":"SANDBOX' in process.stderr  # the chosen log format is kept


@pytest.mark.long("three processes start")
def test_a_second_one_is_told_which_setting_to_change(tmp_path: Path) -> None:
    with Process(tmp_path / "data", "dev", "--port", "0") as first:
        said = first.until(lambda process: ("Ctrl-C" in process.stdout and process.stdout) or None)
        port = re.search(r"Base URL: +http://127.0.0.1:(\d+)/v1", said)
        assert port is not None
        with Process(tmp_path / "data", "dev", GATEWAY_PORT=port[1]) as second:
            assert second.wait() == 1
        assert "choose another port with GATEWAY_PORT or --port" in second.stderr
        with Process(tmp_path / "data", "dev", "--port", "0") as third:
            assert third.wait() == 1
        assert "GATEWAY_DATA_DIR" in third.stderr
        assert first.stop(signal.SIGINT) == 0


def test_a_key_that_buys_nothing_is_refused(cli: Cli) -> None:
    cli.environment["ZENMUX_API_KEY"] = "sk-mg-v1-x"
    assert "management key" in cli("dev", "--port", "0", code=1).stderr
