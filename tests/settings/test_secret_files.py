"""Every secret setting may lie in a file, with one meaning and clear faults."""

from pathlib import Path

import pytest
from pydantic_settings import SettingsError

from app.settings.secret_files import secret_names, with_secret_files
from app.settings.settings import Settings, load_settings

NAMES = secret_names(Settings.model_fields, "GATEWAY_")
VALUES = {
    "ZENMUX_MANAGEMENT_KEY": "sk-mg-v1-secret",
    "ZENMUX_MANAGEMENT_KEYS": "main=sk-mg-v1-secret, spare=sk-mg-v1-other",
    "ZENMUX_API_KEYS": "main=sk-ai-v1-secret, spare=sk-ai-v1-other*2",
    "GATEWAY_WEBHOOK_SECRET": "0123456789abcdef0123456789abcdef",
    "GATEWAY_ADMIN_KEY": "0123456789abcdef0123456789abcdef",
    "GATEWAY_DATABASE_URL": "postgresql://gateway:secret@db/gateway",
}


def value_of(name: str) -> str:
    return VALUES.get(name, "sk-ai-v1-secret-0123456789abcdef")


def shown(settings: Settings, name: str) -> str:
    field = next(
        field
        for field, info in Settings.model_fields.items()
        if name in (info.validation_alias, f"GATEWAY_{field.upper()}")
    )
    value = getattr(settings, field)
    return str(getattr(value, "get_secret_value", lambda: value)())


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


def test_every_secret_is_one_of_them() -> None:
    assert {"ZENMUX_API_KEY", "ZENMUX_MANAGEMENT_KEY", "GATEWAY_METRICS_KEY", "GATEWAY_WEBHOOK_SECRET"} <= NAMES
    assert "GATEWAY_DATABASE_URL" in NAMES
    assert "GATEWAY_PORT" not in NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_each_is_read_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, end: str) -> None:
    (tmp_path / "secret").write_bytes(f"{value_of(name)}{end}".encode())
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))
    assert shown(load_settings(), name) == value_of(name)


def test_the_settings_file_may_name_one_too_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("sk-ai-v1-of-the-file\n")
    file = tmp_path / "gateway.env"
    file.write_text(f"ZENMUX_API_KEY_FILE={tmp_path / 'key'}\nGATEWAY_PORT=9001\n")
    assert shown(load_settings(file), "ZENMUX_API_KEY") == "sk-ai-v1-of-the-file"
    monkeypatch.setenv("ZENMUX_API_KEY", "sk-ai-v1-of-the-environment")
    assert shown(load_settings(file), "ZENMUX_API_KEY") == "sk-ai-v1-of-the-environment"


def test_nothing_is_unset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").write_text("\n")
    monkeypatch.setenv("ZENMUX_API_KEY_FILE", str(tmp_path / "empty"))
    monkeypatch.setenv("GATEWAY_METRICS_KEY_FILE", "")
    monkeypatch.setenv("ZENMUX_MANAGEMENT_KEY_FILE", str(tmp_path / "empty"))
    monkeypatch.setenv("ZENMUX_MANAGEMENT_KEY", "sk-mg-v1-secret")
    monkeypatch.setenv("GATEWAY_METRICS_KEY", "a-key-of-my-own")
    settings = load_settings()
    assert settings.zenmux_api_key is None
    assert shown(settings, "GATEWAY_METRICS_KEY") == "a-key-of-my-own"
    assert shown(settings, "ZENMUX_MANAGEMENT_KEY") == "sk-mg-v1-secret"


def test_twice_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("sk-ai-v1-secret")
    monkeypatch.setenv("ZENMUX_API_KEY", "sk-ai-v1-secret")
    monkeypatch.setenv("ZENMUX_API_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(SettingsError, match=r"^ZENMUX_API_KEY and ZENMUX_API_KEY_FILE are both set") as fault:
        load_settings()
    assert "secret" not in str(fault.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: No such file"),
        (b"", "cannot be read: Is a directory"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"one\ntwo\n", "more than one line"),
        (b"x" * 70_000, "too large"),
    ],
)
def test_a_file_that_is_no_secret_is_told_by_its_name(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "key"
    if content == b"":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=told) as fault:
        with_secret_files({"a_key_file": str(path)}, ["A_KEY"])
    assert str(fault.value).startswith(f"A_KEY_FILE names {path}")
    assert "one\n" not in str(fault.value)


def test_the_given_variables_are_not_changed() -> None:
    given = {"port": "1", "a_key_file": ""}
    assert with_secret_files(given, ["A_KEY"]) == {"port": "1"}
    assert given == {"port": "1", "a_key_file": ""}
