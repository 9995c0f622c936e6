"""The models by every name, the retired ones, and how the operator's file lies over the built-in one."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from app.errors import ConfigurationError
from app.images.catalog.catalog import Catalog, CatalogError, ModelSpec, load_catalog, read_catalog
from app.images.catalog.model_spec import EditRules, FlatTokens, ImagePrice, TokenPrices

CATALOG = load_catalog()
SOLD_BY_THE_IMAGE = '[models."qwen-image-2.0"]\nid = "qwen/qwen-image-2.0"\nprices = { per_image = "0.0289" }\n'


def model(name: str, catalog: Catalog = CATALOG) -> ModelSpec:
    spec = catalog.find(name)
    assert spec is not None
    return spec


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("gpt-image-2", "openai/gpt-image-2"),
        ("openai/gpt-image-2", "openai/gpt-image-2"),
        ("gpt-image-2-2026-04-21", "openai/gpt-image-2"),
        ("openai/gpt-image-2-2026-04-21", "openai/gpt-image-2"),
        ("gpt-image-2.5-sunburst", "openai/gpt-image-2.5-sunburst"),
        ("gpt-image-2.5-sunburst-2026-09-08", "openai/gpt-image-2.5-sunburst"),
        ("gpt-image-2.5-flare", "openai/gpt-image-2.5-flare"),
        ("gpt-image-2.5-flare-2026-09-08", "openai/gpt-image-2.5-flare"),
        ("gpt-image-2.6-sunburst", "openai/gpt-image-2.6-sunburst"),
        ("openai/gpt-image-2.6-flare", "openai/gpt-image-2.6-flare"),
        ("gpt-image-1.5", "openai/gpt-image-1.5"),
        ("gpt-image-1-mini", "openai/gpt-image-1-mini"),
        ("chatgpt-image-latest", "openai/chatgpt-image-latest"),
    ],
)
def test_a_model_is_found_by_every_name(name: str, id_: str) -> None:
    assert model(name).id == id_


@pytest.mark.parametrize(
    "name",
    ["", "gpt-image-1", "dall-e-3", "gpt-image-2:azure", "openai/gpt-image-2:azure", "azure/gpt-image-2", "GPT-IMAGE-2",
     "openai/openai/gpt-image-2", "gpt-image-2.5"],
)  # fmt: skip
def test_other_names_find_nothing(name: str) -> None:
    assert CATALOG.find(name) is None


@pytest.mark.parametrize("name", ["dall-e-2", "dall-e-3", "gpt-image-1", "openai/dall-e-3"])
def test_retired_models_are_known_as_such(name: str) -> None:
    assert CATALOG.is_dead(name)


@pytest.mark.parametrize("name", ["gpt-image-2", "openai/gpt-image-2", "gpt-image-9", "x/dall-e-3", ""])
def test_others_are_not_dead(name: str) -> None:
    assert not CATALOG.is_dead(name)


def test_the_models_that_end_say_when() -> None:
    ending = {spec.name for spec in CATALOG.models if spec.ends_on == date(2026, 12, 1)}
    assert ending == {"gpt-image-1.5", "gpt-image-1-mini", "chatgpt-image-latest"}
    assert all(spec.ends_on is None for spec in CATALOG.models if spec.name not in ending)


@pytest.mark.parametrize(("day", "over"), [(date(2026, 11, 30), False), (date(2026, 12, 1), True)])
def test_a_model_has_ended_as_its_last_date_begins(day: date, *, over: bool) -> None:
    assert model("gpt-image-1.5").has_ended(day) is over
    assert not model("gpt-image-2").has_ended(date.max)


def test_what_takes_the_place_of_models() -> None:
    assert CATALOG.successor == "gpt-image-2"
    assert {spec.successor for spec in CATALOG.models if spec.ends_on} == {"gpt-image-2.5-sunburst"}
    assert not any(spec.successor for spec in CATALOG.models if not spec.ends_on)


def test_what_v1_models_shows() -> None:
    spec = model("gpt-image-2")
    assert (spec.name, spec.owned_by) == ("gpt-image-2", "openai")
    assert datetime.fromtimestamp(spec.created, UTC) == datetime(2026, 4, 21, tzinfo=UTC)
    assert all(spec.created > 0 and spec.listed for spec in CATALOG.models)


@pytest.mark.parametrize(
    ("names", "rates"),
    [
        (["gpt-image-2", "gpt-image-2.5-sunburst", "gpt-image-2.5-flare", "gpt-image-2.6-sunburst",
          "gpt-image-2.6-flare"], TokenPrices(5000, 8000, 30_000, None)),
        (["gpt-image-1.5", "chatgpt-image-latest"], TokenPrices(5000, 8000, 32_000, 10_000)),
        (["gpt-image-1-mini"], TokenPrices(2000, 2500, 8000, None)),
    ],
)  # fmt: skip
def test_list_prices_in_nano_dollars_a_token(names: list[str], rates: TokenPrices) -> None:
    assert all(model(name).prices == rates for name in names)


@pytest.mark.parametrize(
    ("name", "transparent"),
    [("gpt-image-2", False), ("gpt-image-2.5-flare", True), ("gpt-image-2.6-sunburst", True), ("gpt-image-1.5", True),
     ("gpt-image-1-mini", True), ("chatgpt-image-latest", True)],
)  # fmt: skip
def test_who_draws_transparent_backgrounds(name: str, *, transparent: bool) -> None:
    assert model(name).transparent_background is transparent


@pytest.mark.parametrize(
    ("names", "rules"),
    [
        (["gpt-image-2"], EditRules(16, (), markup=False)),
        (["gpt-image-2.5-sunburst", "gpt-image-2.5-flare", "gpt-image-2.6-sunburst", "gpt-image-2.6-flare"],
         EditRules(16, (), markup=True)),
        (["gpt-image-1.5", "chatgpt-image-latest"], EditRules(16, ("high", "low"), markup=False)),
        (["gpt-image-1-mini"], EditRules(16, ("low",), markup=False)),
    ],
)  # fmt: skip
def test_what_each_model_takes_in_edits(names: list[str], rules: EditRules) -> None:
    assert all(model(name).edits == rules for name in names)


def test_every_listed_model_is_closed() -> None:
    assert not any(spec.open for spec in CATALOG.models), "what an unknown parameter costs could not be held"


def test_as_much_is_held_for_an_unlisted_model_as_for_the_dearest() -> None:
    assert CATALOG.unlisted_image_tokens == 23_719


class TestTheOperatorsFile:
    """GATEWAY_CATALOG_FILE."""

    def test_nothing_in_it_changes_nothing(self) -> None:
        assert load_catalog("").models == load_catalog("# only a remark\n").models == CATALOG.models

    def test_a_model_sold_by_the_image_takes_two_lines(self) -> None:
        spec = model("qwen-image-2.0", load_catalog(SOLD_BY_THE_IMAGE))
        assert spec.prices == ImagePrice(28_900_000)
        assert spec.token_rule == FlatTokens(0)
        assert (spec.id, spec.owned_by, spec.n_max, spec.open) == ("qwen/qwen-image-2.0", "qwen", 10, False)
        assert model("qwen/qwen-image-2.0", load_catalog(SOLD_BY_THE_IMAGE)) == spec

    def test_a_price_is_replaced_and_everything_else_stays(self) -> None:
        catalog = load_catalog(
            '[models."gpt-image-2".prices]\ntext_in = "4.5"\nimage_in = "7.2"\nimage_out = "27.125"\n'
        )
        spec, before = model("gpt-image-2", catalog), model("gpt-image-2")
        assert spec.prices == TokenPrices(4500, 7200, 27_125, None)
        assert (spec.sizes, spec.qualities, spec.aliases) == (before.sizes, before.qualities, before.aliases)
        assert model("gpt-image-2.5-flare", catalog) == model("gpt-image-2.5-flare"), "inherited before, not again"

    def test_an_alias_and_an_open_door(self) -> None:
        catalog = load_catalog('[models."gpt-image-2"]\naliases = ["draw"]\nopen = true\n')
        assert model("draw", catalog).id == "openai/gpt-image-2"
        assert model("draw", catalog).open
        assert catalog.find("gpt-image-2-2026-04-21") is None, "a key is replaced whole"

    def test_an_entry_like_another(self) -> None:
        spec = model("next", load_catalog('[models.next]\nlike = "gpt-image-2.5-flare"\nid = "openai/next"\n'))
        flare = model("gpt-image-2.5-flare")
        assert (spec.qualities, spec.token_rule, spec.prices) == (flare.qualities, flare.token_rule, flare.prices)
        assert (spec.aliases, spec.created, spec.ends_on) == ((), 0, None)

    def test_a_pinned_provider_is_listed_under_a_name_of_its_own(self) -> None:
        catalog = load_catalog('[models.pinned]\nlike = "gpt-image-2"\nid = "openai/gpt-image-2:azure"\n')
        assert model("pinned", catalog).id == "openai/gpt-image-2:azure"
        assert model("openai/gpt-image-2:azure", catalog).name == "pinned"
        assert model("gpt-image-2", catalog).id == "openai/gpt-image-2"

    def test_a_model_without_a_price_says_what_is_held(self) -> None:
        spec = model("new", load_catalog('[models.new]\nid = "x/new"\nhold_usd = "0.25"\n'))
        assert (spec.prices, spec.hold_nanousd) == (None, 250_000_000)
        liked = load_catalog('[models.new]\nlike = "gpt-image-2"\nid = "x/new"\nhold_usd = "0.25"\n')
        assert (model("new", liked).prices, model("new", liked).hold_nanousd) == (None, 250_000_000)

    def test_a_model_is_retired(self) -> None:
        catalog = load_catalog('retired = ["gpt-image-1.5"]\n')
        assert catalog.find("gpt-image-1.5") is None
        assert catalog.is_dead("openai/gpt-image-1.5")
        assert catalog.is_dead("dall-e-3")
        assert model("gpt-image-1-mini", catalog) == model("gpt-image-1-mini")

    def test_a_retired_model_comes_back(self) -> None:
        catalog = load_catalog('[models."gpt-image-1"]\nlike = "gpt-image-1.5"\nid = "openai/gpt-image-1"\n')
        assert not catalog.is_dead("gpt-image-1")
        assert model("gpt-image-1", catalog).id == "openai/gpt-image-1"

    def test_its_successors_are_named(self) -> None:
        catalog = load_catalog(
            'successor = "x"\n[models.x]\nlike = "gpt-image-2"\nid = "a/x"\n'
            '[models."gpt-image-2"]\nends_on = 2027-01-01\nsuccessor = "x"\n'
        )
        assert (catalog.successor, model("gpt-image-2", catalog).successor) == ("x", "x")
        assert model("x", load_catalog('[models.x]\nlike = "gpt-image-1.5"\nid = "a/x"\n')).successor is None

    def test_the_size_auto_may_be_held_to_less(self) -> None:
        bounds = (
            '[models."gpt-image-2".sizes]\nrule = "bounds"\nmultiple_of = 16\nedge_max = 3840\nratio_max = 3\n'
            "pixels_min = 655_360\npixels_max = 8_294_400\nauto_pixels_max = 1_572_864\n"
        )
        assert model("gpt-image-2", load_catalog(bounds)).sizes != model("gpt-image-2").sizes

    @pytest.mark.parametrize(
        ("text", "line", "says"),
        [
            ('# one\n\n[models."x"]\nid = "a/x"\nlike = "nothing"\n', 5, "models.x.like: names no entry"),
            ('[models.x]\nlike = "y"\nid = "a/x"\n[models.y]\nlike = "x"\nid = "a/y"\n', 5, "in a circle"),
            ('[models.x]\nlike = "x"\nid = "a/x"\n', 2, "in a circle"),
            ('[models.x]\nlike = "gpt-image-2"\nid = "openai/gpt-image-2"\n', 1, "belongs to gpt-image-2"),
            ('[models.x]\nlike = "gpt-image-2"\nid = "a/x"\naliases = ["gpt-image-1.5"]\n', 1, "gpt-image-1.5"),
            ('retired = ["x"]\n[models.x]\nid = "a/x"\nhold_usd = "1"\n', 1, "x is also in [models]"),
            ('retired = "dall-e-3"\n', 1, "must be a list"),
            ("unlisted_image_tokens = -1\n", 1, "whole number"),
            ('successor = "gpt-image-9"\n', 1, "successor: names no entry"),
            ('[models."gpt-image-2"]\nsuccessor = "gpt-image-2"\n', 2, "names no other entry"),
            ('[models."gpt-image-2"]\nsuccessor = "dall-e-3"\n', 2, "names no other entry"),
            ("model = 5\n", 1, "model: unknown key"),
            ("models = 5\n", 1, "must be a table"),
            ("[models]\nx = 5\n", 2, "models.x: must be a table"),
            ("[[models]]\nid = 5\n", 1, "must be a table"),
        ],
    )
    def test_faults_name_the_line_and_the_entry(self, text: str, line: int, says: str) -> None:
        with pytest.raises(CatalogError) as caught:
            load_catalog(text, "my.toml")
        assert str(caught.value).startswith(f"my.toml, line {line}: ")
        assert says in str(caught.value)

    @pytest.mark.parametrize(("text", "line"), [("a = 1\nb = = 2\n", 2), ("a = 1\n\nb = [\n", 3)])
    def test_a_file_that_is_not_toml_names_the_line(self, text: str, line: int) -> None:
        with pytest.raises(CatalogError, match=rf"^my\.toml, line {line}: not valid TOML: "):
            load_catalog(text, "my.toml")


def test_the_operators_catalog_lies_over_the_built_in_one(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text('[models.x]\nlike = "gpt-image-2"\nid = "openai/x"\n')
    catalog = read_catalog(file, "my file")
    assert catalog.find("x") is not None
    assert catalog.find("gpt-image-2") is not None
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match=r"my file is not UTF-8"):
        read_catalog(file, "my file")
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        read_catalog(tmp_path / "nowhere.toml", "my file")
