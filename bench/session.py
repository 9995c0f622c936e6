"""The whole of a benchmark: starts the contenders, interleaves them in rounds, repeats what was disturbed."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.answers import Verdict, judge
from bench.contenders import Contender, Place, Running
from bench.figures import Results, Run, disturbances
from bench.measuring import Measuring
from bench.processes import BenchError
from bench.rig import Rig
from bench.scenarios import Scenario


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
        shutil.rmtree(self._folder, ignore_errors=True)
        present = []
        for contender in contenders:
            try:
                self.told.versions[contender.name] = contender.prepare()
                present.append(contender)
            except BenchError as error:
                self._leave_out(contender, error)
        steady = tuple(scenario for scenario in self._plan.scenarios if not scenario.is_fresh)
        self._steady(present, steady, tls=False)
        self._steady([contender for contender in present if contender.has_tls], self._plan.tls_scenarios, tls=True)
        self._fresh(present, tuple(scenario for scenario in self._plan.scenarios if scenario.is_fresh))
        return Results(tuple(contender.name for contender in contenders), tuple(self._runs))

    def _steady(self, contenders: Sequence[Contender], scenarios: Sequence[Scenario], *, tls: bool) -> None:
        """All contenders run at the same time, one of them at work."""
        if not scenarios:
            return
        running: dict[str, Running] = {}
        try:
            for contender in contenders:
                self._start(contender, running, tls=tls)
            verdicts = self._judge(running, scenarios)
            for number in range(self._plan.rounds):
                for scenario in scenarios:
                    for name in rotated(tuple(running), number):
                        self._one(name, running[name], scenario, verdicts[name, scenario.name], number, tls=tls)
        finally:
            for one in running.values():
                one.stop()

    def _fresh(self, contenders: Sequence[Contender], scenarios: Sequence[Scenario]) -> None:
        """Each run has a contender of its own."""
        for number in range(self._plan.fresh_rounds if scenarios else 0):
            for scenario in scenarios:
                for contender in contenders:
                    with self._started(contender) as one:
                        if one is not None:
                            self._one(contender.name, one, scenario, Verdict(), number, tls=False)

    @contextmanager
    def _started(self, contender: Contender) -> Iterator[Running | None]:
        running: dict[str, Running] = {}
        self._start(contender, running, tls=False)
        try:
            yield running.get(contender.name)
        finally:
            for one in running.values():
                one.stop()

    def _start(self, contender: Contender, running: dict[str, Running], *, tls: bool) -> None:
        folder = self._folder / f"{contender.name}{'-tls' if tls else ''}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        scheme, port = ("https", self._rig.tls_port) if tls else ("http", self._rig.port)
        place = Place(folder, self._rig.cores.contender, f"{scheme}://127.0.0.1:{port}/api/v1", self._rig.certificate)
        try:
            running[contender.name] = contender.start(place)
        except BenchError as error:
            self._leave_out(contender, error, " over TLS" if tls else "")

    def _leave_out(self, contender: Contender, error: BenchError, where: str = "") -> None:
        self.told.absent[contender.name + where] = str(error)
        self._say(f"[yellow]{contender.name}{where} does not take part:[/] {error}")

    def _judge(self, running: Mapping[str, Running], scenarios: Sequence[Scenario]) -> dict[tuple[str, str], Verdict]:
        direct = Running(self._rig.port)
        found = {}
        for name, one in running.items():
            for scenario in scenarios:
                verdict = found[name, scenario.name] = judge(direct, one, scenario)
                if verdict.note or verdict.refusal:
                    self.told.notes[f"{name}, {scenario.name}"] = verdict.refusal or verdict.note
                    self._say(f"[yellow]{name}, {scenario.name}: {verdict.refusal or verdict.note}[/]")
        return found

    def _one(
        self, name: str, running: Running, scenario: Scenario, verdict: Verdict, number: int, *, tls: bool
    ) -> None:
        where = f"round {number + 1}, {scenario.name}{' TLS' if tls else ''}, {name}"
        if verdict.refusal:
            if number == 0:
                self._runs.append(Run(scenario.name, tls, name, number, {}, (), verdict.refusal))
            return
        reasons: tuple[str, ...] = ()
        for attempt in range(self._plan.tries):
            try:
                figures, rest, wrong = self._measuring.measure(running, scenario, verdict, self._plan.seconds)
            except BenchError as error:
                figures, wrong = {}, str(error)
            else:
                reasons = disturbances(rest)
            told = [f"{where}:", shown(figures), wrong, f"[red]({'; '.join(reasons)})[/]" if reasons else ""]
            self._say(" ".join(part for part in told if part))
            if not reasons or scenario.is_fresh:
                break
            self.told.discarded += attempt + 1 < self._plan.tries
        self._runs.append(Run(scenario.name, tls, name, number, figures, reasons, wrong))


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
    return ", ".join(form.format(figures[name]) for name, form in parts if name in figures)
