"""Use cases of limits: set, remove, list, explain."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from app.admin.access.leads import check_amounts, check_owner
from app.admin.access.permissions import Permission, Reach, covers, permit
from app.admin.access.reaching import key_for, sees_team, team_for, user_for
from app.admin.operator import Operator
from app.admin.views import LimitView, written_limit
from app.database.changes import Change
from app.database.clock import to_ms
from app.errors import InvalidValue, NotFound
from app.identity.keys.keys import list_keys
from app.identity.people.teams import list_teams
from app.identity.people.users import list_users
from app.quotas.limits import manage as administration
from app.quotas.limits.many import LimitRow, limit_with_id, read_limits
from app.quotas.rules.limits import Limit, Scope, WrittenLimit, format_limit
from app.setup.managed import refuse_managed


@dataclass(frozen=True, slots=True)
class Target:
    """Whose limits a use case is about. `name`: a key's id, a user's or team's name or id, the name of an account that
    the caller knows to be there; '' for the gateway and defaults.
    """

    scope: Scope
    name: str = ""


@dataclass(frozen=True, slots=True)
class TargetLimits:
    """The limits of one target after a change. `whose` is the name that messages use.

    `replaced`: limits that refused and now do not, because a shadow limit has replaced them.
    """

    whose: str
    limits: tuple[Limit, ...]
    replaced: tuple[Limit, ...] = ()


def set_limits(
    operator: Operator, target: Target, limits: Sequence[WrittenLimit], *, shadow: bool = False
) -> TargetLimits:
    """Sets limits, or changes the amounts of existing ones: all or none. What was used in the window counts.

    Raises NotFound for the target.
    """
    change = operator.change()
    with operator.writing() as connection:
        scope_id, whose = _find(operator, connection, target, Permission.SET_LIMITS)
        before = [each for each in administration.list_limits(connection, target.scope, scope_id) if not each.shadow]
        _set(operator, connection, whose, [each.on(target.scope, scope_id, shadow=shadow) for each in limits], change)
        after = administration.list_limits(connection, target.scope, scope_id)
    shadows = {_place(each) for each in after if each.shadow}
    return TargetLimits(whose, tuple(after), tuple(each for each in before if _place(each) in shadows))


@dataclass(frozen=True, slots=True)
class Raise:
    """A limit allows `amount` until then; after it, what it allows without."""

    amount: int
    until: datetime

    def of(self, limit: Limit, now: datetime) -> Limit:
        """The limit, raised. Raises InvalidValue if that is over already, or no raise."""
        if self.until <= now:
            raise InvalidValue("The raise would have ended already; give a time to come.")
        if self.amount <= limit.amount:
            raise InvalidValue(f"A raise of {format_limit(limit)} must be to more than that.")
        return replace(limit, raised_amount=self.amount, raised_until_ms=to_ms(self.until))


def put_limit(
    operator: Operator, target: Target, written: WrittenLimit, raised: Raise | None = None, *, shadow: bool = False
) -> tuple[LimitView, bool]:
    """One limit as wanted; whether there was none of its unit, window and model before. Without `raised`, a raise ends.

    Raises NotFound for the target, InvalidValue for the raise, ChangedMeanwhile, and Conflict if a file sets it.
    """
    change = operator.change()
    with operator.writing() as connection:
        scope_id, whose = _find(operator, connection, target, Permission.SET_LIMITS)
        wanted = written.on(target.scope, scope_id, shadow=shadow)
        wanted = raised.of(wanted, change.now) if raised is not None else wanted
        before = _same_place(connection, wanted)
        operator.expected.check(before.as_json() if before else None)
        _set(operator, connection, whose, [wanted], change)
        after = _same_place(connection, wanted)
        assert after is not None
        return after, before is None


def raise_limits(operator: Operator, target: Target, limits: Sequence[WrittenLimit], until: datetime) -> TargetLimits:
    """Raises existing limits to these amounts until then: all or none. After it the amounts of now count again.

    Raises NotFound for the target, or for a limit that it does not have; InvalidValue for an amount that is no raise.
    """
    change = operator.change()
    with operator.writing() as connection:
        scope_id, whose = _find(operator, connection, target, Permission.SET_LIMITS)
        present = {_place(each): each for each in administration.list_limits(connection, target.scope, scope_id)}
        wanted = []
        for written in limits:
            limit = present.get(_place(written.on(target.scope, scope_id)))
            if limit is None:
                raise NotFound(f"{whose} has no limit on {written.unit} to raise; `limits list` shows those there are.")
            wanted.append(Raise(written.amount, until).of(limit, change.now))
        _set(operator, connection, whose, wanted, change)
        return TargetLimits(whose, tuple(administration.list_limits(connection, target.scope, scope_id)))


def show_limit(operator: Operator, limit_id: int) -> LimitView:
    """The limit with this id. Raises NotFound."""
    permit(operator.principal, Permission.READ_PEOPLE)
    with operator.reading() as connection:
        return _existing(operator, connection, limit_id)


def remove_limit(operator: Operator, limit_id: int) -> LimitView:
    """Removes the limit with this id. Raises NotFound, ChangedMeanwhile, and Conflict if a file sets it."""
    permit(operator.principal, Permission.REMOVE_LIMITS)
    change = operator.change()
    with operator.writing() as connection:
        view = _existing(operator, connection, limit_id)
        operator.expected.check(view.as_json())
        _refuse_managed(connection, view.name or view.limit.scope, [view.limit])
        administration.remove_limit(connection, view.limit, change=change)
        return view


def remove_limits(operator: Operator, target: Target, limits: Sequence[WrittenLimit]) -> TargetLimits:
    """Removes limits, whatever their amounts: all or none. Raises NotFound for the target, or for a limit that it does
    not have.
    """
    permit(operator.principal, Permission.REMOVE_LIMITS)
    change = operator.change()
    with operator.writing() as connection:
        scope_id, whose = _find(operator, connection, target)
        _refuse_managed(connection, whose, [each.on(target.scope, scope_id) for each in limits])
        for each in limits:
            administration.remove_limit(connection, each.on(target.scope, scope_id), change=change)
        return TargetLimits(whose, tuple(administration.list_limits(connection, target.scope, scope_id)))


def list_limits(operator: Operator, target: Target | None = None) -> list[LimitView]:
    """All limits that the role reaches, or those of one target, by scope. Raises NotFound for the target."""
    permit(operator.principal, Permission.READ_PEOPLE)
    with operator.reading() as connection:
        scope_id = _find(operator, connection, target)[0] if target is not None else None
        found = read_limits(connection, target.scope if target else None, scope_id)
        names, reached = owner_names(connection), _reached(operator, connection)
    return [LimitView(row.id or 0, row.limit, _name_of(row.limit, names)) for row in found if reached(row.limit)]


def show_target(operator: Operator, target: Target) -> TargetLimits:
    """The limits of one target, and the name that messages use. Raises NotFound."""
    with operator.reading() as connection:
        scope_id, whose = _find(operator, connection, target)
        return TargetLimits(whose, tuple(administration.list_limits(connection, target.scope, scope_id)))


def limits_of(connection: Connection, scope: Scope, scope_id: str) -> tuple[str, ...]:
    """The limits of one user, team or key, in written form."""
    return tuple(written_limit(limit) for limit in administration.list_limits(connection, scope, scope_id))


def limits_by_owner(connection: Connection, scope: Scope) -> dict[str, tuple[str, ...]]:
    """The limits of all owners in one scope, in written form, by id."""
    found: dict[str, tuple[str, ...]] = {}
    for limit in administration.list_limits(connection, scope):
        found[limit.scope_id] = (*found.get(limit.scope_id, ()), written_limit(limit))
    return found


def refuse_above_team(
    operator: Operator, connection: Connection, wanted: Sequence[Limit], present: Sequence[Limit] = ()
) -> None:
    """The part of a use case that keeps leads below their team's limits. Raises NotPermitted."""
    principal = operator.principal
    team_id = principal.team_id if principal is not None else None
    teams = administration.list_limits(connection, Scope.TEAM, team_id) if team_id is not None else []
    check_amounts(principal, wanted, present, teams)


