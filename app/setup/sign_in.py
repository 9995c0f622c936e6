"""The identity providers of gateway.yaml, with their secrets, and what their groups mean. Pure."""

from app.settings.console.providers import GroupRule, GroupRules, Newcomers, ProviderSpec, SignInSpec
from app.setup.document import ProviderPart
from app.setup.reading import SetupFile
from app.setup.secrets import Secrets
from app.setup.tree import Path


def sign_in_of(file: SetupFile, secrets: Secrets) -> SignInSpec:
    """In the order of the file. Raises SetupError with the line of a provider whose secret is not there."""
    oidc = file.document.oidc

    def spec(name: str, part: ProviderPart) -> ProviderSpec:
        path: Path = ("oidc", "providers", name)
        return ProviderSpec(
            name=name,
            label=part.label or name,
            issuer=part.issuer,
            client_id=part.client_id,
            client_secret=secrets.find(path, part.client_secret_env, part.client_secret_file),
            scopes=tuple(part.scopes),
            name_claim=part.name_claim,
            groups_claim=part.groups_claim,
            newcomers=Newcomers(part.newcomers),
            links_by_email=part.links_by_email,
        )

    rules = tuple(GroupRule(each.group, each.team, each.role) for each in oidc.teams)
    return SignInSpec(
        tuple(spec(name, part) for name, part in oidc.providers.items()),
        GroupRules(rules, frozenset(oidc.admin_groups)),
    )
