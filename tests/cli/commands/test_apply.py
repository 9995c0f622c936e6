"""`apply` and `export` at a terminal: exit codes, what is printed, and the example of the documentation."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

EXAMPLE = Path(__file__).parents[3] / "gateway.example.yaml"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text("version: 1\nusers:\n  alice: {limits: [usd:5/day]}\nkeys:\n  alice/laptop: {}\n")
    return path


def test_a_diff_exits_with_2_while_something_would_change(cli: Cli, file: Path) -> None:
    cli("keys", "create", "--user", "bob")  # there is a database
    shown = cli("apply", "-f", str(file), "--diff", code=2)
    assert shown.stdout.splitlines() == [
        "+ user alice", "+ key alice/laptop", "+ limit usd:5.00/day of the user alice"
    ]  # fmt: skip
    assert shown.stderr == "3 would change.\n"
    applied = cli("apply", "-f", str(file))
    assert applied.stdout == shown.stdout
    key_id = cli.json("keys", "list", "--user", "alice")[0]["id"]
    assert (
        f"Made the key {key_id} (alice/laptop). Its first secret: zenmux-gateway keys rotate {key_id}" in applied.stderr
    )
    assert cli("apply", "-f", str(file), "--diff").stderr == "Nothing to change.\n"
    assert cli.json("apply", "-f", str(file)) == {"changes": [], "notices": []}
    assert cli("keys", "rotate", key_id).stdout.startswith("sk-zg-")


def test_a_broken_file_is_refused_with_its_line(cli: Cli, file: Path) -> None:
    file.write_text("version: 1\nusers:\n  alice: {tem: design}\n")
    assert (
        f"Error: {file}, line 3: users.alice.tem: there is no such field"
        in cli("apply", "-f", str(file), code=1).stderr
    )
    assert "cannot be read" in cli("apply", "-f", f"{file}.none", code=1).stderr
    assert "Say which file" in cli("apply", code=2).stderr


def test_another_door_is_refused_and_names_the_file(cli: Cli, file: Path) -> None:
    cli("apply", "-f", str(file))
    told = cli("limits", "set", "--user", "alice", "usd:9/day", code=1).stderr
    assert told == (
        "Error: A limit on usd of the user alice: the limit is set by the file gateway.yaml. "
        "Change it there, and apply the file.\n"
    )
    cli("users", "disable", "alice", "--yes")
    assert "Mind: The user alice is disabled" in cli("apply", "-f", str(file)).stderr


def test_what_is_exported_can_be_applied(cli: Cli, file: Path) -> None:
    cli("apply", "-f", str(file))
    file.write_text(cli("export").stdout)
    assert cli("apply", "-f", str(file), "--diff").stderr == "Nothing to change.\n"


def test_the_schema_describes_the_example_and_the_example_applies(cli: Cli) -> None:
    schema = json.loads(cli("apply", "--schema").stdout)
    assert set(schema["properties"]) == {
        "version", "gateway", "defaults", "teams", "users", "keys", "accounts", "oidc", "catalog"
    }  # fmt: skip
    applied = cli("apply", "-f", str(EXAMPLE))
    assert "Mind: oidc is checked, and not used yet." in applied.stderr
    assert "Mind: of accounts only limits are applied" in applied.stderr
    assert cli("apply", "-f", str(EXAMPLE), "--diff").stderr.startswith("Nothing to change.")
