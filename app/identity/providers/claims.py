"""What an identity provider's claims say of somebody, and which team and role follow from it. Pure.

The claims have been verified by then; what they contain has not.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from app.errors import NotPermitted
from app.identity.people.roles import Role
from app.settings.console.providers import GroupRules, ProviderSpec

_TEXT_LENGTH_MAX = 255
_GROUPS_MAX = 2000
_EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody as a provider knows them. `issuer` and `subject` together are who it is; nothing else is.

    `verified_email` None: there is none, or the provider has not verified it. `groups` None: the provider says nothing
    of groups, which is not the same as being in none.
    """

    issuer: str
    subject: str
    name: str
    verified_email: str | None
    groups: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Membership:
    """The team, by name, and the role that somebody's groups mean here."""

    team: str | None
    role: Role


def read_person(claims: Mapping[str, object], provider: ProviderSpec) -> Person:
    """Raises NotPermitted, with the remedy, for claims from which nobody can be told."""
    subject = _text(claims.get("sub"))
    if subject is None:
        raise NotPermitted(f"{provider.label} did not say who you are: its claim 'sub' is no text of usual length.")
    email = _text(claims.get("email")) if claims.get("email_verified") is True else None
    name = _text(_at(claims, provider.name_claim)) or email or subject
    return Person(provider.issuer, subject, name, email, _groups(claims, provider))


def membership(groups: tuple[str, ...] | None, rules: GroupRules) -> Membership | None:
    """What the groups mean. None: nothing, because the provider says nothing of groups, or no rule is about groups."""
    if groups is None or not (rules.rules or rules.admin_groups):
        return None
    found = next((rule for rule in rules.rules if rule.group == _EVERYBODY or rule.group in groups), None)
    team, role = (None, Role.MEMBER) if found is None else (found.team, Role(found.role))
    return Membership(team, Role.ADMIN if rules.admin_groups.intersection(groups) else role)


def is_mentioned(groups: tuple[str, ...] | None, rules: GroupRules) -> bool:
    """Whether a group of theirs stands in the rules by its name."""
    named = rules.admin_groups | {rule.group for rule in rules.rules}
    return groups is not None and not named.isdisjoint(groups)


def _groups(claims: Mapping[str, object], provider: ProviderSpec) -> tuple[str, ...] | None:
    elsewhere = claims.get("_claim_names")
    is_elsewhere = isinstance(elsewhere, Mapping) and provider.groups_claim in elsewhere
    if is_elsewhere or claims.get("hasgroups") in (True, "true"):
        raise NotPermitted(
            f"You are in more groups than {provider.label} lists in a token, so nobody can tell what you may do here. "
            "Have it list only the groups that are assigned to this application, or use its application roles."
        )
    found = _at(claims, provider.groups_claim)
    if found is None:
        return None
    groups = [found] if isinstance(found, str) else found
    if not isinstance(groups, list) or len(groups) > _GROUPS_MAX or any(_text(each) is None for each in groups):
        raise NotPermitted(
            f"The claim {provider.groups_claim!r} of {provider.label} is no list of up to {_GROUPS_MAX} names. Name "
            "the right claim as groups_claim, or have the provider send fewer groups."
        )
    return tuple(groups)


def _at(claims: Mapping[str, object], path: str) -> object:
    """The claim of that name; else what the path with dots leads to. None if there is nothing."""
    if path in claims:
        return claims[path]
    found: object = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _text(value: object) -> str | None:
    """A printable text of usual length, or None."""
    if not isinstance(value, str):
        return None
    text = value.strip()
    return text if text and len(text) <= _TEXT_LENGTH_MAX and text.isprintable() else None
