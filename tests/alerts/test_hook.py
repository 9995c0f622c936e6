"""Where events go: nowhere, or to a place that can tell who wrote."""

import pytest

from app.alerts.hook import webhook_of
from app.errors import ConfigurationError
from app.settings.settings import Settings

URL = "https://hooks.example/gateway"


def test_a_hook_has_a_place_and_a_secret() -> None:
    assert webhook_of(Settings(_env_file=None)) is None
    hook = webhook_of(Settings(_env_file=None, webhook_url=URL, webhook_secret="s" * 32))
    assert hook is not None
    assert (hook.url, hook.secret) == (URL, b"s" * 32)
    assert "sss" not in repr(hook)


def test_what_nothing_would_sign_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="GATEWAY_WEBHOOK_SECRET"):
        webhook_of(Settings(_env_file=None, webhook_url=URL))
