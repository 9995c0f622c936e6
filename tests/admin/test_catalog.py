"""What a model costs and accepts, and how catalogs differ."""

from datetime import date
from decimal import Decimal

import pytest

from app.admin.catalog import compare_catalogs, compare_listed, image_cost, model_json, named_qualities
from app.images.catalog.catalog import load_catalog
from app.upstream.lookups.models import ListedModel, ListedPrice
from tests.days import TODAY

BUILTIN = load_catalog()


def test_a_model_for_programs_has_exact_prices() -> None:
    spec = BUILTIN.find("gpt-image-2")
    assert spec is not None
    shown = model_json(spec)
    assert shown["id"] == "openai/gpt-image-2"
    assert set(shown["picture_1024x1024"]) == set(named_qualities(spec)) == {"low", "medium", "high"}
    assert shown["picture_1024x1024"]["low"]["nanousd"] == image_cost(spec, "1024x1024", "low")
    assert image_cost(spec, "1024x1024", "ultra") is None


def test_catalogs_are_compared_model_by_model() -> None:
    text = """
retired = ["gpt-image-1.5"]
[models.x]
like = "gpt-image-2"
id = "openai/x"
[models.gpt-image-2]
n_max = 3
"""
    difference = compare_catalogs(load_catalog(text), BUILTIN)
    assert {spec.name for spec in difference.changed} == {"x", "gpt-image-2"}
    assert difference.new == {"openai/x"}
    assert difference.removed == ("gpt-image-1.5",)
    assert difference.as_json()["removed"] == ["gpt-image-1.5"]
    assert compare_catalogs(BUILTIN, BUILTIN).as_json() == {"changed": [], "removed": []}


def listed(id_: str, *prices: tuple[str, str, str]) -> ListedModel:
    return ListedModel(id_, tuple(ListedPrice(key, Decimal(usd), unit) for key, usd, unit in prices))


EVERYTHING = [listed(spec.id) for spec in BUILTIN.models]


def test_a_list_with_the_same_models_does_not_differ() -> None:
    comparison = compare_listed(BUILTIN, EVERYTHING, TODAY)
    assert not comparison.differs
    assert comparison.as_json() == {
        "differs": False, "lacking": [], "vanished": [], "prices": [], "same": len(BUILTIN.models)
    }  # fmt: skip


def test_models_that_only_one_of_the_two_has() -> None:
    qwen = listed("qwen/qwen-image-2.0", ("image", "0.0289", "perCount"))
    comparison = compare_listed(BUILTIN, [*EVERYTHING[1:], qwen, listed("openai/dall-e-3")], TODAY)
    assert comparison.differs
    shown = comparison.as_json()
    assert shown["lacking"] == [
        {"id": "qwen/qwen-image-2.0", "prices": [{"key": "image", "usd": "0.0289", "unit": "perCount"}]}
    ]
    assert shown["vanished"] == [BUILTIN.models[0].id]


def test_a_model_that_has_ended_is_not_missed() -> None:
    living = [model for model in EVERYTHING if not model.id.endswith(("-1.5", "-mini", "-latest"))]
    assert len(compare_listed(BUILTIN, living, date(2026, 11, 30)).vanished) == 3
    assert not compare_listed(BUILTIN, living, date(2026, 12, 1)).differs


@pytest.mark.parametrize(
    ("name", "price", "ours"),
    [
        ("gpt-image-2", ("prompt", "5", "perMTokens"), None),
        ("gpt-image-2", ("prompt", "4.5", "perMTokens"), ("5",)),
        ("gpt-image-2", ("completion", "0", "perMTokens"), None),
        ("gpt-image-2", ("completion", "30.00", "perMTokens"), None),
        ("gpt-image-2", ("completion", "27", "perMTokens"), ("0", "30")),
        ("gpt-image-2", ("image", "8", "perMTokens"), None),
        ("gpt-image-2", ("image", "30", "perMTokens"), None),
        ("gpt-image-2", ("image", "27", "perMTokens"), ("8", "30")),
        ("gpt-image-2", ("image", "0.04", "perCount"), ()),
        ("gpt-image-2", ("input_cache_read", "1.25", "perMTokens"), None),
        ("gpt-image-2", ("web_search", "0.01", "perCount"), None),
        ("gpt-image-1.5", ("completion", "10", "perMTokens"), None),
        ("gpt-image-1.5", ("completion", "32", "perMTokens"), ("10",)),
        ("gpt-image-1-mini", ("image", "2.5", "perMTokens"), None),
        ("flat", ("image", "0.0289", "perCount"), None),
        ("flat", ("image", "0.03", "perCount"), ("0.0289",)),
        ("flat", ("image", "30", "perMTokens"), ()),
        ("unpriced", ("image", "0.03", "perCount"), ()),
        ("pinned", ("prompt", "4", "perMTokens"), None),
    ],
)
def test_prices_are_compared_as_far_as_it_is_known_what_they_are_for(
    name: str, price: tuple[str, str, str], ours: tuple[str, ...] | None
) -> None:
    catalog = load_catalog(
        '[models.flat]\nid = "x/flat"\nprices = { per_image = "0.0289" }\n'
        '[models.unpriced]\nid = "x/unpriced"\nhold_usd = "1"\n'
        '[models.pinned]\nlike = "gpt-image-2"\nid = "x/pinned:azure"\n'
    )
    spec = catalog.find(name)
    assert spec is not None
    id_ = spec.id.split(":")[0]
    others = [listed(each.id.split(":")[0]) for each in catalog.models if each.name != name]
    comparison = compare_listed(catalog, [*others, listed(id_, price)], TODAY)
    differences = [difference.as_json() for difference in comparison.prices]
    key, usd, unit = price
    expected = {"model": spec.id, "key": key, "unit": unit, "zenmux_usd": usd, "catalog_usd": list(ours or ())}
    assert differences == ([] if ours is None else [expected])
    assert comparison.differs is (ours is not None)
