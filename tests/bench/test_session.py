"""A whole benchmark in small: the rig itself, and one who is not there. Nothing is timed."""

import os
import shutil
from pathlib import Path

import pytest

from bench.contenders import Contender, Direct, Gateway, Place, Running
from bench.nginx import Nginx
from bench.processes import BenchError, Cores
from bench.rig import Rig
from bench.scenarios import (
    IN_FLIGHT,
    MANY,
    MOST,
    SCENARIOS,
    SLOW_BOUNDED,
    SMALL,
    START,
    STORED,
    STREAM,
    UPLOAD_SMALL,
    Scenario,
)
from bench.session import Plan, Session, missing_files, rotated, shown


class Missing(Contender):
    name = "missing"

    def prepare(self) -> str:
        raise BenchError("it is not installed")

    def start(self, place: Place) -> Running:
        raise AssertionError(f"nothing is to be started in {place.folder}")


class Mute(Contender):
    name = "mute"

    def prepare(self) -> str:
        return "1.0"

    def start(self, place: Place) -> Running:
        raise BenchError(f"does not answer in front of {place.upstream.partition(':')[0]}")


class Settable(Mute):
    name = "settable"

    def __init__(self) -> None:
        self.settings: list[dict[str, str]] = []

    def takes_part_in(self, scenario: Scenario) -> bool:  # noqa: ARG002 - all of them
        return True

    def start(self, place: Place) -> Running:
        self.settings.append(dict(place.settings))
        return super().start(place)


def test_another_one_begins_each_round() -> None:
    assert [rotated(("a", "b", "c"), number) for number in range(4)] == [
        ("a", "b", "c"),
        ("b", "c", "a"),
        ("c", "a", "b"),
        ("a", "b", "c"),
    ]
    assert rotated((), 1) == ()


def test_a_full_rig_is_told() -> None:
    assert shown({"mb_per_second": 2000.0, "cores": 0.8, "rig_cores": 0.99}) == "2,000 MB/s, the rig's core was full"
    assert shown({"mb_per_second": 2000.0, "cores": 0.8, "rig_cores": 0.5}) == "2,000 MB/s"


needs_rig = pytest.mark.skipif(
    not all(map(shutil.which, ("cc", "openssl", "taskset"))), reason="needs a C compiler, openssl and taskset"
)


@needs_rig
def test_who_is_there_is_measured_and_who_is_not_is_told(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    plan = Plan((SMALL, STREAM), (SMALL,), rounds=2, fresh_rounds=1, seconds=0.05, tries=1)
    said: list[str] = []
    with Rig(tmp_path / "rig", Cores(core, core)) as rig:
        session = Session(rig, plan, tmp_path / "work", said.append)
        results = session.run([Direct(), Missing(), Mute()])
    assert results.contenders == ("direct", "missing", "mute")
    for scenario in (SMALL.name, STREAM.name):
        rate = results.of("direct", scenario, "requests_per_second")
        assert rate is not None
        assert rate.low > 0
        assert results.refusal("missing", scenario) == results.refusal("mute", scenario) == "does not take part"
    assert results.of("direct", SMALL.name, "requests_per_second", tls=True) is None
    assert results.refusal("missing", SMALL.name, tls=True) == "does not take part"
    assert session.told.absent == {
        "missing": "it is not installed",
        "mute": "does not answer in front of http",
        "mute over TLS": "does not answer in front of https",
    }
    assert session.told.versions.keys() == {"direct", "mute"}
    assert {run.round for run in results.runs if run.contender == "direct"} == {0, 1}
    assert any("missing does not take part" in line for line in said)


@needs_rig
def test_settings_are_for_who_has_them(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    plan = Plan((START, SLOW_BOUNDED), (), rounds=1, fresh_rounds=1, seconds=0.05, tries=1)
    settable = Settable()
    with Rig(tmp_path / "rig", Cores(core, core)) as rig:
        results = Session(rig, plan, tmp_path / "work", lambda _: None).run([Mute(), settable])
    assert settable.settings == [{}, {"GATEWAY_SOCKET_BUFFER_BYTES": "131072"}]
    assert results.refusal("settable", SLOW_BOUNDED.name) == "does not take part"
    assert results.refusal("mute", START.name) == "does not take part"
    assert results.refusal("mute", SLOW_BOUNDED.name) == ""


@pytest.mark.long("a gateway is measured for seconds")
@needs_rig
def test_the_gateway_is_asked_for_what_it_stored(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    plan = Plan((UPLOAD_SMALL, *STORED), (), rounds=1, fresh_rounds=1, seconds=0.05, tries=1)
    with Rig(tmp_path / "rig", Cores(core, core)) as rig:
        session = Session(rig, plan, tmp_path / "work", lambda _: None)
        results = session.run([Direct(), Nginx(), Gateway()])
    took_part = session.told.versions.keys() - session.told.absent.keys()
    assert {"direct", "gateway"} <= took_part
    assert session.told.notes == {}  # every answer had the bytes that were stored
    for name in took_part:
        stored = [] if name == "direct" else STORED
        measured = {run.scenario for run in results.runs if run.contender == name and run.figures}
        assert measured == {UPLOAD_SMALL.name, *(scenario.name for scenario in stored)}
    for run in results.runs:
        if run.figures:
            assert run.figures["mb_per_second"] / run.figures["requests_per_second"] > 0.99


def test_scenarios_that_need_a_fresh_process_say_so() -> None:
    assert IN_FLIGHT.is_fresh
    assert not SMALL.is_fresh
    assert all(scenario.is_fresh for scenario in SCENARIOS if scenario.settings)


def test_what_this_machine_has_no_files_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (20_000, 20_000))
    assert missing_files(MANY) == ""
    assert missing_files(MOST) == "30,100 open files needed, 20,000 here"
    monkeypatch.setattr("resource.getrlimit", lambda _: (-1, -1))
    assert missing_files(MOST) == ""


@needs_rig
def test_who_cannot_be_measured_here_has_a_run_that_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.session.missing_files", lambda _: "30,100 open files needed, 20,000 here")
    core = min(os.sched_getaffinity(0))
    plan = Plan((MOST,), (), rounds=1, fresh_rounds=3, seconds=0.05, tries=1)
    with Rig(tmp_path / "rig", Cores(core, core)) as rig:
        session = Session(rig, plan, tmp_path / "work", lambda _: None)
        results = session.run([Direct(), Mute()])
    assert [(run.contender, run.refusal) for run in results.runs] == [
        ("direct", "30,100 open files needed, 20,000 here")
    ]  # once, and not of those who take no part
    assert session.told.notes == {"everybody, 10,000 in flight": "30,100 open files needed, 20,000 here"}
