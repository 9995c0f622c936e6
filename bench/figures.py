"""What numbers become: percentiles, spreads over rounds, ratios, and when a run does not count. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

FOREIGN_CORES_MAX = 0.10
STOLEN_CORES_MAX = 0.03
DIRECT = "direct"
DRIFT_MAX = 0.20


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share (0 to 1) of them does not exceed; NaN for none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True)
class Spread:
    """What several rounds say of one thing."""

    low: float
    middle: float
    high: float
    disturbed: bool = False


def spread(values: Iterable[float], *, disturbed: bool = False) -> Spread | None:
    """None where there is no value."""
    known = [value for value in values if not math.isnan(value)]
    return Spread(min(known), median(known), max(known), disturbed) if known else None


@dataclass(frozen=True)
class Rest:
    """How quiet the machine was during one run: cores' worth of foreign work and of time stolen by the host, and how
    fast the rig alone was just before and after, against its usual speed (1.0)."""

    foreign_cores: float
    stolen_cores: float
    rig_before: float
    rig_after: float


def disturbances(rest: Rest) -> tuple[str, ...]:
    """Why a run does not count; empty when it does."""
    found = []
    if rest.foreign_cores > FOREIGN_CORES_MAX:
        found.append(f"other processes used {rest.foreign_cores:.2f} cores")
    if rest.stolen_cores > STOLEN_CORES_MAX:
        found.append(f"the host took {rest.stolen_cores:.2f} cores")
    if (slowest := min(rest.rig_before, rest.rig_after)) < 1 - DRIFT_MAX:
        found.append(f"the rig alone was at {slowest:.0%} of its usual speed")
    return tuple(found)


@dataclass(frozen=True)
class Run:
    """One contender under one load, once. `figures` are by name, the unit last; `reasons` say why it is disturbed."""

    scenario: str
    tls: bool
    contender: str
    round: int
    figures: Mapping[str, float]
    reasons: tuple[str, ...] = ()
    refusal: str = ""


@dataclass(frozen=True)
class Results:
    """All runs that are kept, and the contenders in the order of the tables."""

    contenders: tuple[str, ...]
    runs: tuple[Run, ...] = field(repr=False)

    def of(self, contender: str, scenario: str, figure: str, *, tls: bool = False) -> Spread | None:
        """Over the rounds; from disturbed runs only where there is no other."""
        by_round, disturbed = self._rounds(contender, scenario, figure, tls=tls)
        return spread(by_round.values(), disturbed=disturbed)

    def added(
        self, contender: str, scenario: str, figure: str, *, tls: bool = False, than: str = DIRECT
    ) -> Spread | None:
        """How much more it is than the other's in the same round: the rig's own, if no other is named. The other's is
        never over TLS."""
        by_round, disturbed = self._rounds(contender, scenario, figure, tls=tls)
        own, own_disturbed = self._rounds(than, scenario, figure, tls=False)
        both = by_round.keys() & own.keys()
        return spread((by_round[number] - own[number] for number in both), disturbed=disturbed or own_disturbed)

    def middle(self, contender: str, scenario: str, figure: str, *, tls: bool = False) -> float:
        """The median; NaN when it was not measured."""
        found = self.of(contender, scenario, figure, tls=tls)
        return math.nan if found is None else found.middle

    def ratio(self, one: str, other: str, scenario: str, figure: str, *, tls: bool = False) -> Spread | None:
        """Of two contenders, round by round: what disturbs a whole round cancels out."""
        above, above_disturbed = self._rounds(one, scenario, figure, tls=tls)
        below, below_disturbed = self._rounds(other, scenario, figure, tls=tls)
        pairs = [above[number] / below[number] for number in above.keys() & below.keys() if below[number]]
        return spread(pairs, disturbed=above_disturbed or below_disturbed)

    def refusal(self, contender: str, scenario: str, *, tls: bool = False) -> str:
        """Why there is no figure, where the contender itself is the reason."""
        return next((run.refusal for run in self._of(contender, scenario, tls=tls) if run.refusal), "")

    def _of(self, contender: str, scenario: str, *, tls: bool) -> list[Run]:
        wanted = (contender, scenario, tls)
        return [run for run in self.runs if (run.contender, run.scenario, run.tls) == wanted]

    def _rounds(self, contender: str, scenario: str, figure: str, *, tls: bool) -> tuple[dict[int, float], bool]:
        found = [run for run in self._of(contender, scenario, tls=tls) if figure in run.figures]
        quiet = [run for run in found if not run.reasons]
        return {run.round: run.figures[figure] for run in quiet or found}, bool(found) and not quiet
