"""gateway.yaml is read as it is written, and every file that is refused names the line at fault."""

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.images.catalog.catalog import load_catalog
from app.setup.catalog import catalog_with
from app.setup.reading import read_setup, read_setup_file
from app.setup.tree import SetupError
from tests.examples import examples

CATALOG = load_catalog()

WHOLE = b"""\
version: 1
gateway: {limits: [usd:300/month]}
defaults:
  limits: [images:100/day]
teams:
  design: {limits: ["usd:20/day", "concurrent:6"]}
  ops:
users:
  alice: {team: design, role: lead, shadow_limits: [usd:5/day]}
  "1234":
  5678: {team: null}
keys:
  alice/figma: {models: [openai/gpt-image-2], expires: 2027-01-31}
  by another name: {user: a/b, name: c/d, expires: 2027-01-31T18:00:00+02:00}
accounts:
  main: {key_env: ZENMUX_MAIN, weight: 2}
oidc:
  teams: [{group: grp-design, team: design, role: lead}, {group: "*", team: ops}]
  admin_groups: [grp-platform]
"""

# What is wrong, the file after `version: 1` (which is line 1), the line, and a part of the message.
BROKEN = [
    ("not YAML", "users: [1\n", 3, "not valid YAML"),
    ("a tab", "users:\n\talice: {}\n", 3, "not valid YAML"),
    ("two documents", "---\nversion: 1\n", 2, "not valid YAML"),
    ("a character that YAML does not allow", "users: {}\n# \x00\n", 3, "a character that YAML does not allow"),
    ("no text", b"users: {}\n\xff: {}\n", 3, "not UTF-8"),
    ("an unknown section", "user: {}\n", 2, "user: there is no such field"),
    ("an unknown field", "users:\n  alice:\n    tem: design\n", 4, "users.alice.tem: there is no such field"),
    ("a section that is a list", "users: [alice]\n", 2, "users: must be a mapping"),
    ("a user that is a text", "users:\n  bob: {}\n  alice: design\n", 4, "users.alice: must be a mapping"),
    (
        "a user twice",
        "users:\n  bob: {}\n  eve: {}\n  bob: {}\n",
        5,
        "users.bob: is there twice; the first is in line 3",
    ),
    ("a section twice", "users: {}\nteams: {}\nusers: {}\n", 4, "users: is there twice; the first is in line 2"),
    ("a field twice", "users:\n  bob:\n    team: a\n    team: b\n", 5, "is there twice"),
    ("a key twice", "keys:\n  a/b: {}\n  x: {user: a, name: b}\n", 4, "the key b of a is there twice"),
    ("a limit twice", "teams:\n  a:\n    limits:\n    - usd:5/day\n    - usd:5/day\n", 6, "usd:5/day is there twice"),
    (
        "a limit twice, once in the shadow",
        "teams:\n  a:\n    limits: [usd:5/day]\n    shadow_limits: [usd:5/day]\n",
        5,
        "twice",
    ),
    ("a limit that is none", "teams:\n  a:\n    limits:\n    - usd:5/day\n    - images:100\n", 6, "names no window"),
    ("limits that are a text", "teams:\n  a:\n    limits: usd:5/day\n", 4, "must be a list"),
    ("a role that is none", "users:\n  a:\n    role: boss\n", 4, "'admin', 'auditor', 'lead' or 'member'"),
    ("a team that is a number", "users:\n  a:\n    team: 12\n", 4, "put quotes around it"),
    ("a role that YAML reads as true", "users:\n  a:\n    team: yes\n", 4, "put quotes around it"),
    ("a name with spaces around it", "users:\n  ' a': {}\n", 3, "begins or ends with spaces"),
    ("a name that is too long", f"users:\n  {'a' * 81}: {{}}\n", 3, "80 are the most"),
    ("an empty name", "users:\n  '': {}\n", 3, "the name is empty"),
    ("a name with a line break", 'teams:\n  "a\\nb": {}\n', 3, "cannot be printed"),
    ("a key without a user", "keys:\n  laptop: {}\n", 3, "name the key as user/name"),
    ("a key with half an address", "keys:\n  a/: {}\n", 3, "name the key as user/name"),
    ("a duration as an expiry", "keys:\n  a/b:\n    expires: 30d\n", 4, "write a date such as 2027-01-31"),
    ("a date that is none", "keys:\n  a/b:\n    expires: 2027-02-31\n", 4, "cannot be read"),
    ("a key in the file", "accounts:\n  main:\n    key: sk-ai-v1-secret\n", 4, "there is no such field"),
    ("an account without a key", "accounts:\n  main: {weight: 2}\n", 3, "key_env or with key_file"),
    ("an account without anything", "accounts:\n  main:\n", 3, "key_env or with key_file"),
    (
        "an account's limit twice",
        "accounts:\n  a:\n    limits: [usd:5/day]\n    shadow_limits:\n    - usd:5/day\n",
        6,
        "is there twice",
    ),
    ("an account with two keys", "accounts:\n  main: {key_env: A, key_file: b}\n", 3, "key_env or with key_file"),
    (
        "an account with two management keys",
        "accounts:\n  main: {key_env: A, management_key_env: B, management_key_file: c}\n",
        3,
        "management_key_env",
    ),
    ("a variable that is none", "accounts:\n  main:\n    key_env: MAIN KEY\n", 4, "key_env"),
    ("an account without a model", "accounts:\n  main:\n    key_env: A\n    models: []\n", 5, "write null for all"),
    (
        "a weight that is too large",
        "accounts:\n  main:\n    key_env: A\n    weight: 5000\n",
        5,
        "less than or equal to 100",
    ),
    ("an address that is none", "accounts:\n  main:\n    key_env: A\n    base_url: zenmux\n", 5, "base_url"),
    (
        "a group without a name",
        "oidc:\n  teams:\n  - {group: x}\n  - {team: design}\n",
        5,
        "oidc.teams[1].group: is missing",
    ),
    (
        "an admin by a group's place",
        "oidc:\n  teams:\n  - {group: x,\n     role: admin}\n",
        5,
        "'auditor', 'lead' or 'member'",
    ),
    ("a name that is a list", "users:\n  ? [a]\n  : {}\n", 3, "a name must be one word"),
    ("a program", "users: !!python/object/apply:os.system ['true']\n", 2, "users: must be a mapping"),
    ("an endless alias", "users: &a\n  x: *a\n", 2, "nested too deeply"),
    ("an alias of nothing", "users: {}\nteams: *nope\n", 3, "undefined alias"),
    ("a deep nest", "users:\n" + "[" * 100_000, 3, "nesting depth"),
    ("a deep nest of lines", "users:\n" + "".join(f"{' ' * n}-\n" for n in range(1, 30)), 23, "nested too deeply"),
    ("too many parts", "users:\n  a: {}\nx: [" + "1," * 300_000 + "]\n", 4, "too many parts"),
    ("a file that is too large", "users: {}\n" + "# more\n" * 2_500_000, 2_396_745, "the file is too large"),
    ("an account's name that is none", "accounts:\n  Main:\n    key_env: A\n", 3, "accounts.Main: "),
    ("an account's limit that is none", "accounts:\n  a:\n    key_env: A\n    limits:\n    - usd:5\n", 6, "limits[0]"),
    ("a hash that is none", "keys:\n  a/b:\n    imported_sha256: abc\n", 4, "keys.a/b.imported_sha256"),
    ("disabled by a text", "keys:\n  a/b:\n    disabled: 'yes'\n", 4, "keys.a/b.disabled"),
    ("a catalog that is a list", "users: {}\ncatalog: [gpt-image-2]\n", 3, "catalog: must be a mapping"),
]  # fmt: skip