def _set(operator: Operator, connection: Connection, whose: str, wanted: Sequence[Limit], change: Change) -> None:
    """All are of one owner."""
    present = administration.list_limits(connection, wanted[0].scope, wanted[0].scope_id) if wanted else []
    refuse_above_team(operator, connection, wanted, present)
    _refuse_managed(connection, whose, wanted)
    for limit in wanted:
        administration.set_limit(connection, limit, change=change)


def _existing(operator: Operator, connection: Connection, limit_id: int) -> LimitView:
    found = limit_with_id(connection, limit_id)
    if found is None or not _reached(operator, connection)(found.limit):
        raise NotFound(f"There is no limit with the id {limit_id}.")
    return _view(connection, found)


def _same_place(connection: Connection, limit: Limit) -> LimitView | None:
    """The limit of the same owner with the same unit, window and model."""
    rows = read_limits(connection, limit.scope, limit.scope_id)
    found = [row for row in rows if _place(row.limit) == _place(limit)]
    return _view(connection, found[0]) if found else None


def _view(connection: Connection, row: LimitRow) -> LimitView:
    assert row.id is not None
    return LimitView(row.id, row.limit, _name_of(row.limit, owner_names(connection)))


def names_of_owners(connection: Connection, limits: Sequence[Limit]) -> dict[str, str]:
    """The names of the owners of these limits, by their ids."""
    return owner_names(connection) if limits else {}


