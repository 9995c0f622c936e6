"""Reading again: one at a time, never forgotten, whatever goes wrong."""

import logging
import threading
from dataclasses import replace
from datetime import UTC, datetime
from queue import Queue
from typing import Any

import pytest

from app.configuration.configuration import Configuration, ConfigurationState
from app.configuration.reading import Reread, check
from app.errors import ConfigurationError
from app.server.rereading import Rereader
from app.settings.settings import Settings

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 24, 13, tzinfo=UTC)


def read(**settings: Any) -> Configuration:
    return check(Settings(_env_file=None, **settings)).configuration


NAMES = ("GATEWAY_PORT",)
CHANGES = ({"action": "user.create"},)


class Desk:
    """A rereader whose readings end as `results` says, each when `may_end` lets it."""

    def __init__(self, *results: Configuration | Exception) -> None:
        self.results = list(results)
        self.ran_with: list[Configuration] = []
        self.handed: Queue[ConfigurationState] = Queue()
        self.began: Queue[None] = Queue()
        self.may_end = threading.Semaphore(0)
        self.first = ConfigurationState(0, read(), NOON)
        self.rereader = Rereader(self.first, self._read, self.handed.put)

    def _read(self, running: Configuration, is_trial: bool) -> Reread:
        self.ran_with.append(running)
        self.began.put(None)
        assert self.may_end.acquire(timeout=20)
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return Reread(result, LATER, NAMES, trial_changes=CHANGES if is_trial else None)

    def next(self) -> ConfigurationState:
        self.may_end.release()
        return replace(self.handed.get(timeout=20), begun_at=0)


def test_what_was_read_is_handed_over_and_the_next_reading_begins_from_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    one, two = read(default_model="gpt-image-2"), read(default_model="gpt-image-1.5")
    desk = Desk(one, two)
    for number, configuration in ((1, one), (2, two)):
        desk.rereader.request()
        assert desk.next() == ConfigurationState(number, configuration, LATER, None, NAMES)
    assert desk.ran_with == [desk.first.configuration, one]
    assert [record.__dict__["needs_restart"] for record in caplog.records] == [["GATEWAY_PORT"]] * 2


@pytest.mark.parametrize("error", [ConfigurationError("no such file"), ZeroDivisionError("a bug")])
def test_a_reading_that_fails_leaves_the_old_one_and_is_logged(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    good = read(default_model="gpt-image-2")
    desk = Desk(error, good)
    desk.rereader.request()
    failed = desk.next()
    assert (failed.number, failed.configuration, failed.read_at) == (1, desk.first.configuration, NOON)
    assert failed.refusal in ("no such file", "The gateway met a bug of its own; its log says where.")
    [refused] = caplog.records
    assert (refused.getMessage(), refused.levelno) == ("configuration_refused", logging.ERROR)
    desk.rereader.request()
    assert desk.next() == ConfigurationState(2, good, LATER, None, NAMES)


def test_whoever_asks_while_it_reads_gets_one_reading_more() -> None:
    """The files may have changed since the first one began; a hundred wishes are one."""
    desk = Desk(read(), read())
    desk.rereader.request()
    desk.began.get(timeout=20)
    for _ in range(100):
        desk.rereader.request()
    assert desk.next().number == 1
    assert desk.next().number == 2
    assert len(desk.ran_with) == 2
    assert desk.handed.empty()


def test_a_trial_is_handed_over_and_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    """A reading that is wished meanwhile comes first, and begins from what is in use."""
    caplog.set_level(logging.INFO)
    one, two = read(default_model="gpt-image-2"), read(default_model="gpt-image-1.5")
    desk = Desk(one, ConfigurationError("no such file"), two, ZeroDivisionError("a bug"))
    desk.rereader.request(is_trial=True)
    desk.began.get(timeout=20)
    assert desk.next() == ConfigurationState(0, one, LATER, None, NAMES, 0, CHANGES)
    desk.rereader.request(is_trial=True)
    refused = desk.next()
    assert (refused.configuration, refused.refusal, refused.is_trial) == (
        desk.first.configuration, "no such file", True,
    )  # fmt: skip
    assert caplog.records == []
    desk.rereader.request()
    assert desk.next() == ConfigurationState(1, two, LATER, None, NAMES)
    desk.rereader.request(is_trial=True)
    assert desk.next().refusal == "The gateway met a bug of its own; its log says where."
    assert desk.ran_with == [*[desk.first.configuration] * 3, two]


def test_without_a_thread_it_says_so_and_can_be_asked_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(read())

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        desk.rereader.request()
    assert "configuration_refused" in caplog.text
    desk.rereader.request()
    assert desk.next().number == 1
