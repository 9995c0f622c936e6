"""The whole of a benchmark: starts the contenders, interleaves them in rounds, repeats what was disturbed."""

import math
import resource
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.contenders import Contender, Place, Running
from bench.figures import Results, Run, disturbances
from bench.judging import Case, judge
from bench.measuring import Measuring
from bench.processes import BenchError
from bench.rig import Rig
from bench.scenarios import Scenario

RIG_FULL = 0.95


@dataclass(frozen=True)
class Plan:
    """What is measured, how often and for how long. A disturbed run is repeated until `tries` are used up."""

    scenarios: tuple[Scenario, ...]
    tls_scenarios: tuple[Scenario, ...]
    rounds: int
    fresh_rounds: int
    seconds: float
    tries: int


@dataclass
class Told:
    """What is found beside the figures: versions, who could not take part, what was changed on the way."""

    versions: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    discarded: int = 0


@dataclass(frozen=True)
class Turn:
    """Whose turn it is, at what."""

    contender: str
    scenario: Scenario
    tls: bool
    round: int

    def __str__(self) -> str:
        return f"round {self.round + 1}, {self.scenario.name}{' TLS' if self.tls else ''}, {self.contender}"


class Session:
    """Measures contenders on one rig. `folder` is emptied; `say` is told every step."""

    def __init__(self, rig: Rig, plan: Plan, folder: Path, say: Callable[[str], None]) -> None:
        self._rig = rig
        self._plan = plan
        self._folder = folder.resolve()
        self._say = say
        self._measuring = Measuring(rig)
        self._runs: list[Run] = []
        self.told = Told()

    def run(self, contenders: Sequence[Contender]) -> Results:
        """Everything of the plan. Who cannot take part is told, and has runs that say so."""
        shutil.rmtree(self._folder, ignore_errors=True)
        here = {}
        for contender in contenders:
            try:
                self.told.versions[contender.name] = contender.prepare()
                here[contender.name] = contender
            except BenchError as error:
                self._leave_out(contender.name, error)
        steady = tuple(scenario for scenario in self._plan.scenarios if not scenario.is_fresh)
        fresh = tuple(scenario for scenario in self._plan.scenarios if scenario.is_fresh)
        self._steady(here, steady, tls=False)
        secure = {name: contender for name, contender in here.items() if contender.has_tls}
        self._steady(secure, self._plan.tls_scenarios, tls=True)
        self._fresh(here, fresh)
        for contender in contenders:
            if contender.name not in here:
                self._note_absence(contender.name, self._plan.scenarios, tls=False)
                self._note_absence(contender.name, self._plan.tls_scenarios, tls=True)
        return Results(tuple(contender.name for contender in contenders), tuple(self._runs))

    def _steady(self, contenders: Mapping[str, Contender], scenarios: Sequence[Scenario], *, tls: bool) -> None:
        """All contenders run at the same time, one of them at work."""
        if not scenarios:
            return
        running: dict[str, Running] = {}
        try:
            for name, contender in contenders.items():
                self._start(contender, running, tls=tls)
                if name not in running:
                    self._note_absence(name, scenarios, tls=tls)
            cases = self._judge(contenders, running, scenarios)
            for number in range(self._plan.rounds):
                for scenario in scenarios:
                    taking_part = tuple(name for name in running if contenders[name].takes_part_in(scenario))
                    for name in rotated(taking_part, number):
                        turn = Turn(name, scenario, tls, number)
                        for is_last in self._attempts():
                            if self._take(turn, running[name], cases[name, scenario.name], is_last=is_last):
                                break
        finally:
            for one in running.values():
                one.stop()

    def _fresh(self, contenders: Mapping[str, Contender], scenarios: Sequence[Scenario]) -> None:
        """Each run has a contender of its own."""
        for number in range(self._plan.fresh_rounds if scenarios else 0):
            for scenario in scenarios:
                if scenario.is_long and number:
                    continue
                if missing := missing_files(scenario):
                    self._cannot_run(contenders, scenario, missing)
                    continue
                taking_part = [(name, one) for name, one in contenders.items() if one.takes_part_in(scenario)]
                for name, contender in taking_part:
                    for is_last in self._attempts():
                        with self._started(contender, scenario) as one:
                            if one is None:
                                self._note_absence(name, [scenario], tls=False)
                                break
                            turn = Turn(name, scenario, tls=False, round=number)
                            if self._take(turn, one, Case(contender.asked(one, scenario)), is_last=is_last):
                                break

    def _attempts(self) -> Iterator[bool]:
        """For each time a run may be tried: is it the last?"""
        return (attempt + 1 == self._plan.tries for attempt in range(self._plan.tries))

    @contextmanager
    def _started(self, contender: Contender, scenario: Scenario) -> Iterator[Running | None]:
        running: dict[str, Running] = {}
        self._start(contender, running, tls=False, scenario=scenario)
        try:
            yield running.get(contender.name)
        finally:
            for one in running.values():
                one.stop()

    def _start(
        self,
        contender: Contender,
        running: dict[str, Running],
        *,
        tls: bool,
        scenario: Scenario | None = None,
    ) -> None:
        folder = self._folder / f"{contender.name}{'-tls' if tls else ''}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        scheme, port = ("https", self._rig.tls_port) if tls else ("http", self._rig.port)
        upstream = f"{scheme}://127.0.0.1:{port}/api/v1"
        place = Place(folder, self._rig.cores.contender, upstream, self._rig.certificate)
        if scenario is not None:
            place = replace(place, settings=dict(scenario.settings), users=scenario.users)
        try:
            running[contender.name] = contender.start(place)
        except BenchError as error:
            self._leave_out(f"{contender.name}{' over TLS' if tls else ''}", error)

    def _leave_out(self, who: str, error: BenchError) -> None:
        self.told.absent[who] = str(error)
        self._say(f"[yellow]{who} does not take part:[/] {error}")

    def _cannot_run(self, contenders: Mapping[str, Contender], scenario: Scenario, why: str) -> None:
        self.told.notes[f"everybody, {scenario.name}"] = why
        self._say(f"[yellow]{scenario.name}: {why}[/]")
        names = [name for name, contender in contenders.items() if contender.takes_part_in(scenario)]
        self._runs += [
            Run(scenario.name, tls=False, contender=name, round=0, figures={}, refusal=why) for name in names
        ]

    def _note_absence(self, name: str, scenarios: Sequence[Scenario], *, tls: bool) -> None:
        self._runs += [Run(scenario.name, tls, name, 0, {}, (), "does not take part") for scenario in scenarios]

    def _judge(
        self, contenders: Mapping[str, Contender], running: Mapping[str, Running], scenarios: Sequence[Scenario]
    ) -> dict[tuple[str, str], Case]:
        direct = Running(self._rig.port)
        found = {}
        for name, one in running.items():
            for scenario in scenarios:
                if not contenders[name].takes_part_in(scenario):
                    continue
                case = found[name, scenario.name] = judge(direct, contenders[name], one, scenario)
                verdict = case.verdict
                if verdict.note or verdict.refusal:
                    self.told.notes[f"{name}, {scenario.name}"] = verdict.refusal or verdict.note
                    self._say(f"[yellow]{name}, {scenario.name}: {verdict.refusal or verdict.note}[/]")
        return found

    def _take(self, turn: Turn, running: Running, case: Case, *, is_last: bool) -> bool:
        """One run; true if it is kept, as a quiet one is, and any that is not tried again."""
        figures: dict[str, float] = {}
        reasons: tuple[str, ...] = ()
        refusal = case.verdict.refusal
        if not refusal:
            try:
                figures, rest, refusal = self._measuring.measure(running, turn.scenario, case, self._plan.seconds)
                reasons = disturbances(rest)
            except BenchError as error:
                refusal = str(error)
        disturbed = f"[red]({'; '.join(reasons)}{'' if is_last else ': once more'})[/]" if reasons else ""
        told = [f"{turn}:", shown(figures), refusal, disturbed]
        self._say(" ".join(part for part in told if part))
        if reasons and not is_last:
            self.told.discarded += 1
            return False
        self._runs.append(Run(turn.scenario.name, turn.tls, turn.contender, turn.round, figures, reasons, refusal))
        return True


