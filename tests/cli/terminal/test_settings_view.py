"""Settings explained: every fault by its name, origins, ZenMux keys judged by their form, and never a secret."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from app.cli.terminal import settings_view
from app.cli.terminal.parsing import MASK
from app.errors import ConfigurationError
from app.settings.settings import Settings, load_settings
from tests.cli.conftest import Cli

SECRET = "sk-ai-v1-a-very-secret-key"


def told(config_file: Path | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        settings_view.read_settings(config_file)
    return raised.value.message.splitlines()


@pytest.fixture(autouse=True)
def _clean(cli: Cli) -> None:
    """No setting of the machine's own."""


def test_every_fault_is_told_at_once_by_the_name_people_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "99999")
    monkeypatch.setenv("GATEWAY_LOG_LEVEL", "loud")
    monkeypatch.setenv("ZENMUX_BASE_URL", "zenmux")
    lines = told()
    assert [line.split(":")[0] for line in lines] == ["ZENMUX_BASE_URL", "GATEWAY_PORT", "GATEWAY_LOG_LEVEL"]
    assert lines[1] == (
        "GATEWAY_PORT: Input should be less than or equal to 65535. (Port to listen on; 0 picks a free one.)"
    )
    assert lines[2] == "GATEWAY_LOG_LEVEL: That does not fit. (debug, info, warning or error.)"


def test_a_fault_of_a_secret_does_not_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZENMUX_API_KEY", f"{SECRET} with spaces")
    [line] = told()
    assert line.startswith("ZENMUX_API_KEY: ")
    assert "secret" not in line


def test_a_misspelt_name_in_the_file_is_refused_with_the_right_one(tmp_path: Path) -> None:
    file = tmp_path / "gateway.env"
    file.write_text("GATEWAY_PROT=8080\n")
    assert told(file) == ["GATEWAY_PROT: there is no such setting. Did you mean GATEWAY_PORT?"]


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    file = tmp_path / "gateway.env"
    file.write_bytes(b"GATEWAY_HOST=\xff\xfe\n")
    assert told(file) == [f"The settings file {file} is not UTF-8 text."]
    assert "not a file" in told(tmp_path)[0]


def test_misspelt_names_in_the_environment_are_found() -> None:
    environment = {"GATEWAY_PROT": "1", "GATEWAY_CONFIG": "x", "ZENMUX_API_KEY": "x", "gateway_port": "1", "HOME": "/"}
    assert settings_view.misspelt_names(environment) == [
        "GATEWAY_PROT: there is no such setting. Did you mean GATEWAY_PORT?"
    ]


def test_each_setting_tells_where_it_came_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "gateway.env"
    file.write_text("GATEWAY_PORT=9001\nGATEWAY_HOST=10.0.0.1\n")
    monkeypatch.setenv("GATEWAY_HOST", "10.0.0.2")
    settings = settings_view.read_settings(file)
    shown = {each.name: each for each in settings_view.show_settings(settings, {"GATEWAY_HOST": "10.0.0.2"})}
    assert list(shown) == settings_view.setting_names()
    assert (shown["GATEWAY_HOST"].value, shown["GATEWAY_HOST"].origin) == ("10.0.0.2", "environment")
    assert (shown["GATEWAY_PORT"].value, shown["GATEWAY_PORT"].origin) == ("9001", "file")
    assert (shown["GATEWAY_COMPATIBILITY"].value, shown["GATEWAY_COMPATIBILITY"].origin) == ("lenient", "default")
    assert shown["GATEWAY_DATABASE_URL"].value is None


def test_no_secret_is_shown() -> None:
    settings = Settings(
        _env_file=None,
        zenmux_api_key=SecretStr(SECRET),
        metrics_key=SecretStr(SECRET),
        database_url="postgresql://gateway:hunter2@db/gateway",
    )
    shown = {each.name: each.value for each in settings_view.show_settings(settings, {})}
    assert shown["ZENMUX_API_KEY"] == shown["GATEWAY_METRICS_KEY"] == MASK
    assert "hunter2" not in str(shown)
    assert SECRET not in str(shown)


@pytest.mark.parametrize(
    ("key", "serious", "says"),
    [
        (None, True, "pay-as-you-go"),
        ("sk-mg-v1-abc", True, "management key"),
        ("sk-zg-abc-def", True, "key of this gateway"),
        ("sk-ss-v1-abc", False, "forbid sharing"),
        ("sk-proj-abc", False, "does not look like"),
    ],
)
def test_the_form_of_a_key_is_judged(key: str | None, serious: bool, says: str) -> None:
    [advice] = settings_view.judge_keys(load_settings(zenmux_api_key=key))
    assert advice.serious is serious
    assert says in advice.message
    assert key is None or key not in advice.message


def test_nothing_is_said_of_a_good_key() -> None:
    assert settings_view.judge_keys(load_settings(zenmux_api_key=SECRET)) == []


def test_each_key_of_several_is_judged_and_named_by_its_account() -> None:
    settings = load_settings(zenmux_api_keys=f"main={SECRET}, spare=sk-mg-v1-abc")
    [advice] = settings_view.judge_keys(settings)
    assert advice.serious
    assert advice.message.startswith("The key of the account spare is a management key")
