"""A LiteLLM proxy as a gateway.yaml, and what of it has no equivalent. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from app.admin.litellm.limits import written_limits
from app.admin.litellm.models import Models
from app.admin.litellm.names import Names
from app.admin.litellm.objects import LitellmKey, LitellmOwner, LitellmTeam, LitellmUser, Proxy
from app.admin.litellm.report import ImportReport
from app.images.catalog.catalog import Catalog

_ROLES: Final = {
    "proxy_admin": "admin",
    "proxy_admin_viewer": "auditor",
    "internal_user": "member",
    "internal_user_viewer": "member",
}
_IMAGE_ROUTES: Final = frozenset({"llm_api_routes", "openai_routes", "*", "/*", "/v1/*"})
_NO_EQUIVALENT: Final = frozenset(
    {
        *("access_group_ids", "agent_id", "aliases", "allowed_cache_controls", "auto_rotate", "budget_fallbacks"),
        *("config", "guardrails", "model_aliases", "object_permission_id", "organization_id", "permissions"),
        *("policies", "project_id", "router_settings", "rotation_interval", "sso_user_id", "tags"),
    }
)
_NO_DEFAULT_MODELS: Final = "no-default-models"
_MASTER_USER: Final = "default_user_id"


@dataclass(frozen=True, slots=True)
class Imported:
    """`document` is the content of a gateway.yaml."""

    document: dict[str, Any]
    report: ImportReport


def translate(proxy: Proxy, catalog: Catalog, now: datetime) -> Imported:
    """What can be carried over. Never allows more than the proxy did: what is in doubt is smaller or left out."""
    translating = _Translating(proxy, Models(catalog, proxy.deployments), now)
    limits = dict(translating.settings())
    teams, users, keys = translating.teams(), translating.users(), translating.keys()
    sections = {**limits, "teams": teams, "users": users | translating.more_users, "keys": keys}
    translating.models(catalog)
    document = {"version": 1} | {name: section for name, section in sections.items() if section}
    return Imported(document, translating.report)


class _Translating:
    def __init__(self, proxy: Proxy, models: Models, now: datetime) -> None:
        self.report = ImportReport()
        self.more_users: dict[str, dict[str, Any]] = {}  # owners of keys that are no one person's
        self._proxy = proxy
        self._models = models
        self._now = now
        self._user_names = Names()
        self._teams: dict[str, tuple[LitellmTeam, str]] = {}
        self._users: dict[str, tuple[LitellmUser, str]] = {}
        self._key_names: dict[str, Names] = {}
        self._owners: dict[tuple[str | None, str | None], str] = {}

    def settings(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Limits of everybody together, and of new users."""
        settings = self._proxy.settings
        litellm, general = (_mapping(settings, name) for name in ("litellm_settings", "general_settings"))
        everybody = {
            "max_budget": litellm.get("max_budget"),
            "budget_duration": litellm.get("budget_duration"),
            "max_parallel_requests": general.get("global_max_parallel_requests"),
        }
        new_users = {
            "max_budget": litellm.get("max_internal_user_budget"),
            "budget_duration": litellm.get("internal_user_budget_duration"),
            **_mapping(litellm, "default_internal_user_params"),
        }
        for section, name, said in (
            ("gateway", "litellm_settings", everybody),
            ("defaults", "default_internal_user_params", new_users),
        ):
            try:
                limits = written_limits(LitellmOwner.model_validate(said), self._models, self._note("setting", name))
            except ValidationError:
                self.report.add("setting", name, "budget", "left out: it is not as LiteLLM writes it")
                continue
            yield section, {"limits": limits} if limits else {}
        used = {"max_budget", "budget_duration", "max_internal_user_budget", "internal_user_budget_duration"}
        for name in sorted(set(litellm) - used - {"default_internal_user_params"}):
            self.report.add("setting", name, "litellm_settings", "left out: no equivalent, or another setting here")
        for name in sorted(set(general) - {"master_key", "database_url", "global_max_parallel_requests"}):
            self.report.add("setting", name, "general_settings", "left out: no equivalent, or another setting here")
        for name in sorted(set(settings) - {"litellm_settings", "general_settings", "environment_variables"}):
            self.report.add("setting", name, name, "left out: no equivalent, or another setting here")

    def teams(self) -> dict[str, dict[str, Any]]:
        names, found = Names(), {}
        for team in self._proxy.teams:
            name = names.give(team.team_alias, team.team_id)
            self._teams[team.team_id] = (team, name)
            found[name] = self._limited(team, "team", name)
            if team.blocked:
                self.report.add("team", name, "blocked", "its keys are disabled: a team itself cannot be")
            if any(each.get("litellm_budget_table") for each in team.team_memberships):
                self.report.add("team", name, "team_memberships", "left out: budgets of one member in one team")
        return found

    def users(self) -> dict[str, dict[str, Any]]:
        found = {}
        in_use = {key.user_id for key in self._proxy.keys}
        for user in self._proxy.users:
            if user.user_id == _MASTER_USER and _MASTER_USER not in in_use:
                continue
            name = self._user_names.give(user.user_alias, user.user_email, user.user_id)
            self._users[user.user_id] = (user, name)
            team = self._team_of(user)
            part: dict[str, Any] = {} if team is None else {"team": self._teams[team][1]}
            role = self._role(user, team, name)
            if role != "member":
                part["role"] = role
            if len([each for each in user.teams if each in self._teams]) > 1:
                self.report.add("user", name, "teams", "in the first one only: a user has one team here")
            found[name] = part | self._limited(user, "user", name)
        return found

    def keys(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for key in self._proxy.keys:
            owner = self._owner(key)
            name = self._key_names.setdefault(owner, Names()).give(key.key_alias, key.key_name, key.token[:8])
            shown = f"{owner}/{name}"
            why = self._why_not(key)
            models = self._allowed(key)
            if why is None and models is not None and not models:
                why = "none of its models makes images here"
            if why is not None:
                self.report.add("key", shown, "key", f"left out: {why}")
                continue
            part: dict[str, Any] = {"user": owner, "name": name} if "/" in owner else {}
            if models is not None:
                part["models"] = sorted(models)
            if key.expires is not None:
                part["expires"] = key.expires
            if self._is_blocked(key):
                part["disabled"] = True
            part["imported_sha256"] = key.token.lower()
            found[f"key {len(found) + 1}" if "/" in owner else shown] = part | self._limited(key, "key", shown)
        return found

    def models(self, catalog: Catalog) -> None:
        """Says of each name in the model list what callers must do."""
        for name in dict.fromkeys(each.model_name for each in self._proxy.deployments):
            ids = ", ".join(sorted(self._models.ids(name)))
            if not ids:
                self.report.add("model", name, "model_list", "left out: it makes no images here")
            elif catalog.is_dead(name):
                self.report.add("model", name, "model_list", f"retired: {ids} takes its place")
            elif catalog.find(name) is None:
                note = f"ask for {ids}, or make this name an alias of it in GATEWAY_CATALOG_FILE"
                self.report.add("model", name, "model_list", note)

    def _limited(self, owner: LitellmOwner, what: str, name: str) -> dict[str, list[str]]:
        note = self._note(what, name)
        limits = written_limits(owner, self._models, note)
        if owner.spend:
            self.report.add(what, name, "spend", "not carried over: budgets begin anew")
        for field in sorted(_NO_EQUIVALENT & owner.others):
            note(field, "left out: no equivalent")
        if owner.metadata.keys() - {"model_rpm_limit", "model_tpm_limit"}:
            note("metadata", "left out: no equivalent")
        return {"limits": limits} if limits else {}

    def _note(self, what: str, name: str) -> Callable[[str, str], None]:
        return lambda field, note: self.report.add(what, name, field, note)

    def _team_of(self, user: LitellmUser) -> str | None:
        return next((each for each in user.teams if each in self._teams), None)

    def _role(self, user: LitellmUser, team: str | None, name: str) -> str:
        if user.user_id == _MASTER_USER:  # whoever has the master key: no person
            return "member"
        role = _ROLES.get(user.user_role or "internal_user", "member")
        if role == "member" and team is not None:
            members = self._teams[team][0].members_with_roles
            if any(each.user_id == user.user_id and each.role == "admin" for each in members):
                role = "lead"
        if user.user_role not in (None, "internal_user") or role == "lead":
            self.report.add("user", name, "user_role", f"became the role {role}")
        return role

    def _owner(self, key: LitellmKey) -> str:
        """The user a key belongs to here. LiteLLM counts a key of a team for the team, and not for the person."""
        person = self._users.get(key.user_id or "")
        team = self._teams.get(key.team_id or "")
        if person is not None and (team is None or self._team_of(person[0]) == key.team_id):
            if team is not None and (person[0].max_budget is not None):
                self.report.add("user", person[1], "max_budget", "also counts keys of the team, which allows less")
            if team is None and key.team_id is not None:
                self.report.add("user", person[1], "team_id", "a key's team is not listed: the key is in none")
            return person[1]
        at = (key.user_id, key.team_id)
        if at not in self._owners:
            said = f"{person[1] if person else key.user_id or 'keys'}{f' ({team[1]})' if team else ''}"
            name = self._owners[at] = self._user_names.give(said)
            self.more_users[name] = {} if team is None else {"team": team[1]}
            self.report.add("user", name, "key", "made for keys of no listed person, or of a second team")
        return self._owners[at]

    def _why_not(self, key: LitellmKey) -> str | None:
        if key.expires is not None and key.expires <= self._now:
            return "it has expired"
        if key.key_type in ("management", "read_only"):
            return f"it is for {key.key_type} routes"
        routes = key.allowed_routes
        if routes and not any(route in _IMAGE_ROUTES or "images" in route for route in routes):
            return "its allowed_routes have no images"
        return None

    def _allowed(self, key: LitellmKey) -> frozenset[str] | None:
        """The models that the key and its team, or else its person, may use; None: every model."""
        found = self._models.allowed(key.models)
        person, team = self._users.get(key.user_id or ""), self._teams.get(key.team_id or "")
        owner: LitellmOwner | None = team[0] if team else person[0] if person else None
        if owner is None:
            return found
        of_owner = frozenset() if _NO_DEFAULT_MODELS in owner.models else self._models.allowed(owner.models)
        if found is None or of_owner is None:
            return of_owner if found is None else found
        return found & of_owner

    def _is_blocked(self, key: LitellmKey) -> bool:
        team = self._teams.get(key.team_id or "")
        return bool(key.blocked or (team and team[0].blocked))


def _mapping(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = settings.get(name)
    return found if isinstance(found, dict) else {}
