"""What requests may ask for, and how large they may be."""

from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel, Field

from app.settings.values import Compatibility, Hosts, ImageUrls, UnknownModels


class RequestSettings(BaseModel):
    """What requests may ask for, and how large they may be."""

    default_model: str | None = Field(None, description="Model for requests that name none; unset: they are refused.")
    successor_model: str | None = Field(
        None,
        description="Model that retired and ended ones mean in lenient mode; unset: what the catalog says of each.",
    )
    compatibility: Compatibility = Field(
        Compatibility.LENIENT,
        description="lenient maps what old clients send and says so in x-gateway-normalized; strict refuses it.",
    )
    catalog_file: Path | None = Field(
        None, description="TOML file that adds models to the built-in catalog or overrides their rules and prices."
    )
    unknown_models: UnknownModels = Field(
        UnknownModels.REFUSE,
        description="refuse or pass models that are not in the catalog; passing needs GATEWAY_UNKNOWN_MODEL_HOLD_USD.",
    )
    unknown_model_hold_usd: Decimal | None = Field(
        None,
        gt=0,
        max_digits=12,
        decimal_places=9,
        description="Money held, and charged, for each image of a model the catalog does not list.",
    )
    body_bytes_max: int = Field(
        1_048_576, ge=1024, le=104_857_600, description="Largest JSON request body in bytes, an edit's images apart."
    )
    image_urls: ImageUrls = Field(
        ImageUrls.REFUSE, description="https addresses of images in edits: refuse, forward (ZenMux fetches), or fetch."
    )
    image_url_hosts: Hosts = Field((), description="Hosts, with commas, to fetch from though they are not public.")
    upload_bytes_max: int = Field(
        200_000_000, ge=1_000_000, le=1_000_000_000, description="Most bytes of one edit's images together."
    )
    uploads_bytes_max: int = Field(
        2_000_000_000,
        ge=1_000_000,
        le=1_000_000_000_000,
        description="Most bytes of all uploads of one process, in GATEWAY_DATA_DIR/uploads; more are answered 503.",
    )
