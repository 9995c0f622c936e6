"""Models and limits on them, by every name people use."""

import pytest

from app.admin.lookup.model_names import ModelNames
from app.errors import InvalidValue, NotFound
from app.images.catalog.catalog import load_catalog

NAMES = ModelNames(load_catalog(), passes_unknown=False, successor="gpt-image-2")
PASSING = ModelNames(load_catalog(), passes_unknown=True, successor="gpt-image-2")


@pytest.mark.parametrize("name", ["gpt-image-2", "openai/gpt-image-2", "gpt-image-2-2026-04-21"])
def test_a_model_goes_by_all_of_its_names(name: str) -> None:
    assert NAMES.id_of(name) == "openai/gpt-image-2"
    assert NAMES.existing(name).name == "gpt-image-2"


def test_a_model_nobody_could_ask_for_is_refused() -> None:
    with pytest.raises(InvalidValue, match=r"'gpt-imgae-2'\. Did you mean gpt-image-2\?"):
        NAMES.id_of("gpt-imgae-2")
    with pytest.raises(InvalidValue, match="'dall-e-3' is retired; name gpt-image-2"):
        NAMES.id_of("dall-e-3")
    with pytest.raises(NotFound, match=r"'gpt-imgae-2'\. Did you mean gpt-image-2\?"):
        PASSING.existing("gpt-imgae-2")


def test_where_unknown_models_pass_keys_may_name_them() -> None:
    assert PASSING.id_of("qwen/qwen-image-2.0") == "qwen/qwen-image-2.0"
    for written in ("GPT-Image-2", "openai/gpt-image-2:azure", "two words", ""):
        with pytest.raises(InvalidValue):
            PASSING.id_of(written)


def test_a_limit_of_one_model_holds_for_all_of_its_names() -> None:
    assert NAMES.limit_of("images:5/day@gpt-image-2").model == "openai/gpt-image-2"
    with pytest.raises(InvalidValue, match="write unit:amount/window"):
        NAMES.limit_of("5 images")
    with pytest.raises(InvalidValue, match="no model 'x'"):
        NAMES.limit_of("images:5/day@x")


def test_limits_that_contradict_each_other_are_refused() -> None:
    assert len(NAMES.limits_of(["images:5/day", "images:5/day@gpt-image-2"])) == 2
    assert NAMES.limits_of(()) == ()
    with pytest.raises(InvalidValue, match="leave one"):
        NAMES.limits_of(["images:5/day", "images:9/day"])
