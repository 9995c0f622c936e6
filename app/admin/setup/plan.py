"""What applying a file changes, in the order in which it is done, and in words for people. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from app.admin.setup.state import (
    KeyState,
    KeyStep,
    LimitAt,
    LimitStep,
    Owner,
    SetupState,
    TeamStep,
    UserState,
    UserStep,
    steps,
)
from app.quotas.rules.limits import Scope
from app.setup.managed import Managed
from app.setup.reading import SetupFile

NEW, CHANGED, GONE = "+", "~", "-"


@dataclass(frozen=True, slots=True)
class SetupPlan:
    """Every change. `notices`: what an operator should know, and the file does not change."""

    teams: tuple[TeamStep, ...]
    users: tuple[UserStep, ...]
    keys: tuple[KeyStep, ...]
    limits: tuple[LimitStep, ...]
    notices: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        return len(self.teams) + len(self.users) + len(self.keys) + len(self.limits)

    def lines(self) -> Iterator[str]:
        """One line a change: `+` for what is new, `~` for what is changed, `-` for what is disabled or removed."""
        for team in self.teams:
            yield _line(f"team {team.name}", [*_mark_words(team)], is_new=team.before is None)
        for user in self.users:
            yield _line(f"user {user.name}", [*_user_words(user), *_mark_words(user)], is_new=user.before is None)
        for key in self.keys:
            yield _line(f"key {'/'.join(key.name)}", [*_key_words(key), *_mark_words(key)], is_new=key.before is None)
        for limit in self.limits:
            yield _limit_line(limit)


def plan(before: SetupState, after: SetupState, file: SetupFile) -> SetupPlan:
    """The changes that lead from one set-up to the other."""
    return SetupPlan(
        tuple(steps(before.teams, after.teams)),
        tuple(steps(before.users, after.users)),
        tuple(steps(before.keys, after.keys)),
        tuple(steps(before.limits, after.limits)),
        tuple(_notices(after, file)),
    )


def whose(scope: Scope, owner: Owner) -> str:
    """`the user alice`, as messages name an owner."""
    match scope:
        case Scope.GATEWAY:
            return "the gateway"
        case Scope.DEFAULT:
            return "new users"
        case _:
            return f"the {scope} {'/'.join(owner)}"


def _notices(after: SetupState, file: SetupFile) -> Iterator[str]:
    for name in file.document.users:
        if after.users[name].disabled and not file.document.users[name].disabled:
            yield f"The user {name} is disabled, and apply enables nobody: zenmux-gateway users enable {name}"
    for user, name in file.keys:
        if after.keys[user, name].disabled and not file.keys[user, name][1].disabled:
            yield f"The key {user}/{name} is disabled, and apply enables nothing: zenmux-gateway keys enable ID"


def _line(what: str, words: list[str], *, is_new: bool) -> str:
    sign = NEW if is_new else GONE if "disabled" in words else CHANGED
    return f"{sign} {what}{': ' if words else ''}{', '.join(words)}"


def _user_words(step: UserStep) -> Iterator[str]:
    before, after = step.before or UserState(None, "member", disabled=False, managed_by=None), step.after
    assert after is not None
    if before.team != after.team:
        yield f"team {after.team}" if step.before is None else f"team {before.team or 'none'} -> {after.team or 'none'}"
    if before.role != after.role:
        yield f"role {after.role}" if step.before is None else f"role {before.role} -> {after.role}"
    if before.disabled != after.disabled:
        yield "disabled"


def _key_words(step: KeyStep) -> Iterator[str]:
    before, after = step.before or KeyState(None, None, disabled=False, managed_by=None), step.after
    assert after is not None
    if before.models != after.models:
        yield f"models {', '.join(after.models) if after.models else 'all'}"
    if before.expires_at != after.expires_at:
        yield f"expires {after.expires_at:%Y-%m-%dT%H:%M:%SZ}" if after.expires_at else "never expires"
    if before.secrets != after.secrets:
        yield "the imported key works too"
    if before.disabled != after.disabled:
        yield "disabled"


def _mark_words(step: TeamStep | UserStep | KeyStep) -> Iterator[str]:
    if step.before is not None and step.after is not None:
        yield from _new_mark(step.before.managed_by, step.after.managed_by)


def _new_mark(before: str | None, after: str | None) -> Iterator[str]:
    was, now = Managed.read(before), Managed.read(after)
    old, new = (frozenset() if each is None else each.fields for each in (was, now))
    if was is not None and now is not None and was.file != now.file:
        yield f"managed by {was.file} -> {now.file}"
    elif (was is None) != (now is None):
        yield f"managed by {now.file}" if now is not None else "no longer managed"
    elif new - old:
        yield f"the file now sets {', '.join(sorted(new - old))}"
    if now is not None and old - new:
        yield f"the file no longer sets {', '.join(sorted(old - new))}"


def _limit_line(step: LimitStep) -> str:
    at, before, after = step.name, step.before, step.after
    where = f"of {whose(at.scope, at.owner)}"
    if before is None:
        assert after is not None
        return f"{NEW} limit {_written(at, after.amount, shadow=after.shadow)} {where}"
    was = _written(at, before.amount, shadow=before.shadow)
    if after is None:
        return f"{GONE} limit {was} {where}: raised, because it is removed"
    words = list(_new_mark(before.managed_by, after.managed_by))
    if (before.amount, before.shadow) != (after.amount, after.shadow):
        looser = after.shadow if before.shadow != after.shadow else after.amount > before.amount
        now = _written(at, after.amount, shadow=after.shadow)
        words.insert(0, f"{'raised' if looser else 'lowered'} to {now}")
    return f"{CHANGED} limit {was} {where}: {', '.join(words)}"


def _written(at: LimitAt, amount: int, *, shadow: bool) -> str:
    return at.written(amount) + (" (shadow)" if shadow else "")
