"""The `catalog` section of gateway.yaml: laid over GATEWAY_CATALOG_FILE, and every fault in it named with its line."""

from datetime import date
from pathlib import Path

import pytest

from app.errors import ConfigurationError
from app.images.catalog.catalog import Catalog, ModelSpec, load_catalog
from app.images.catalog.model_spec import ImagePrice, TokenPrices
from app.settings.settings import Settings
from app.setup.catalog import catalog_of, catalog_with
from app.setup.reading import SetupFile, bootstrap_of, read_setup
from app.setup.tree import SetupError


def setup(catalog: str) -> SetupFile:
    """A file whose catalog section begins in line 3."""
    return read_setup(f"version: 1\ncatalog:\n{catalog}".encode(), "gateway.yaml")


def laid(catalog: str, toml: str = "") -> Catalog:
    return catalog_with(load_catalog(toml), setup(catalog))


def model(catalog: Catalog, name: str) -> ModelSpec:
    found = catalog.find(name)
    assert found is not None
    return found


def test_a_section_has_everything_a_catalog_file_has() -> None:
    yaml = """\
  successor: house
  retired: [gpt-image-1.5]
  unlisted_image_tokens: 5_000
  models:
    house:
      like: gpt-image-2
      id: openai/house
      aliases: [draw]
      ends_on: 2027-06-30
      n_max: 4
      open: true
      sizes: {rule: list, values: [1024x1024, 64x64]}
    by-image:
      id: a/by-image
      prices: {per_image: "0.04"}
"""
    toml = """\
successor = "house"
retired = ["gpt-image-1.5"]
unlisted_image_tokens = 5_000
[models.house]
like = "gpt-image-2"
id = "openai/house"
aliases = ["draw"]
ends_on = 2027-06-30
n_max = 4
open = true
sizes = {rule = "list", values = ["1024x1024", "64x64"]}
[models.by-image]
id = "a/by-image"
prices = {per_image = "0.04"}
"""
    found, same = laid(yaml), load_catalog(toml)
    assert (found.models, found.retired) == (same.models, same.retired)
    assert (found.successor, found.unlisted_image_tokens) == ("house", 5000)
    assert model(found, "draw").ends_on == date(2027, 6, 30)
    assert found.find("gpt-image-1.5") is None


def test_where_both_name_a_model_gateway_yaml_wins_key_by_key() -> None:
    toml = """\
[models.gpt-image-2]
n_max = 3
prompt_chars_max = 99
[models.gpt-image-2.prices]
text_in = "1"
image_in = "1"
image_out = "1"
[models.mine]
id = "a/mine"
hold_usd = "1"
"""
    yaml = """\
  models:
    gpt-image-2: {n_max: 2}
    mine: {prices: {per_image: "0.5"}}
    like-mine: {like: mine, id: a/like-mine}
"""
    spec = model(laid(yaml, toml), "gpt-image-2")
    assert (spec.n_max, spec.prompt_chars_max, spec.prices) == (2, 99, TokenPrices(1000, 1000, 1000, None))
    for name in ("mine", "like-mine"):
        found = model(laid(yaml, toml), name)
        assert (found.prices, found.hold_nanousd) == (ImagePrice(500_000_000), None)


def test_a_model_may_be_retired_by_the_one_and_come_back_by_the_other() -> None:
    toml = 'retired = ["gpt-image-1.5"]\n'
    back = laid("  models:\n    gpt-image-1.5: {n_max: 1}\n", toml)
    assert (model(back, "gpt-image-1.5").n_max, back.is_dead("gpt-image-1.5")) == (1, False)


def test_both_files_are_those_of_the_settings(tmp_path: Path) -> None:
    toml, yaml = tmp_path / "models.toml", tmp_path / "gateway.yaml"
    toml.write_text('[models.one]\nid = "a/one"\nhold_usd = "1"\n')
    yaml.write_text("version: 1\ncatalog:\n  models:\n    two: {like: one, id: a/two}\n")
    settings = Settings(_env_file=None, catalog_file=toml, bootstrap_file=yaml)
    catalog = catalog_of(settings, bootstrap_of(settings))
    assert (model(catalog, "one").id, model(catalog, "two").id) == ("a/one", "a/two")
    assert catalog_of(settings, None).find("two") is None
    toml.write_text("[models.x\n")
    with pytest.raises(ConfigurationError, match=r"^GATEWAY_CATALOG_FILE \(.*models.toml\), line 1: "):
        catalog_of(settings, bootstrap_of(settings))


