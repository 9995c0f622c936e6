"""Settings: from the environment and the file, strict about names, silent about secrets."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings.settings import load_settings
from app.settings.values import Compatibility


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "gateway.env"
    file.write_text("GATEWAY_PORT=9001\nGATEWAY_HOST=0.0.0.0\nGATEWAY_COMPATIBILITY=strict\n")
    monkeypatch.setenv("GATEWAY_PORT", "9002")
    settings = load_settings(file)
    assert (settings.port, settings.host, settings.compatibility) == (9002, "0.0.0.0", Compatibility.STRICT)
    assert settings.keepalive_seconds == 15


@pytest.mark.parametrize("line", ["GATEWAY_PROT=1", "GATEWAY_PORT=99999", "GATEWAY_COMPATIBILITY=maybe"])
def test_a_wrong_line_in_the_file_is_refused(tmp_path: Path, line: str) -> None:
    file = tmp_path / "gateway.env"
    file.write_text(line + "\n")
    with pytest.raises(ValidationError):
        load_settings(file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_settings(tmp_path / "nowhere.env")


def test_secrets_do_not_show() -> None:
    settings = load_settings(zenmux_api_key="sk-ai-v1-secret", metrics_key="hidden")
    assert "sk-ai-v1-secret" not in repr(settings)
    assert "hidden" not in repr(settings)


def test_a_key_no_header_can_carry_is_refused_without_being_shown() -> None:
    with pytest.raises(ValidationError, match="spaces or letters"):
        load_settings(zenmux_api_key="sk-ai v1")


def test_another_kind_of_key_is_no_management_key() -> None:
    with pytest.raises(ValidationError, match="begins with sk-mg-") as raised:
        load_settings(zenmux_management_key="sk-ai-v1-secret")
    assert "sk-ai-v1-secret" not in str(raised.value)
    assert load_settings(zenmux_management_key=" sk-mg-v1-x\n").zenmux_management_key is not None


def test_the_base_url_loses_its_last_slash_and_the_database_has_a_default(tmp_path: Path) -> None:
    settings = load_settings(zenmux_base_url="https://zenmux.ai/api/v1/", data_dir=tmp_path)
    assert settings.zenmux_base_url == "https://zenmux.ai/api/v1"
    assert settings.database == f"sqlite:///{tmp_path / 'gateway.db'}"


def test_a_reservation_outlives_its_exchange() -> None:
    settings = load_settings(exchange_seconds_max=100, ledger_wait_seconds=10)
    assert settings.reservation_seconds > 110


@pytest.mark.parametrize(
    ("written", "read"), [("50,80,100", (50, 80, 100)), (" 90 , 5,90", (5, 90)), ("1", (1,)), ("100", (100,))]
)
def test_percentages_are_a_list_in_any_order(tmp_path: Path, written: str, read: tuple[int, ...]) -> None:
    file = tmp_path / "gateway.env"
    file.write_text(f"GATEWAY_THRESHOLDS_PERCENT={written}\n")
    assert load_settings(file).thresholds_percent == read
    assert load_settings(thresholds_percent=written).thresholds_percent == read


@pytest.mark.parametrize(
    "written", ["0", "101", "50;80", "50,,80", "-5", "1.5", "½", "99999999999999999", "[50]", "1,2,3,4,5,6,7,8,9,10,11"]
)
def test_other_percentages_are_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("GATEWAY_THRESHOLDS_PERCENT", written)
    with pytest.raises(ValidationError, match=r"such as 50,80,100|at most 10"):
        load_settings()


def test_a_webhook_has_a_real_address_and_a_secret_nobody_guesses() -> None:
    settings = load_settings(webhook_url="https://example.com/hook?a=b", webhook_secret="s" * 16)
    assert settings.webhook_url == "https://example.com/hook?a=b"
    assert "s" * 16 not in repr(settings)
    for url in ("example.com", "ftp://example.com", "https://"):
        with pytest.raises(ValidationError):
            load_settings(webhook_url=url)
    with pytest.raises(ValidationError, match="openssl rand") as caught:
        load_settings(webhook_secret="too short")
    assert "too short" not in str(caught.value)


@pytest.mark.parametrize(
    "key", ["short", "a" * 64, "sk-zg-0123456789ab-0123456789abcdef0123456789", "0123456789abcdef " * 3]
)
def test_an_admin_key_that_can_be_guessed_or_mistaken_is_refused(key: str) -> None:
    with pytest.raises(ValidationError) as refused:
        load_settings(admin_key=key)
    assert "admin_key" in str(refused.value)
    assert key not in str(refused.value)


def test_an_admin_key_may_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("0123456789abcdef0123456789abcdef\n")
    monkeypatch.setenv("GATEWAY_ADMIN_KEY_FILE", str(tmp_path / "key"))
    settings = load_settings()
    assert settings.admin_key is not None
    assert settings.admin_key.get_secret_value() == "0123456789abcdef0123456789abcdef"
