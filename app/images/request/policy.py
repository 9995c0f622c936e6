"""What the operator's settings allow requests to ask for. Pure: reads settings as plain values."""

from decimal import Decimal
from typing import Protocol

from app.errors import ConfigurationError
from app.images.catalog.catalog import Catalog, CatalogError
from app.images.catalog.model_spec import NANOUSD_PER_USD
from app.images.request.normalize import RequestPolicy


class PolicySettings(Protocol):
    """The settings that are needed here, with the names of app/settings/."""

    @property
    def compatibility(self) -> str: ...
    @property
    def default_model(self) -> str | None: ...
    @property
    def successor_model(self) -> str | None: ...
    @property
    def unknown_models(self) -> str: ...
    @property
    def default_response_format(self) -> str: ...
    @property
    def unknown_model_hold_usd(self) -> Decimal | None: ...


def request_policy(settings: PolicySettings, catalog: Catalog) -> RequestPolicy:
    """The operator's choices about what requests may ask for. Raises ConfigurationError if they contradict each
    other.
    """
    hold_nanousd = None
    if settings.unknown_models == "pass":
        if settings.unknown_model_hold_usd is None:
            raise ConfigurationError("GATEWAY_UNKNOWN_MODELS=pass needs GATEWAY_UNKNOWN_MODEL_HOLD_USD.")
        hold_nanousd = int(settings.unknown_model_hold_usd * NANOUSD_PER_USD)
    for name, model in (("DEFAULT", settings.default_model), ("SUCCESSOR", settings.successor_model)):
        if model is not None and catalog.find(model) is None and hold_nanousd is None:
            raise ConfigurationError(f"GATEWAY_{name}_MODEL names {model!a}, which the catalog does not list.")
    try:
        return RequestPolicy(
            catalog=catalog,
            lenient=settings.compatibility == "lenient",
            default_model=settings.default_model,
            successor_model=settings.successor_model,
            unknown_model_hold_nanousd=hold_nanousd,
            default_response_format=settings.default_response_format,
        )
    except CatalogError as error:
        raise ConfigurationError(f"GATEWAY_DEFAULT_MODEL or GATEWAY_SUCCESSOR_MODEL: {error}") from None
