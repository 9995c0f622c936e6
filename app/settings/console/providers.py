"""Identity providers that sign people in to the console, as an operator describes them. Reads nothing."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import SecretStr


class Newcomers(StrEnum):
    """Who becomes a user by signing in for the first time."""

    NOBODY = "nobody"
    GROUPS = "groups"  # those whom a group gives a team or a role
    EVERYBODY = "everybody"


@dataclass(frozen=True, slots=True)
class ProviderSpec:
    """One provider. `name` stands in addresses, `label` on the button. `client_secret` None: a public client.

    `groups_claim` and `name_claim` may be paths with dots. `links_by_email`: a verified address signs in the user who
    has it as a name.
    """

    name: str
    label: str
    issuer: str
    client_id: str
    client_secret: SecretStr | None = None
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    name_claim: str = "preferred_username"
    groups_claim: str = "groups"
    newcomers: Newcomers = Newcomers.NOBODY
    links_by_email: bool = False


@dataclass(frozen=True, slots=True)
class GroupRule:
    """People with this group (`*`: everybody) are in this team, with this role."""

    group: str
    team: str | None
    role: str


@dataclass(frozen=True, slots=True)
class GroupRules:
    """The first of `rules` that fits counts; a group of `admin_groups` makes an admin in any case."""

    rules: tuple[GroupRule, ...] = ()
    admin_groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SignInSpec:
    """All providers, and what their groups mean here."""

    providers: tuple[ProviderSpec, ...] = ()
    groups: GroupRules = GroupRules()

    def provider(self, name: str) -> ProviderSpec | None:
        """The provider with that name."""
        return next((each for each in self.providers if each.name == name), None)