@pytest.mark.parametrize(("_", "text", "line", "message"), BROKEN, ids=[case[0] for case in BROKEN])
def test_every_refused_file_names_its_line(_: str, text: str | bytes, line: int, message: str) -> None:
    content = b"version: 1\n" + (text.encode() if isinstance(text, str) else text)
    with pytest.raises(SetupError) as refused:
        read_setup(content, "gateway.yaml")
    assert refused.value.message.startswith(f"gateway.yaml, line {line}: ")
    assert message in refused.value.message
    assert "sk-ai-v1" not in refused.value.message


@pytest.mark.parametrize(
    ("text", "message"), [("", "version: is missing"), ("version: 2", "version: "), ("[1]", "mapping")]
)
def test_a_file_of_another_form_is_refused(text: str, message: str) -> None:
    with pytest.raises(SetupError, match=rf"^gateway\.yaml, line 1: .*{message}"):
        read_setup(text.encode(), "gateway.yaml")


def test_all_faults_are_named_at_once_in_the_order_of_the_file() -> None:
    text = "version: 1\nusers:\n  a: {role: x}\nteams:\n  b: {tem: y}\ngateway: {limits: [z]}\n"
    with pytest.raises(SetupError) as refused:
        read_setup(text.encode(), "gateway.yaml")
    assert [line.split(": ")[0] for line in refused.value.message.splitlines()] == [
        f"gateway.yaml, line {line}" for line in (3, 5, 6)
    ]


