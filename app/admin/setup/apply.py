"""The use cases of gateway.yaml: show what applying it would change, and apply it, all in one transaction."""

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from app.admin.access.permissions import Permission, permit
from app.admin.lookup.model_names import ModelNames
from app.admin.operator import Operator
from app.admin.setup.overlay import Rules, overlay
from app.admin.setup.plan import SetupPlan, plan
from app.admin.setup.state import LimitAt, LimitState
from app.admin.setup.today import Today, disabled_since, read_today
from app.database.changes import Change, lock_changes
from app.identity.keys.format import PUBLIC_ID_BYTES, new_public_id
from app.identity.keys.many import KeyRow, add_imported_secrets, write_keys
from app.identity.people.many import TeamRow, UserRow, write_teams, write_users
from app.quotas.limits.many import LimitRow, write_limits
from app.quotas.rules.limits import Limit, Scope
from app.setup.reading import SetupFile


@dataclass(frozen=True, slots=True)
class Applied:
    """What was changed. `unclaimed`: the keys that were made, by user and name, with their ids; nobody has their
    secrets yet.
    """

    plan: SetupPlan
    unclaimed: tuple[tuple[tuple[str, str], str], ...]


def plan_setup(operator: Operator, file: SetupFile, names: ModelNames, *, prune: bool = False) -> SetupPlan:
    """What applying the file would change. Changes nothing. Raises SetupError with the line at fault."""
    permit(operator.principal, Permission.OPERATE)
    with operator.reading() as connection:
        return _plan(read_today(connection), file, _rules(operator, names, prune=prune))


def apply_setup(operator: Operator, file: SetupFile, names: ModelNames, *, prune: bool = False) -> Applied:
    """Applies the file: all of it, or nothing. The list of changes shows `file:<digest>` as the actor.

    Raises SetupError with the line at fault.
    """
    permit(operator.principal, Permission.OPERATE)
    operator = replace(operator, actor=f"file:{file.digest}")
    rules = _rules(operator, names, prune=prune)
    with operator.reading() as connection:
        today = read_today(connection)
        expected = _plan(today, file, rules)
        if not expected.count:
            return Applied(expected, ())
    with operator.writing() as connection:
        lock_changes(connection)
        now = read_today(connection)
        # Planning thousands of objects takes longer than writing them, and others wait for the lock.
        changes = expected if now == today else _plan(now, file, rules)
        unclaimed = _Writing(connection, operator, now).write(changes)
    return Applied(changes, unclaimed)


def _rules(operator: Operator, names: ModelNames, *, prune: bool) -> Rules:
    return Rules(names, operator.now, prune)


def _plan(today: Today, file: SetupFile, rules: Rules) -> SetupPlan:
    ids = frozenset({team.id for team in today.teams.values()} | {user.id for user in today.users.values()})
    rules = replace(rules, ambiguous=today.ambiguous, ids=ids, secrets=today.secrets)
    return plan(today.state, overlay(file, today.state, rules), file)


class _Writing:
    """One transaction. Limits come last: requests wait while they are changed."""

    def __init__(self, connection: Connection, operator: Operator, today: Today) -> None:
        self._connection = connection
        self._operator = operator
        self._today = today
        self._change: Change = operator.change()

    def write(self, changes: SetupPlan) -> tuple[tuple[tuple[str, str], str], ...]:
        """Returns the keys that were made."""
        self._write_teams(changes)
        self._write_users(changes)
        unclaimed = self._write_keys(changes)
        self._write_limits(changes)
        return unclaimed

    def _write_teams(self, changes: SetupPlan) -> None:
        steps = []
        for step in changes.teams:
            assert step.after is not None
            team = self._today.teams.get(step.name)
            team_id = team.id if team else f"team_{self._change.new_id()}"
            was = TeamRow(team.id, team.name, team.managed_by) if team else None
            steps.append((was, TeamRow(team_id, step.name, step.after.managed_by)))
            self._today.owners[Scope.TEAM, (step.name,)] = team_id
        write_teams(self._connection, steps, self._change)

    def _write_users(self, changes: SetupPlan) -> None:
        steps = []
        for step in changes.users:
            after = step.after
            assert after is not None
            user = self._today.users.get(step.name)
            user_id = user.id if user else f"user_{self._change.new_id()}"
            was = None
            if user is not None:
                was = UserRow(user.id, user.name, user.team_id, user.role, user.disabled_at, user.managed_by)
            team_id = None if after.team is None else self._today.owners[Scope.TEAM, (after.team,)]
            disabled_at = disabled_since(user, disabled=after.disabled, now=self._change.now)
            steps.append((was, UserRow(user_id, step.name, team_id, after.role, disabled_at, after.managed_by)))
            self._today.owners[Scope.USER, (step.name,)] = user_id
        write_users(self._connection, steps, self._change)

    def _write_keys(self, changes: SetupPlan) -> tuple[tuple[tuple[str, str], str], ...]:
        steps, unclaimed, imported = [], [], list[tuple[str, bytes]]()
        for step in changes.keys:
            after, (user, name) = step.after, step.name
            assert after is not None
            key = self._today.keys.get(step.name)
            key_id = key.id if key else new_public_id(self._operator.random_bytes(PUBLIC_ID_BYTES))
            user_id, was = self._today.owners[Scope.USER, (user,)], None
            role = key.role if key else None
            if key is not None:
                was = KeyRow(key.id, user_id, name, key.models, key.expires_at, key.disabled_at, role, key.managed_by)
            elif not after.secrets:
                unclaimed.append((step.name, key_id))
            disabled_at = disabled_since(key, disabled=after.disabled, now=self._change.now)
            now = KeyRow(key_id, user_id, name, after.models, after.expires_at, disabled_at, role, after.managed_by)
            if now != was:
                steps.append((was, now))
            before = step.before.secrets if step.before else frozenset[bytes]()
            imported += [(key_id, secret) for secret in after.secrets - before]
            self._today.owners[Scope.KEY, step.name] = key_id
        write_keys(self._connection, steps, self._change)
        add_imported_secrets(self._connection, imported, self._change)
        return tuple(unclaimed)

    def _write_limits(self, changes: SetupPlan) -> None:
        steps: list[tuple[LimitRow | None, LimitRow | None]] = []
        for step in changes.limits:
            at, after, was = step.name, step.after, self._today.limits.get(step.name)
            scope_id = self._today.owner_id(at.scope, at.owner)
            assert scope_id is not None
            now = None
            if after is not None:
                now = LimitRow(was.id if was else None, _limit(at, scope_id, after), after.managed_by)
            steps.append((was, now))
        write_limits(self._connection, steps, self._change)


def _limit(at: LimitAt, scope_id: str, state: LimitState | None) -> Limit:
    amount, shadow = (0, False) if state is None else (state.amount, state.shadow)
    return Limit(at.unit, amount, at.window, at.scope, scope_id, at.model, shadow)
