"""The fingerprint: equal for what is equal, different for whatever a reload can change, and no help for guessing."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.configuration.configuration import Configuration, fingerprint
from app.configuration.reading import check
from app.settings.console.providers import ProviderSpec, SignInSpec
from app.settings.reloading import RELOADED
from app.settings.settings import Settings

SECRET = b"s" * 32
CHANGES: dict[str, Any] = {
    "account_order": "priority",
    "admin_key": "0123456789abcdef0123456789abcdef",
    "default_model": "gpt-image-2",
    "default_response_format": "url",
    "metrics_key": "m",
    "successor_model": "gpt-image-2",
    "thresholds_percent": (50, 81),
    "unknown_model_hold_usd": 1,
    "unknown_models": "pass",
    "usage_shows_gateway": True,
    "webhook_secret": "0123456789abcdefg",
    "webhook_url": "https://example.com/hook",
    "zenmux_api_key": "sk-ai-v1-a",
    "zenmux_api_keys": "main=sk-ai-v1-a",
    "zenmux_management_key": "sk-mg-a",
    "zenmux_management_keys": "main=sk-mg-a",
}


def read(**settings: Any) -> Configuration:
    return check(Settings(_env_file=None, **settings)).configuration


def test_it_is_the_same_in_another_process() -> None:
    configuration = read(**{name: CHANGES[name] for name in CHANGES if name != "zenmux_api_keys"})
    there: Configuration = pickle.loads(pickle.dumps(configuration))
    assert fingerprint(there, SECRET) == fingerprint(configuration, SECRET)
    assert there.settings == configuration.settings
    assert [spec.id for spec in there.policy.catalog.models] == [
        spec.id for spec in configuration.policy.catalog.models
    ]


def test_every_setting_that_a_reload_takes_has_a_change_here() -> None:
    assert CHANGES.keys() == RELOADED - {"bootstrap_file", "catalog_file"}


def test_so_does_a_new_secret_of_an_identity_provider() -> None:
    configuration = read()

    def with_secret(text: str) -> str:
        provider = ProviderSpec("a", "A", "https://id.example.com", "gateway", SecretStr(text))
        settings = configuration.settings.with_sign_in(SignInSpec((provider,)))
        return fingerprint(replace(configuration, settings=settings), SECRET)

    assert len({with_secret("old"), with_secret("new"), fingerprint(configuration, SECRET)}) == 3


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_a_reload_takes_changes_it(name: str) -> None:
    needed: dict[str, Any] = {
        "unknown_models": {"unknown_model_hold_usd": 1},
        "webhook_url": {"webhook_secret": "0123456789abcdefg"},
        "zenmux_management_keys": {"zenmux_api_keys": "main=sk-ai-v1-a"},
    }
    before = needed.get(name, {})
    assert fingerprint(read(**before), SECRET) != fingerprint(read(**{**before, name: CHANGES[name]}), SECRET)


def test_what_is_in_the_files_counts_and_not_where_they_are(tmp_path: Path) -> None:
    hashes = []
    for number, (catalog, setup) in enumerate(
        (("", "users: {a: {}}"), ("", "users: {b: {}}"), ("# x", "users: {b: {}}"))
    ):
        for place in ("one", "two"):
            folder = tmp_path / f"{place}{number}"
            folder.mkdir()
            (folder / "catalog.toml").write_text(catalog)
            (folder / "gateway.yaml").write_text(f"version: 1\n{setup}\n")
            there = read(catalog_file=folder / "catalog.toml", bootstrap_file=folder / "gateway.yaml")
            hashes.append(fingerprint(there, SECRET))
    assert hashes[::2] == hashes[1::2]
    assert len(set(hashes)) == 3


def test_without_the_secret_nobody_can_try_out_keys() -> None:
    configuration = read(zenmux_api_key="sk-ai-v1-a")
    assert fingerprint(configuration, SECRET) != fingerprint(configuration, b"t" * 32)
    assert "sk-ai-v1-a" not in repr(configuration)


def test_what_needs_a_restart_does_not_count() -> None:
    assert fingerprint(read(port=1), SECRET) == fingerprint(read(port=2), SECRET)
