"""The identity providers of gateway.yaml, with their secrets."""

import pytest

from app.settings.console.providers import GroupRule, GroupRules, Newcomers, SignInSpec
from app.setup.reading import read_setup
from app.setup.secrets import Secrets
from app.setup.sign_in import sign_in_of
from app.setup.tree import SetupError

ISSUER = "{issuer: https://id.example.com, client_id: gateway"


def sign_in(text: str) -> SignInSpec:
    file = read_setup(f"version: 1\noidc:\n{text}".encode(), "gateway.yaml")
    files = {"/run/secret": "from a file\n"}
    return sign_in_of(file, Secrets(file.tree, {"SECRET": "from the environment"}, files.__getitem__))


def test_providers_and_rules_are_read() -> None:
    found = sign_in("""\
  providers:
    company:
      issuer: https://id.example.com/realms/team
      client_id: gateway
      client_secret_env: SECRET
      label: Company login
      scopes: [openid, groups]
      groups_claim: realm_access.roles
      newcomers: groups
    other: {issuer: "http://127.0.0.1:9000", client_id: public, client_secret_file: /run/secret}
  teams: [{group: design, team: null, role: lead}, {group: "*"}]
  admin_groups: [platform]
""")
    company, other = found.providers
    assert company.client_secret is not None
    assert other.client_secret is not None
    assert company.client_secret.get_secret_value() == "from the environment"
    assert other.client_secret.get_secret_value() == "from a file"
    assert (company.label, other.label) == ("Company login", "other")
    assert (company.scopes, company.groups_claim) == (("openid", "groups"), "realm_access.roles")
    assert (company.newcomers, other.newcomers) == (Newcomers.GROUPS, Newcomers.NOBODY)
    assert found.groups == GroupRules(
        (GroupRule("design", None, "lead"), GroupRule("*", None, "member")), frozenset({"platform"})
    )
    assert found.provider("company") is company
    assert found.provider("nobody") is None
    assert sign_in("  teams: []") == SignInSpec()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"  providers:\n    a: {ISSUER}, client_secret_env: NOT_SET}}", "line 4: .*NOT_SET is not set"),
        ("  providers:\n    a: {client_id: gateway}", "line 4: .*issuer: is missing"),
        ("  providers:\n    a: {issuer: http://id.example.com, client_id: x}", "line 4: .*over https"),
        ("  providers:\n    a: {issuer: 'https://id.example.com?x=1', client_id: x}", "line 4: .*write an address"),
        ("  providers:\n    a: {issuer: id.example.com, client_id: x}", "line 4: .*write an address"),
        (f"  providers:\n    a: {ISSUER}, newcomers: all}}", "line 4"),
        (f"  providers:\n    A b: {ISSUER}}}", "line 4"),
        (f"  providers:\n    a: {ISSUER}, scopes: ['a b']}}", "line 4"),
        (f"  providers:\n    a: {ISSUER}, client_secret: x}}", "line 4: .*no such field"),
        (
            f"  providers:\n    a: {ISSUER}, client_secret_env: SECRET, client_secret_file: /run/secret}}",
            "line 4: .*not with both",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(text: str, expected: str) -> None:
    with pytest.raises(SetupError, match=f"gateway.yaml, {expected}"):
        sign_in(text)
