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
    assert cli.json("apply", "-f", str(file)) == {"changes": [], "notices": [], "models": []}
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


CATALOG = """\
version: 1
catalog:
  models:
    gpt-image-2: {n_max: 2, prices: {text_in: "4.5", image_in: "7.2", image_out: "27.125"}}
    house: {like: gpt-image-1.5, id: openai/house, hold_usd: "0.5"}
  retired: [gpt-image-1-mini]
keys: {alice/laptop: {models: [house]}}
users: {alice: {limits: ["images:3/day@house"]}}
"""
MODELS = [
    "~ model gpt-image-2: text in $5.00, image in $8.00, image out $30.00 a million tokens -> "
    "text in $4.50, image in $7.20, image out $27.125 a million tokens, n_max",
    "+ model house: unknown: $0.50 is held and charged for an image",
    "- model gpt-image-1-mini",
    "~ the name gpt-image-1-mini is retired",
]


def test_models_of_the_file_are_known_in_it_and_shown_and_are_no_changes(cli: Cli, file: Path) -> None:
    """Nothing of them is in the database: a gateway takes them from its GATEWAY_BOOTSTRAP_FILE."""
    file.write_text(CATALOG)
    applied = cli("apply", "-f", str(file))
    assert "+ key alice/laptop: models openai/house" in applied.stdout
    assert "+ limit images:3/day@openai/house of the user alice" in applied.stdout
    shown = "".join(f"  {line}\n" for line in MODELS)
    assert f"Models with this file's catalog, beside those without it:\n{shown}" in applied.stderr
    assert "Mind: catalog is checked; a gateway takes it from its GATEWAY_BOOTSTRAP_FILE" in applied.stderr
    assert cli("apply", "-f", str(file), "--diff").stderr.startswith("Nothing to change.\nModels with")
    assert cli.json("apply", "-f", str(file), "--diff") == {"changes": [], "notices": [], "models": MODELS}
    file.write_text(CATALOG.replace("n_max: 2", "n_max: 200"))
    assert f"{file}, line 4: catalog.models.gpt-image-2.n_max: must be" in cli("apply", "-f", str(file), code=1).stderr


def test_every_command_knows_the_models_of_the_file_that_the_settings_name(cli: Cli, file: Path) -> None:
    file.write_text(CATALOG)
    assert "has no model 'house'" in cli("catalog", "show", "house", code=1).stderr
    cli.environment["GATEWAY_BOOTSTRAP_FILE"] = str(file)
    assert cli.json("catalog", "show", "house")["prices"]["unknown_held_per_image_usd"] == "0.50"
    cli("limits", "set", "--user", "bob", "images:3/day@house", code=1)  # there is no bob, but there is the model
    cli("keys", "create", "--user", "bob", "--model", "house")
    assert "images:3/day@openai/house" in cli("limits", "set", "--user", "bob", "images:3/day@house").stderr
    # Another file without models knows those in use; one with models takes the file's place.
    other = file.with_name("other.yaml")
    other.write_text("version: 1\nkeys: {carol/x: {models: [house]}}\nusers: {carol: {}}\n")
    assert "models openai/house" in cli("apply", "-f", str(other)).stdout
    other.write_text("version: 1\ncatalog: {models: {gpt-image-2: {n_max: 1}}}\nkeys: {carol/x: {models: [house]}}\n")
    assert f"{other}, line 3: keys.carol/x.models[0]: The catalog has no model" in (
        cli("apply", "-f", str(other), code=1).stderr
    )


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
    assert "Mind: oidc is checked; a gateway takes it from its GATEWAY_BOOTSTRAP_FILE" in applied.stderr
    assert "Mind: of accounts only limits are applied" in applied.stderr
    assert cli("apply", "-f", str(EXAMPLE), "--diff").stderr.startswith("Nothing to change.")
