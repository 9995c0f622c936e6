"""What a reload takes over, and what it leaves and names."""

from pathlib import Path
from typing import Any

from app.settings.reloading import RELOADED, reloaded
from app.settings.settings import Settings


def a(**settings: Any) -> Settings:
    return Settings(_env_file=None, **settings)


def test_every_name_is_a_setting() -> None:
    assert Settings.model_fields.keys() >= RELOADED


def test_nothing_that_changed_is_nothing() -> None:
    assert reloaded(a(port=1), a(port=1)) == (a(port=1), ())


def test_what_needs_a_restart_stays_and_is_named_until_it_is_restarted() -> None:
    running = a(zenmux_api_key="sk-ai-v1-a", port=1, zenmux_base_url="https://a.example")
    found = a(zenmux_api_key="sk-ai-v1-b", port=2, zenmux_base_url="https://b.example", catalog_file=Path("x"))
    merged, left = reloaded(running, found)
    assert merged == a(zenmux_api_key="sk-ai-v1-b", port=1, zenmux_base_url="https://a.example", catalog_file=Path("x"))
    assert left == ("GATEWAY_PORT", "ZENMUX_BASE_URL")
    assert reloaded(merged, found) == (merged, left)


def test_one_key_may_become_several() -> None:
    merged, _ = reloaded(a(zenmux_api_key="sk-ai-v1-a"), a(zenmux_api_keys="a=sk-ai-v1-a, b=sk-ai-v1-b"))
    assert [spec.name for spec in merged.accounts] == ["a", "b"]
