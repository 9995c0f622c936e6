"""What there will be when a file is applied: today's set-up with the file's over it. Refuses, with the line, what the
file alone cannot tell: a team that is nowhere, a model that is not sold. Pure.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol, TypeVar

from app.admin.lookup.model_names import ModelNames
from app.admin.lookup.suggestion import suggestion
from app.admin.setup.state import KeyState, LimitAt, LimitState, Owner, SetupState, TeamState, UserState
from app.errors import AdministrationError
from app.identity.keys.format import imported_secret_sha256
from app.quotas.rules.limits import Scope
from app.setup.document import KeyPart, Limited, UserPart
from app.setup.managed import Managed
from app.setup.reading import SetupFile
from app.setup.tree import Path


class _Managed(Protocol):
    @property
    def managed_by(self) -> str | None: ...


_Name = TypeVar("_Name")
_Object = TypeVar("_Object", bound=_Managed)


@dataclass(frozen=True, slots=True)
class Rules:
    """How a file is laid over a set-up. `ambiguous`: names that several keys of one user have. `ids`: those of all
    teams and users; no name may hide one. `secrets`: hashes of all keys' secrets.
    """

    names: ModelNames
    now: datetime
    prune: bool = False
    ambiguous: frozenset[tuple[str, str]] = frozenset()
    ids: frozenset[str] = frozenset()
    secrets: Container[bytes] = frozenset()


def overlay(file: SetupFile, before: SetupState, rules: Rules) -> SetupState:
    """Raises SetupError with the line of the part that is at fault."""
    laying = _Laying(file, before, rules)
    laying.what_is_of_everybody()
    laying.teams()
    laying.users()
    laying.keys()
    laying.oidc()
    laying.what_is_not_mentioned()
    return laying.after


class _Laying:
    def __init__(self, file: SetupFile, before: SetupState, rules: Rules) -> None:
        self.after = before.copy()
        self._before = before
        self._file = file
        self._rules = rules
        self._limits: set[LimitAt] = set()
        self._imported: set[bytes] = set()
        self._name = file.file
        self._marks: dict[str | None, Managed | None] = {}

    def what_is_of_everybody(self) -> None:
        document = self._file.document
        self._limits_of(Scope.GATEWAY, (), document.gateway, ("gateway",))
        self._limits_of(Scope.DEFAULT, (), document.defaults, ("defaults",))
        for name, part in document.accounts.items():
            self._limits_of(Scope.ACCOUNT, (name,), part, ("accounts", name))
            for number, model in enumerate(part.models or ()):
                self._refuse_unserved(model, ("accounts", name, "models", number))

    def teams(self) -> None:
        for name, part in self._file.document.teams.items():
            was = self._before.teams.get(name)
            self._refuse_id(name, ("teams", name))
            self.after.teams[name] = TeamState(self._mark(was.managed_by if was else None, set(), is_new=was is None))
            self._limits_of(Scope.TEAM, (name,), part, ("teams", name))

    def users(self) -> None:
        defaults = self._defaults()
        for name, part in self._file.document.users.items():
            path: Path = ("users", name)
            self._refuse_id(name, path)
            if part.team is not None:
                self._refuse_unknown_team(part.team, (*path, "team"))
            self.after.users[name] = self._user(self._before.users.get(name), part)
            if name not in self._before.users:
                self._copy_defaults(name, defaults)
            self._limits_of(Scope.USER, (name,), part, path)

    def _user(self, was: UserState | None, part: UserPart) -> UserState:
        fields = part.model_fields_set & {"team", "role"}
        now = was or UserState(None, "member", disabled=False, managed_by=None)
        now = replace(now, disabled=now.disabled or part.disabled, **{field: getattr(part, field) for field in fields})
        mark = self._mark(now.managed_by, fields | ({"state"} if part.disabled else set()), is_new=was is None)
        return replace(now, managed_by=mark)

    def _copy_defaults(self, user: str, defaults: Sequence[tuple[LimitAt, LimitState]]) -> None:
        """As every way to make a user does."""
        for at, limit in defaults:
            self.after.limits[at._replace(scope=Scope.USER, owner=(user,))] = replace(limit, managed_by=None)

    def _defaults(self) -> list[tuple[LimitAt, LimitState]]:
        """The defaults that are left when the file is applied."""
        found = [(at, limit) for at, limit in self.after.limits.items() if at.scope is Scope.DEFAULT]
        return [(at, limit) for at, limit in found if at in self._limits or not self._is_pruned(limit.managed_by)]

    def keys(self) -> None:
        for address, (path, part) in self._file.keys.items():
            user, name = address
            if user not in self.after.users:
                self._file.tree.refuse(path, f"there is no user {user}; add one under users")
            if address in self._rules.ambiguous:
                self._file.tree.refuse(path, f"{user} has several keys named {name}; disable all but one of them")
            self.after.keys[address] = self._key(self._before.keys.get(address), part, path)
            self._limits_of(Scope.KEY, address, part, path)

    def _key(self, was: KeyState | None, part: KeyPart, path: Path) -> KeyState:
        now = was or KeyState(None, None, disabled=False, managed_by=None)
        fields = set[str]()
        if "models" in part.model_fields_set:
            fields.add("models")
            now = replace(now, models=self._models(part, path))
        if "expires" in part.model_fields_set:
            fields.add("expires")
            if was is None and part.expires is not None and part.expires <= self._rules.now:
                self._file.tree.refuse((*path, "expires"), "the key would have expired already")
            now = replace(now, expires_at=part.expires)
        if part.disabled:
            fields.add("state")
            now = replace(now, disabled=True)
        if part.imported_sha256 is not None:
            now = replace(now, secrets=now.secrets | {self._secret(part.imported_sha256, now, path)})
        return replace(now, managed_by=self._mark(now.managed_by, fields, is_new=was is None))

    def _secret(self, token_sha256: str, key: KeyState, path: Path) -> bytes:
        secret = imported_secret_sha256(token_sha256)
        if secret in self._imported or (secret in self._rules.secrets and secret not in key.secrets):
            self._file.tree.refuse((*path, "imported_sha256"), "another key has this one already")
        self._imported.add(secret)
        return secret

    def _models(self, part: KeyPart, path: Path) -> tuple[str, ...] | None:
        if part.models is None:
            return None
        if not part.models:
            self._file.tree.refuse((*path, "models"), "a key without any model could do nothing; write null for all")
        ids = set[str]()
        for number, model in enumerate(part.models):
            with self._with_line((*path, "models", number)):
                ids.add(self._rules.names.id_of(model))
        return tuple(sorted(ids))

    def oidc(self) -> None:
        for number, each in enumerate(self._file.document.oidc.teams):
            if each.team is not None:
                self._refuse_unknown_team(each.team, ("oidc", "teams", number, "team"))

    def _limits_of(self, scope: Scope, owner: Owner, part: Limited, path: Path) -> None:
        for field, shadow in (("limits", False), ("shadow_limits", True)):
            for number, text in enumerate(getattr(part, field)):
                here = (*path, field, number)
                with self._with_line(here):
                    written = self._rules.names.limit_of(text)
                at = LimitAt(scope, owner, written.unit, written.window, written.model)
                if at in self._limits:
                    self._file.tree.refuse(here, "another limit is for the same unit, window and model; leave one")
                self._limits.add(at)
                was = self._before.limits.get(at)
                mark = self._mark(was.managed_by if was else None, {"limit"}, is_new=was is None)
                self.after.limits[at] = LimitState(written.amount, shadow, mark)

    def what_is_not_mentioned(self) -> None:
        """Its fields are free from now on. With --prune, what the file made is disabled, and its limits go."""
        for name, team in self._dropped(self._before.teams, self._file.document.teams):
            self.after.teams[name] = TeamState(self._mark_of_dropped(team.managed_by))
        for name, user in self._dropped(self._before.users, self._file.document.users):
            disabled = user.disabled or self._is_pruned(user.managed_by)
            self.after.users[name] = replace(user, disabled=disabled, managed_by=self._mark_of_dropped(user.managed_by))
        for address, key in self._dropped(self._before.keys, self._file.keys):
            disabled = key.disabled or self._is_pruned(key.managed_by)
            self.after.keys[address] = replace(key, disabled=disabled, managed_by=self._mark_of_dropped(key.managed_by))
        for at, limit in self._dropped(self._before.limits, self._limits):
            if self._is_pruned(limit.managed_by) and not self._owner_is_disabled(at):
                del self.after.limits[at]
            else:
                self.after.limits[at] = replace(limit, managed_by=self._mark_of_dropped(limit.managed_by))

    def _dropped(self, objects: Mapping[_Name, _Object], mentioned: Container[_Name]) -> list[tuple[_Name, _Object]]:
        """What this file has managed and does not mention any more."""
        found = []
        for name, each in objects.items():
            managed = self._managed(each.managed_by)
            if managed is not None and managed.file == self._name and name not in mentioned:
                found.append((name, each))
        return found

    def _managed(self, managed_by: str | None) -> Managed | None:
        """Thousands of objects have the same few marks."""
        if managed_by not in self._marks:
            self._marks[managed_by] = Managed.read(managed_by)
        return self._marks[managed_by]

    def _mark(self, managed_by: str | None, fields: set[str], *, is_new: bool) -> str:
        was = self._managed(managed_by)
        made = is_new or (was is not None and was.file == self._name and was.made)
        return Managed(self._name, made, frozenset(fields)).text

    def _mark_of_dropped(self, managed_by: str | None) -> str | None:
        """Without --prune it stays known that the file made it."""
        managed = self._managed(managed_by)
        if managed is None or self._rules.prune or not managed.made:
            return None
        return replace(managed, fields=frozenset()).text

    def _is_pruned(self, managed_by: str | None) -> bool:
        managed = self._managed(managed_by)
        return self._rules.prune and managed is not None and managed.file == self._name and managed.made

    def _owner_is_disabled(self, at: LimitAt) -> bool:
        """Its limits stay, for the day somebody enables it."""
        match at.scope:
            case Scope.USER:
                return self.after.users[at.owner[0]].disabled
            case Scope.KEY:
                user, name = at.owner
                return self.after.keys[user, name].disabled
            case _:
                return False

    def _refuse_id(self, name: str, path: Path) -> None:
        if name in self._rules.ids:
            self._file.tree.refuse(path, "is the id of another one; choose another name")

    def _refuse_unserved(self, model: str, path: Path) -> None:
        """An account compares words: an alias would serve nothing."""
        with self._with_line(path):
            id_ = self._rules.names.id_of(model)
        if model not in (id_, id_.partition("/")[2]):
            self._file.tree.refuse(path, f"an account takes no other name of a model than its id; write {id_}")

    def _refuse_unknown_team(self, team: str, path: Path) -> None:
        if team not in self.after.teams:
            close = suggestion(team, self.after.teams)
            self._file.tree.refuse(path, f"there is no team {team}; add it under teams.{close}")

    @contextmanager
    def _with_line(self, path: Path) -> Iterator[None]:
        try:
            yield
        except AdministrationError as error:
            self._file.tree.refuse(path, error.message)
