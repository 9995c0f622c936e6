"""The operator's choices about requests: what contradicts itself is refused before anything starts."""

from dataclasses import dataclass
from decimal import Decimal

import pytest

from app.errors import ConfigurationError
from app.images.catalog.catalog import load_catalog
from app.images.request.policy import request_policy


@dataclass(frozen=True)
class Choices:
    compatibility: str = "lenient"
    default_model: str | None = None
    successor_model: str = "gpt-image-2"
    default_response_format: str = "auto"
    unknown_models: str = "refuse"
    unknown_model_hold_usd: Decimal | None = None


CATALOG = load_catalog()


def test_what_the_settings_choose() -> None:
    policy = request_policy(Choices(compatibility="strict"), CATALOG)
    assert (policy.lenient, policy.unknown_model_hold_nanousd) == (False, None)
    assert request_policy(Choices(default_response_format="url"), CATALOG).default_response_format == "url"
    passing = Choices(unknown_models="pass", unknown_model_hold_usd=Decimal("0.25"), default_model="new/model")
    policy = request_policy(passing, CATALOG)
    assert (policy.lenient, policy.unknown_model_hold_nanousd, policy.default_model) == (True, 250_000_000, "new/model")


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (Choices(unknown_models="pass"), "GATEWAY_UNKNOWN_MODEL_HOLD_USD"),
        (Choices(default_model="nothing"), "GATEWAY_DEFAULT_MODEL names 'nothing'"),
        (Choices(successor_model="nothing"), "GATEWAY_SUCCESSOR_MODEL names 'nothing'"),
    ],
)
def test_what_contradicts_itself_is_refused(choices: Choices, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        request_policy(choices, CATALOG)