def test_a_file_without_a_section_leaves_the_catalog_as_it_is() -> None:
    catalog = load_catalog('[models.x]\nlike = "gpt-image-2"\nid = "a/x"\n')
    assert catalog_with(catalog, read_setup(b"version: 1\n", "x")) is catalog
    assert catalog_with(catalog, read_setup(b"version: 1\ncatalog:\n", "x")) is catalog


# What is wrong, the section, the line (its first one is 3), and a part of the message.
BROKEN = [
    ("an unknown key of the section", "  model: {}\n", 3, "catalog.model: unknown key"),
    (
        "an unknown key of a model",
        "  models:\n    x: {id: a/x, hold_usd: '1',\n        n_mx: 3}\n",
        5,
        "models.x.n_mx: unknown",
    ),
    (
        "a model that is a list",
        "  models:\n    y: {like: gpt-image-2, id: a/y}\n    x: [1]\n",
        5,
        "catalog.models.x: must be a table",
    ),
    ("a model without anything", "  models:\n    x:\n", 4, "catalog.models.x: must be a table"),
    ("models that are a list", "  models: [x]\n", 3, "catalog.models: must be a table"),
    ("no id", "  models:\n    x: {hold_usd: '1'}\n", 4, "catalog.models.x.id: missing; must be written provider/model"),
    (
        "a price that is a number",
        "  models:\n    x:\n      id: a/x\n      prices:\n        per_image: 0.04\n",
        7,
        "must be dollars as text",
    ),
    ("a hold that is a number", "  models:\n    x:\n      id: a/x\n      hold_usd: 1\n", 6, "must be dollars as text"),
    (
        "a price and a hold",
        "  models:\n    x:\n      id: a/x\n      hold_usd: '1'\n      prices: {per_image: '1'}\n",
        6,
        "either prices, or hold_usd",
    ),
    ("a day that is a text", "  models:\n    gpt-image-2:\n      ends_on: 'soon'\n", 5, "must be a date"),
    (
        "a day that is a moment",
        "  models:\n    gpt-image-2:\n      ends_on: 2027-01-01T10:00:00Z\n",
        5,
        "must be a date",
    ),
    ("too many images", "  models:\n    gpt-image-2:\n      n_max: 101\n", 5, "a whole number from 1 to 100"),
    ("a flag that is a text", "  models:\n    gpt-image-2:\n      open: 'yes'\n", 5, "must be true or false"),
    (
        "a word that YAML reads as false",
        "  models:\n    gpt-image-2:\n      qualities: [low, off]\n",
        5,
        "must be a list of names",
    ),
    (
        "a size that is none",
        "  models:\n    gpt-image-2:\n      sizes:\n        rule: list\n        values: [big]\n",
        7,
        "WIDTHxHEIGHT",
    ),
    (
        "like nothing",
        "  models:\n    x:\n      like: nothing\n      id: a/x\n",
        5,
        "catalog.models.x.like: names no entry",
    ),
    ("like itself", "  models:\n    x:\n      like: x\n      id: a/x\n", 5, "goes round in a circle"),
    (
        "a name of another model",
        "  models:\n    x: {like: gpt-image-2, id: a/x, aliases: [gpt-image-1.5]}\n",
        4,
        "belongs to gpt-image-1.5",
    ),
    (
        "a model that is also retired",
        "  retired: [x]\n  models:\n    x: {id: a/x, hold_usd: '1'}\n",
        3,
        "x is also in [models]",
    ),
    ("a successor that is none", "  successor: gpt-image-9\n", 3, "catalog.successor: names no entry"),
    ("a model twice", "  models:\n    x: {id: a/x}\n    x: {id: a/y}\n", 5, "is there twice; the first is in line 4"),
]


@pytest.mark.parametrize(("_", "text", "line", "message"), BROKEN, ids=[case[0] for case in BROKEN])
def test_every_fault_names_the_file_the_line_and_the_key(_: str, text: str, line: int, message: str) -> None:
    with pytest.raises(SetupError) as refused:
        laid(text)
    assert refused.value.message.startswith(f"gateway.yaml, line {line}: catalog.")
    assert message in refused.value.message


def test_a_fault_that_only_both_together_have_is_named_in_the_section() -> None:
    toml = '[models.one]\nid = "a/one"\nhold_usd = "1"\n'
    with pytest.raises(SetupError, match=r"line 5: catalog\.models\.two: the name one belongs to one"):
        laid("  models:\n    gpt-image-2: {}\n    two: {id: a/two, hold_usd: '1', aliases: [one]}\n", toml)
