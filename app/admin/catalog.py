"""Use cases of the catalog: what a model accepts and costs, and how one catalog differs from another. Pure."""

from dataclasses import asdict, dataclass
from typing import Any

from app.images.catalog.catalog import Catalog, ModelSpec
from app.images.catalog.model_spec import AUTO, ImagePrice, TokenPrices
from app.images.catalog.sizes import AnySize, SizeBounds, SizeList
from app.images.cost.pricing import price
from app.images.cost.tokens import output_tokens
from app.images.cost.usage import Usage
from app.quotas.rules.limits import format_usd


@dataclass(frozen=True, slots=True)
class CatalogDifference:
    """The models that are new or changed, as in the newer catalog; the ids of the new ones; the names of those that are
    gone.
    """

    changed: tuple[ModelSpec, ...]
    new: frozenset[str]
    removed: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {"changed": [model_json(spec) for spec in self.changed], "removed": list(self.removed)}


def compare_catalogs(catalog: Catalog, base: Catalog) -> CatalogDifference:
    """The models that `catalog` has and `base` has not, or has with other values."""
    differing = [spec for spec in catalog.models if base.find(spec.id) != spec]
    return CatalogDifference(
        changed=tuple(differing),
        new=frozenset(spec.id for spec in differing if base.find(spec.id) is None),
        removed=tuple(spec.name for spec in base.models if catalog.find(spec.id) is None),
    )


def model_json(spec: ModelSpec) -> dict[str, Any]:
    """A model's rules and prices for programs."""
    return {
        "name": spec.name,
        "id": spec.id,
        "aliases": list(spec.aliases),
        "ends_on": spec.ends_on.isoformat() if spec.ends_on else None,
        "successor": spec.successor,
        "sizes": _sizes_json(spec),
        "qualities": list(spec.qualities),
        "auto_quality": spec.auto_quality,
        "output_formats": list(spec.output_formats),
        "backgrounds": backgrounds(spec),
        "transparent_background": spec.transparent_background,
        "n_max": spec.n_max,
        "streams": "stream" in spec.parameters,
        "partial_images_max": partial_images_max(spec),
        "edits": _edits_json(spec),
        "prompt_chars_max": spec.prompt_chars_max,
        "prices": _prices_json(spec),
        "picture_1024x1024": {
            quality: {"usd": format_usd(cost), "nanousd": cost}
            for quality in named_qualities(spec)
            if (cost := image_cost(spec, "1024x1024", quality)) is not None
        },
    }


def backgrounds(spec: ModelSpec) -> list[str]:
    """The backgrounds a request may name."""
    return [name for name in spec.backgrounds if spec.transparent_background or name != "transparent"]


def partial_images_max(spec: ModelSpec) -> int:
    """The most partial images of a stream; 0 where the model does not stream."""
    return spec.partial_images_max if {"stream", "partial_images"} <= spec.parameters else 0


def named_qualities(spec: ModelSpec) -> list[str]:
    """The qualities with a price of their own: all except `auto`."""
    return [quality for quality in spec.qualities if quality != AUTO]


def image_cost(spec: ModelSpec, size: str, quality: str) -> int | None:
    """Nano-USD for the output of one image; None if the model does not make such an image or has no price."""
    try:
        tokens = output_tokens(spec, size, quality)
    except ValueError:
        return None
    return price(Usage(output_image_tokens=tokens), 1, spec)


def _sizes_json(spec: ModelSpec) -> dict[str, Any]:
    match spec.sizes:
        case SizeList(values=values):
            return {"rule": "list", "values": list(values)}
        case SizeBounds() as bounds:
            return {"rule": "bounds", **asdict(bounds)}
        case AnySize():
            return {"rule": "any"}


def _edits_json(spec: ModelSpec) -> dict[str, Any] | None:
    edits = spec.edits
    return None if edits is None else asdict(edits) | {"input_fidelity": list(edits.input_fidelity)}


def _prices_json(spec: ModelSpec) -> dict[str, Any]:
    """Prices are whole nano-dollars per token, so dollars per million tokens are exact as well."""
    match spec.prices:
        case ImagePrice(per_image=nanousd):
            return {"per_image_usd": format_usd(nanousd), "per_image_nanousd": nanousd}
        case TokenPrices() as prices:
            rates = {name: rate for name, rate in asdict(prices).items() if rate is not None}
            return {f"{name}_usd_per_million_tokens": format_usd(rate * 10**6) for name, rate in rates.items()} | {
                f"{name}_nanousd_per_token": rate for name, rate in rates.items()
            }
        case None:
            held = spec.hold_nanousd or 0
            return {"unknown_held_per_image_usd": format_usd(held), "unknown_held_per_image_nanousd": held}