def missing_files(scenario: Scenario) -> str:
    """Why this machine cannot run it; empty where it can."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY or allowed >= scenario.descriptors:
        return ""
    return f"{scenario.descriptors:,} open files needed, {allowed:,} here"


def rotated(names: tuple[str, ...], number: int) -> tuple[str, ...]:
    """Another one begins each round."""
    first = number % len(names) if names else 0
    return names[first:] + names[:first]


def shown(figures: Mapping[str, float]) -> str:
    """What is most worth watching of a run."""
    parts = (
        ("requests_per_second", "{:,.0f} req/s"),
        ("mb_per_second", "{:,.0f} MB/s"),
        ("latency_p50_ms", "p50 {:.2f} ms"),
        ("first_event_p50_ms", "first event {:.2f} ms"),
        ("cpu_s_per_gb", "{:.2f} CPU s/GB"),
        ("growth_mb", "+{:.1f} MB"),
        ("over_seconds", "{:+.2f} s"),
        ("start_seconds", "{:.2f} s to the first answer"),
        ("idle_rss_mb", "{:.0f} MB idle"),
    )
    told = [form.format(figures[name]) for name, form in parts if not math.isnan(figures.get(name, math.nan))]
    if figures.get("rig_cores", 0) > RIG_FULL and "cores" in figures:
        told.append("the rig's core was full")
    return ", ".join(told)
