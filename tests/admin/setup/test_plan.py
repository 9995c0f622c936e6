"""What changes is said in words: what limits let through more is `raised`."""

import pytest

from app.admin.setup.plan import SetupPlan
from app.admin.setup.state import LimitAt, LimitState, LimitStep, TeamState, TeamStep
from app.quotas.rules.limits import Scope, Unit, Window
from app.setup.managed import Managed

AT = LimitAt(Scope.TEAM, ("design",), Unit.IMAGES, Window.DAY, "")


def limit(amount: int, *, shadow: bool = False) -> LimitState:
    return LimitState(amount, shadow, None)


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        (None, limit(5), "+ limit images:5/day of the team design"),
        (limit(5), limit(6), "~ limit images:5/day of the team design: raised to images:6/day"),
        (limit(5), limit(4), "~ limit images:5/day of the team design: lowered to images:4/day"),
        (limit(5), limit(4, shadow=True), "~ limit images:5/day of the team design: raised to images:4/day (shadow)"),
        (limit(4, shadow=True), limit(5), "~ limit images:4/day (shadow) of the team design: lowered to images:5/day"),
        (limit(5), None, "- limit images:5/day of the team design: raised, because it is removed"),
    ],
)
def test_a_limit(before: LimitState | None, after: LimitState | None, line: str) -> None:
    assert list(SetupPlan((), (), (), (LimitStep(AT, before, after),)).lines()) == [line]


def test_a_mark() -> None:
    def mark(file: str, *fields: str) -> TeamState:
        return TeamState(Managed(file, made=True, fields=frozenset(fields)).text)

    def words(before: TeamState, after: TeamState) -> str:
        [line] = SetupPlan((TeamStep("a", before, after),), (), (), ()).lines()
        return line.removeprefix("~ team a: ")

    none = TeamState(None)
    assert words(none, mark("x.yaml")) == "managed by x.yaml"
    assert words(mark("x.yaml"), none) == "no longer managed"
    assert words(mark("x.yaml"), mark("y.yaml")) == "managed by x.yaml -> y.yaml"
    assert words(mark("x.yaml", "a"), mark("x.yaml", "a", "b")) == "the file now sets b"
    assert words(mark("x.yaml", "a", "b"), mark("x.yaml", "b")) == "the file no longer sets a"
