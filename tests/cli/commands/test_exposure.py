"""What `config check` warns of: each unwise thing once, and nothing where all is well."""

from pathlib import Path

import pytest

from app.cli.commands.exposure import exposures
from app.settings.settings import Settings


def found(config_file: Path | None = None, environment: dict[str, str] | None = None, **settings: object) -> list[str]:
    made = Settings(_env_file=None, **settings)  # type: ignore[arg-type]  # of any setting
    return [f"{name}: {message}" for name, message in exposures(made, config_file, environment or {})]


def test_the_defaults_are_well() -> None:
    assert found() == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:8090/api/v1", "http://localhost:1/v1", "http://[::1]:1/v1"])
def test_http_on_this_machine_is_well(url: str) -> None:
    assert found(zenmux_base_url=url) == []


@pytest.mark.parametrize("url", ["http://zenmux.ai/api/v1", "http://10.0.0.1/v1"])
def test_http_elsewhere_is_told(url: str) -> None:
    [told] = found(zenmux_base_url=url)
    assert told.startswith("key: ZENMUX_BASE_URL is http")


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o400, False), (0o640, True), (0o644, True)])
def test_a_settings_file_with_secrets_is_the_owners_alone(tmp_path: Path, mode: int, warned: bool) -> None:
    file = tmp_path / "gateway.env"
    file.write_text("export ZENMUX_API_KEY=sk-ai-v1-secret\nGATEWAY_DATABASE_URL='postgresql://u:secret@db/g'\n")
    file.chmod(mode)
    told = found(file)
    assert bool(told) is warned
    assert "secret" not in "".join(told)
    if warned:
        assert f"holds GATEWAY_DATABASE_URL, ZENMUX_API_KEY: chmod 600 {file}" in told[0]


@pytest.mark.parametrize("text", ["", "ZENMUX_API_KEY=\nGATEWAY_PORT=1\n", "ZENMUX_API_KEY_FILE=/run/secrets/key\n"])
def test_a_settings_file_without_secrets_may_be_read(tmp_path: Path, text: str) -> None:
    file = tmp_path / "gateway.env"
    file.write_text(text)
    file.chmod(0o644)
    assert found(file) == []


def test_a_metrics_key_cannot_be_guessed() -> None:
    assert found(metrics_key="m" * 16) == []
    [told] = found(metrics_key="m")
    assert "shorter than 16" in told
    [told] = found(host="0.0.0.0")
    assert "GATEWAY_METRICS_KEY closes it" in told


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "http_proxy"])
def test_a_proxy_that_is_not_used_is_told(name: str) -> None:
    environment = {name: "http://user:secret@proxy:3128"}
    assert found(environment=environment) == []
    [line] = found(environment=environment, upstream_transport="http1")
    assert line == f"proxy: {name} is set and not used: GATEWAY_UPSTREAM_TRANSPORT=http1 knows no proxies"
    assert found(environment={name: ""}) == []
