"""What a model costs and accepts, and how catalogs differ."""

from app.admin.catalog import compare_catalogs, image_cost, model_json, named_qualities
from app.images.catalog.catalog import load_catalog

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
