"""Which proxy leads to a server, by the settings and the environment."""

import pytest

from app.errors import ConfigurationError
from app.settings.settings import Settings
from app.settings.values import is_loopback
from app.upstream.wire.proxies import check_way, proxy_of, uses_httpx, without_password

ZENMUX = "https://zenmux.ai/api/v1"
PROXY = "http://user:secret@proxy.example:3128"


@pytest.fixture(autouse=True)
def _no_proxy_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def settings(**values: str) -> Settings:
    return Settings.model_validate({"zenmux_api_key": "sk-test", **values})


def test_nothing_set_is_the_direct_way() -> None:
    assert proxy_of(settings(), ZENMUX) is None
    assert not uses_httpx(settings(), ZENMUX)
    assert check_way(settings(), ZENMUX) == "directly"


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ALL_PROXY"])
def test_the_environment_names_a_proxy(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "proxy.example:3128")
    assert proxy_of(settings(), ZENMUX) == "http://proxy.example:3128"
    assert uses_httpx(settings(), ZENMUX)


def test_no_proxy_and_loopback_go_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", "zenmux.ai")
    assert proxy_of(settings(), ZENMUX) is None
    assert proxy_of(settings(), "https://other.example") == PROXY
    assert proxy_of(settings(), "https://127.0.0.1:8443") is None


@pytest.mark.parametrize("wrong", ["ftp://proxy.example", "http://"])
def test_what_is_no_proxy_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", wrong)
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY"):
        proxy_of(settings(), ZENMUX)


def test_the_way_is_described_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    assert check_way(settings(), ZENMUX) == "through http://proxy.example:3128"
    assert without_password(PROXY) == "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("host", "is_it"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("a.b", False),
    ],
)
def test_loopback(host: str, *, is_it: bool) -> None:
    assert is_loopback(host) == is_it