def _refuse_managed(connection: Connection, whose: str, limits: Sequence[Limit]) -> None:
    for each in limits:
        managed_by = administration.managed_by_of(connection, each)
        refuse_managed(managed_by, f"A limit on {each.unit} of {whose}", ("limit",))


def _find(
    operator: Operator, connection: Connection, target: Target, action: Permission = Permission.READ_PEOPLE
) -> tuple[str, str]:
    """The id, and the name that messages use. Raises NotFound, NotPermitted."""
    owner: str | None = None
    match target.scope:
        case Scope.KEY:
            key = key_for(operator, connection, target.name, action)
            scope_id, whose, owner = key.id, f"the key {key.id}", key.user_id
        case Scope.USER:
            user = user_for(operator, connection, target.name, action)
            scope_id, whose, owner = user.id, f"the user {user.name}", user.id
        case Scope.TEAM:
            team = team_for(operator, connection, target.name, action)
            scope_id, whose = team.id, f"the team {team.name}"
        case Scope.ACCOUNT:
            scope_id, whose = target.name, f"the account {target.name}"
        case Scope.GATEWAY:
            scope_id, whose = "", "the gateway"
        case Scope.DEFAULT:
            scope_id, whose = "", "new users"
    if action is Permission.SET_LIMITS:
        check_owner(operator.principal, target.scope, owner)
    return scope_id, whose


def _reached(operator: Operator, connection: Connection) -> Callable[[Limit], bool]:
    """Whether somebody sees a limit: one of a user, a key or a team that they see; all, if they see all."""
    if permit(operator.principal, Permission.READ_PEOPLE) is Reach.ALL:
        return lambda _: True
    owners = {(Scope.TEAM, team.id) for team in list_teams(connection) if sees_team(operator, team.id)}
    for user in list_users(connection):
        if covers(operator.principal, Permission.READ_PEOPLE, user.id, user.team_id):
            owners |= {(Scope.USER, user.id), *((Scope.KEY, key.id) for key in list_keys(connection, user.id))}
    return lambda limit: (limit.scope, limit.scope_id) in owners


def owner_names(connection: Connection) -> dict[str, str]:
    """How people know the owners of limits, by id."""
    owners = {user.id: user.name for user in list_users(connection)}
    owners |= {team.id: team.name for team in list_teams(connection)}
    return owners | {key.id: f"{key.id} ({key.user_name})" for key in list_keys(connection)}


def _name_of(limit: Limit, names: dict[str, str]) -> str | None:
    """An account's name is its id."""
    return limit.scope_id if limit.scope is Scope.ACCOUNT else names.get(limit.scope_id)


def _place(limit: Limit) -> tuple[str, str, str]:
    """Of two limits of one owner with the same unit, window and model, the later replaces the earlier."""
    return limit.unit, limit.window, limit.model
