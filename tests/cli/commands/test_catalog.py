"""`catalog`: models as people and programs read them, files of one's own checked."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.sandbox.server import SandboxServer
from tests.cli.conftest import Cli


def test_all_models_with_what_an_image_costs(cli: Cli) -> None:
    table = cli("catalog", "show").stdout
    assert "$0.0059 to $0.2107" in next(line for line in table.splitlines() if line.startswith("gpt-image-2 "))
    assert not cli.data_dir.exists()


def test_one_model_for_programs(cli: Cli) -> None:
    model = cli.json("catalog", "show", "openai/gpt-image-2")
    assert model["name"] == "gpt-image-2"
    assert model["prices"]["image_out_nanousd_per_token"] == 30_000
    assert model["prices"]["image_out_usd_per_million_tokens"] == "30.00"
    assert model["picture_1024x1024"]["high"] == {"usd": "0.21072", "nanousd": 210_720_000}
    assert model["sizes"]["rule"] == "bounds"
    assert cli.json("catalog", "show", "gpt-image-1.5")["sizes"]["values"] == ["1024x1024", "1024x1536", "1536x1024"]


def test_one_model_for_people(cli: Cli) -> None:
    told = cli("catalog", "show", "gpt-image-2").stdout
    for words in ("multiples of 16", "ratio to 3:1", "image out $30.00", "gpt-image-2-2026-04-21", "$0.4003"):
        assert words in told
    assert "at most, before" in cli("catalog", "show", "gpt-image-2.6-flare").stdout
    assert "at most, before" not in told


def test_what_a_model_takes_in_edits_and_streams(cli: Cli, tmp_path: Path) -> None:
    assert "up to 16 images, a mask, input_fidelity high or low\n" in cli("catalog", "show", "gpt-image-1.5").stdout
    flare = cli("catalog", "show", "gpt-image-2.5-flare").stdout
    assert "up to 16 images, a mask, markup\n" in flare
    assert "with up to 3 partial images" in flare
    shown = cli.json("catalog", "show", "gpt-image-2.5-flare")
    assert shown["edits"] == {"images_max": 16, "input_fidelity": [], "markup": True}
    assert (shown["streams"], shown["partial_images_max"], shown["transparent_background"]) == (True, 3, True)
    file = tmp_path / "models.toml"
    file.write_text('[models.x]\nid = "x/x"\nparameters = ["n"]\nhold_usd = "1"\n')
    cli.environment["GATEWAY_CATALOG_FILE"] = str(file)
    shown = cli.json("catalog", "show", "x")
    assert (shown["edits"], shown["streams"], shown["partial_images_max"]) == (None, False, 0)


def test_a_model_that_ended_is_marked(cli: Cli) -> None:
    assert "2026-12-01 (over)" not in cli("catalog", "show", "gpt-image-1.5").stdout
    cli.now = datetime(2026, 12, 1, tzinfo=UTC)
    assert "2026-12-01 (over)" in cli("catalog", "show", "gpt-image-1.5").stdout


def test_the_successor_of_a_model_that_ends_is_named(cli: Cli) -> None:
    assert "then its names mean gpt-image-2.5-sunburst" in cli("catalog", "show", "gpt-image-1-mini").stdout
    assert cli.json("catalog", "show", "gpt-image-1-mini")["successor"] == "gpt-image-2.5-sunburst"
    assert cli.json("catalog", "show", "gpt-image-2")["successor"] is None


def test_what_auto_is_known_to_mean(cli: Cli) -> None:
    assert "auto means   high" in cli("catalog", "show", "gpt-image-2.6-sunburst").stdout
    assert "auto means" not in cli("catalog", "show", "gpt-image-2.6-flare").stdout
    assert cli.json("catalog", "show", "gpt-image-2.6-sunburst")["auto_quality"] == "high"


def test_a_model_that_is_not_there_is_told_with_one_that_is(cli: Cli) -> None:
    assert "Did you mean gpt-image-2?" in cli("catalog", "show", "gpt-imgae-2", code=1).stderr
    assert "retired" in cli("catalog", "show", "dall-e-3", code=1).stderr


def test_a_good_file_tells_what_it_changes(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(
        'retired = ["gpt-image-1-mini"]\n'
        '[models."qwen-image-2.0"]\nid = "qwen/qwen-image-2.0"\nprices = { per_image = "0.0289" }\n'
        '[models.secret-model]\nid = "x/secret-model"\nhold_usd = "0.5"\n'
        '[models."gpt-image-2"]\nprices = { text_in = "4", image_in = "8", image_out = "30" }\n'
    )
    told = cli("catalog", "check", str(file)).stdout
    assert "added qwen-image-2.0, $0.0289 an image" in told
    assert "added secret-model, unknown: $0.50 is held and charged for an image" in told
    assert "changed gpt-image-2, text in $4.00" in told
    assert "removed gpt-image-1-mini" in told
    answer = cli.json("catalog", "check", str(file))
    assert answer["removed"] == ["gpt-image-1-mini"]
    prices = {model["name"]: model["prices"] for model in answer["changed"]}
    assert prices["qwen-image-2.0"] == {"per_image_usd": "0.0289", "per_image_nanousd": 28_900_000}
    assert prices["secret-model"]["unknown_held_per_image_nanousd"] == 500_000_000
    cli.environment["GATEWAY_CATALOG_FILE"] = str(file)
    assert "qwen-image-2.0" in cli("catalog", "show").stdout
    assert "any" in cli("catalog", "show", "qwen-image-2.0").stdout


def test_a_file_that_changes_nothing_says_so(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text("")
    assert "nothing differs" in cli("catalog", "check", str(file)).stdout


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\n[models\n", "line 2"),
        ('[models.x]\nlike = "gpt-image-2"\nid = "x/x"\nprices = { per_image = 0.03 }\n', "line 4"),
    ],
)
def test_a_wrong_file_is_told_with_its_line(cli: Cli, tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "models.toml"
    file.write_text(text)
    error = cli("catalog", "check", str(file), code=1).stderr
    assert f"{file}, {told}" in error


def test_a_file_that_is_not_there_is_told(cli: Cli, tmp_path: Path) -> None:
    assert "No such file" in cli("catalog", "check", str(tmp_path / "x.toml"), code=1).stderr


@pytest.fixture
def zenmux(cli: Cli) -> Iterator[None]:
    """The sandbox, which lists the built-in models."""
    with SandboxServer() as server:
        cli.environment["ZENMUX_BASE_URL"] = server.url
        yield


@pytest.mark.usefixtures("zenmux")
def test_the_catalog_beside_what_zenmux_lists(cli: Cli, tmp_path: Path) -> None:
    said = cli("catalog", "compare")
    assert (said.stdout, "8 image models are the same" in said.stderr) == ("", True)
    assert cli.json("catalog", "compare")["differs"] is False
    file = tmp_path / "models.toml"
    file.write_text(
        'retired = ["gpt-image-2.6-flare"]\n'
        '[models."qwen-image-2.0"]\nid = "qwen/qwen-image-2.0"\nprices = { per_image = "0.0289" }\n'
        '[models."gpt-image-2"]\nprices = { text_in = "4.5", image_in = "8", image_out = "30" }\n'
    )
    cli.environment["GATEWAY_CATALOG_FILE"] = str(file)
    rows = [line.split() for line in cli("catalog", "compare", code=1).stdout.splitlines()[2:]]
    assert rows == [
        ["qwen/qwen-image-2.0", "not", "listed", "by", "ZenMux", "$0.0289", "an", "image"],
        ["openai/gpt-image-2", "price", "of", "prompt", "$5", "perMTokens", "$4.5"],
    ]
    shown = cli.json("catalog", "compare", code=1)
    assert (shown["lacking"], shown["vanished"]) == ([], ["qwen/qwen-image-2.0"])
    assert shown["prices"] == [
        {
            "model": "openai/gpt-image-2",
            "key": "prompt",
            "unit": "perMTokens",
            "zenmux_usd": "5",
            "catalog_usd": ["4.5"],
        }
    ]


@pytest.mark.usefixtures("zenmux")
def test_a_zenmux_that_tells_no_models_is_said(cli: Cli) -> None:
    cli.environment["ZENMUX_BASE_URL"] += "/nothing"
    assert "There is no list of models below ZENMUX_BASE_URL" in cli("catalog", "compare", code=1).stderr