def test_of_a_file_without_an_end_no_more_is_read_than_may_be(tmp_path: Path) -> None:
    file = tmp_path / "endless"
    file.symlink_to("/dev/zero")
    with pytest.raises(SetupError, match=rf"^{file}, line 1: the file is too large"):
        read_setup_file(file)


def test_a_flood_of_faults_is_cut() -> None:
    text = "version: 1\nusers:\n" + "".join(f"  user{number}: {{x: 1}}\n" for number in range(100))
    with pytest.raises(SetupError, match=r"80 more faults$"):
        read_setup(text.encode(), "gateway.yaml")


def test_aliases_that_repeat_each_other_are_bounded() -> None:
    laughs = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    with pytest.raises(SetupError, match=r"line \d+: it has too many parts"):
        read_setup(f"a0: &a0 [x, x, x, x, x, x, x, x, x]\n{laughs}".encode(), "gateway.yaml")


LINES = [
    *WHOLE.decode().splitlines(),
    "catalog:",
    "  models:",
    "    house:",
    "      like: gpt-image-2",
    "      id: openai/house",
    '      prices: {text_in: "4.5", image_in: "7.2", image_out: "27.125"}',
    "    gpt-image-1.5:",
    "      n_max: 3",
]
SCALARS = (
    "null",
    "true",
    "1",
    "-1.5",
    "[x]",
    "{x: 1}",
    "x",
    "'",
    "*x",
    "&x [*x]",
    "2027-02-31",
    "!!set {x}",
    "x: 1",
    "\t",
)


@st.composite
def edited(draw: st.DrawFn) -> str:
    """The whole file after a few of the things that people do to lines."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(("remove", "repeat", "move", "indent", "rename", "value", "unknown"))):
            case "remove":
                del lines[at]
            case "repeat":
                lines.insert(at, lines[at])
            case "move":
                lines.insert(draw(st.integers(0, len(lines) - 1)), lines.pop(at))
            case "indent":
                lines[at] = " " * draw(st.integers(0, 8)) + lines[at].lstrip()
            case "rename":
                lines[at] = lines[at].replace(draw(st.sampled_from("aeilmst")), draw(st.sampled_from("xy :#")), 1)
            case "value":
                lines[at] = f"{lines[at].partition(':')[0]}: {draw(st.sampled_from(SCALARS))}"
            case "unknown":
                lines.insert(at, f"{lines[at][: len(lines[at]) - len(lines[at].lstrip())]}unknown: 1")
    return "\n".join(lines) + "\n"


@given(edited())
@settings(max_examples=examples(200))
def test_whatever_people_do_to_a_file_it_is_read_or_refused_with_lines_that_are_in_it(text: str) -> None:
    try:
        catalog_with(CATALOG, read_setup(text.encode(), "gateway.yaml"))
    except SetupError as refused:
        for line in refused.message.splitlines():
            place = re.match(r"gateway\.yaml(?:, line (\d+))?: .+", line)
            assert place is not None, line
            assert (place[1] is None) == line.endswith("more faults"), line
            assert place[1] is None or 1 <= int(place[1]) <= len(text.splitlines()) + 1, line


@given(st.binary(max_size=200))
def test_garbage_is_refused_with_a_line(garbage: bytes) -> None:
    with pytest.raises(SetupError) as refused:
        read_setup(b"\n" + garbage, "gateway.yaml")
    assert re.match(r"gateway\.yaml, line \d+: ", refused.value.message)


def test_a_whole_file() -> None:
    file = read_setup(WHOLE, "/etc/zenmux/gateway.yaml")
    document = file.document
    assert file.file == "gateway.yaml"
    assert file.digest == hashlib.sha256(WHOLE).hexdigest()[:12]
    assert document.gateway.limits == ["usd:300/month"]
    assert document.teams["ops"].limits == []
    assert document.users["alice"].model_fields_set == {"team", "role", "shadow_limits"}
    assert document.users["5678"].model_fields_set == {"team"}
    assert list(document.users) == ["alice", "1234", "5678"]
    assert {address: part.expires for address, (_, part) in file.keys.items()} == {
        ("alice", "figma"): datetime(2027, 2, 1, tzinfo=UTC),
        ("a/b", "c/d"): datetime(2027, 1, 31, 16, tzinfo=UTC),
    }
    assert document.accounts["main"].weight == 2
    assert [each.group for each in document.oidc.teams] == ["grp-design", "*"]


def test_lists_may_be_shared_by_an_alias() -> None:
    text = b"version: 1\nteams:\n  a: {limits: &usual [usd:5/day]}\n  b: {limits: *usual}\n"
    assert read_setup(text, "x").document.teams["b"].limits == ["usd:5/day"]
