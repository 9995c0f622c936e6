"""The configuration in use: replaced as a whole, or not at all; the metrics say which it is."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.configuration.configuration import Configuration, ConfigurationState
from app.configuration.current import CurrentConfiguration
from app.configuration.reading import check
from app.errors import Conflict, StoreUnavailable
from app.settings.settings import Settings
from app.telemetry.metrics import Metrics

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def read(**settings: Any) -> Configuration:
    return check(Settings(_env_file=None, **settings)).configuration


class Desk:
    """A configuration in use, the settings that were handed on, and the metrics."""

    def __init__(self, configuration: Configuration) -> None:
        self.metrics = Metrics("1", 1)
        self.handed_on: list[Settings] = []
        self.current = CurrentConfiguration(configuration, self.metrics)
        self.current.start(b"secret", 0.0, self.handed_on.append)

    @property
    def shown(self) -> tuple[dict[str, float], float, float]:
        """The hashes, whether the last reading succeeded, and when."""
        samples = [sample for family in self.metrics.registry.collect() for sample in family.samples]
        found = {sample.name: sample.value for sample in samples}
        hashes = {each.labels["hash"]: each.value for each in samples if each.name == "zenmux_gateway_config_info"}
        prefix = "zenmux_gateway_config_last_reload"
        return hashes, found[f"{prefix}_successful"], found[f"{prefix}_success_timestamp_seconds"]


def test_a_start_is_a_success() -> None:
    desk = Desk(read())
    assert desk.shown == ({desk.current.hash: 1.0}, 1.0, 0.0)


def test_a_newer_one_is_used_and_shown_alone() -> None:
    desk = Desk(read())
    newer = read(default_model="gpt-image-2")
    assert desk.current.use(ConfigurationState(1, newer, NOON)) == desk.current.hash
    assert desk.handed_on == [newer.settings]
    assert desk.current.settings.default_model == desk.current.policy.default_model == "gpt-image-2"
    assert desk.shown == ({desk.current.hash: 1.0}, 1.0, NOON.timestamp())


def test_what_has_not_changed_is_not_handed_on_again() -> None:
    """Turns of accounts and what is known of thresholds would begin anew."""
    desk = Desk(read(zenmux_api_key="sk-ai-v1-x"))
    before = desk.current.policy
    failed = ConfigurationState(1, read(zenmux_api_key="sk-ai-v1-x"), NOON, "no such file")
    desk.current.use(failed)
    assert desk.handed_on == []
    assert desk.current.policy is before
    assert desk.shown == ({desk.current.hash: 1.0}, 0.0, NOON.timestamp())
    desk.current.use(replace(failed, refusal=None))
    assert desk.shown[1] == 1.0


async def test_whoever_asks_for_a_reload_waits_for_a_reading_that_began_later() -> None:
    """One that began before may have missed what was changed last."""
    desk = Desk(read())
    wishes: list[bool] = []
    desk.current.take_reload(wishes.append)
    asked = asyncio.ensure_future(desk.current.reload())
    await asyncio.sleep(0)
    assert wishes == [False]
    began_before = ConfigurationState(1, read(), NOON, begun_at=0.0)
    desk.current.use(began_before)
    await asyncio.sleep(0)
    assert not asked.done()
    desk.current.use(replace(began_before, number=2, begun_at=time.monotonic()))
    assert (await asked).number == 2


async def test_a_reload_that_fails_says_why() -> None:
    desk = Desk(read())
    with pytest.raises(Conflict, match="Restart it"):
        await desk.current.reload()

    def fail(_: bool) -> None:
        desk.current.use(ConfigurationState(1, read(), NOON, "no such file", begun_at=time.monotonic()))

    desk.current.take_reload(fail)
    with pytest.raises(Conflict, match="no such file"):
        await desk.current.reload()


async def test_a_trial_is_answered_and_used_by_nobody() -> None:
    desk = Desk(read())
    before, found = desk.current.hash, read(default_model="gpt-image-2")

    def read_again(is_trial: bool) -> None:
        changes = ({"action": "user.create"},) if is_trial else None
        desk.current.use(ConfigurationState(1, found, NOON, None, (), time.monotonic(), changes))

    desk.current.take_reload(read_again)
    tried = await desk.current.reload(is_trial=True)
    assert tried.trial_changes == ({"action": "user.create"},)
    assert desk.current.hash_of(tried.configuration) != desk.current.hash == before
    assert desk.handed_on == []
    used = await desk.current.reload()
    assert desk.current.hash_of(used.configuration) == desk.current.hash != before


async def test_a_reading_that_takes_too_long_is_no_failure_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.configuration.current._RELOAD_SECONDS_MAX", 0.0)
    desk = Desk(read())
    desk.current.take_reload(lambda _: None)
    with pytest.raises(StoreUnavailable, match="still being read"):
        await desk.current.reload()


def test_if_a_part_refuses_all_of_the_old_stays() -> None:
    desk = Desk(read())
    before = desk.current.hash

    def refuse(_: Settings) -> None:
        raise ValueError("no")

    desk.current.start(b"secret", 0.0, refuse)
    with pytest.raises(ValueError, match="no"):
        desk.current.use(ConfigurationState(1, read(default_model="gpt-image-2"), NOON))
    assert (desk.current.hash, desk.current.settings.default_model) == (before, None)
    assert desk.shown == ({before: 1.0}, 1.0, 0.0)
