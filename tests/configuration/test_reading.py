"""Reading the configuration: whatever cannot work is refused before anything is changed."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.configuration.reading import check, reread
from app.database.engine import opened, reading
from app.database.migrate import upgrade
from app.errors import ConfigurationError
from app.identity.people.users import find_user
from app.settings.settings import Settings

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def a(**settings: Any) -> Settings:
    return Settings(_env_file=None, **settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"default_model": "nothing"}, "GATEWAY_DEFAULT_MODEL"),
        ({"webhook_url": "https://example.com/hook"}, "GATEWAY_WEBHOOK_SECRET"),
        ({"catalog_file": Path("/nowhere")}, "GATEWAY_CATALOG_FILE .* cannot be read"),
        ({"bootstrap_file": Path("/nowhere")}, "/nowhere cannot be read"),
        ({"upstream_transport": "http1", "upstream_proxy": "http://proxy:1"}, "knows no proxies"),
        ({"upstream_ca_file": Path("/nowhere")}, "/nowhere"),
    ],
)
def test_what_cannot_work_is_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        check(a(**settings))


def test_a_webhook_that_no_proxy_leads_to_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://proxy")
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY"):
        check(
            a(
                zenmux_base_url="http://127.0.0.1:1",
                webhook_url="https://example.com/hook",
                webhook_secret="0123456789abcdef",
            )
        )


def test_the_catalog_of_the_set_up_file_is_used_and_its_faults_are_named(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("version: 1\ncatalog:\n  models:\n    house: {like: gpt-image-2, id: openai/house}\n")
    found = check(a(bootstrap_file=file, default_model="house")).configuration
    assert found.policy.catalog.find("openai/house") is not None
    file.write_text("version: 1\ncatalog:\n  models:\n    house: {like: gpt-image-9, id: openai/house}\n")
    with pytest.raises(ConfigurationError, match=r"gateway.yaml, line 4: catalog.models.house.like: names no entry"):
        check(a(bootstrap_file=file))


def test_a_reload_says_which_models_have_changed(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    settings = a(data_dir=tmp_path, bootstrap_file=file)
    file.write_text("version: 1\ncatalog:\n  models:\n    gpt-image-2: {n_max: 2}\n")
    with opened(settings.database) as engine:
        upgrade(engine)
        assert rereading(tmp_path, lambda: settings).models == ("~ model gpt-image-2: n_max",)
        models = "".join(f"    m{number}: {{like: gpt-image-2, id: a/m{number}}}\n" for number in range(30))
        file.write_text(f"version: 1\ncatalog:\n  models:\n{models}")
        assert len(rereading(tmp_path, lambda: settings).models) == 20
        file.write_text("version: 1\n")
        assert rereading(tmp_path, lambda: settings).models == ()


def rereading(tmp_path: Path, found: Callable[[], Settings], *, is_trial: bool = False) -> Any:
    running = check(a(data_dir=tmp_path)).configuration
    return reread(running, found, lambda: NOON, is_trial=is_trial)


def test_the_set_up_file_is_applied_last(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("version: 1\nusers: {alice: {}}\n")
    settings = a(data_dir=tmp_path, bootstrap_file=file, default_model="nothing")
    with opened(settings.database) as engine:
        upgrade(engine)
        with pytest.raises(ConfigurationError, match="GATEWAY_DEFAULT_MODEL"):
            rereading(tmp_path, lambda: settings)
        with reading(engine) as connection:
            assert find_user(connection, "alice") is None
        tried = rereading(tmp_path, lambda: a(data_dir=tmp_path, bootstrap_file=file), is_trial=True)
        assert [(each["action"], each["at"]) for each in tried.trial_changes] == [("user.create", None)]
        with reading(engine) as connection:
            assert find_user(connection, "alice") is None
        found = rereading(tmp_path, lambda: a(data_dir=tmp_path, bootstrap_file=file, port=1))
        assert found.trial_changes is None
        with reading(engine) as connection:
            assert find_user(connection, "alice") is not None
    assert found.configuration.setup_digest
    assert (found.read_at, found.needs_restart) == (NOON, ("GATEWAY_PORT",))
    assert found.configuration.settings.port == a().port


def test_settings_that_cannot_be_read_are_the_readers_word(tmp_path: Path) -> None:
    def read() -> Settings:
        raise ConfigurationError("GATEWAY_PORT: no number")

    with pytest.raises(ConfigurationError, match="GATEWAY_PORT: no number"):
        rereading(tmp_path, read)
