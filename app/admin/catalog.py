"""Use cases of the catalog: what a model accepts and costs, and how one catalog differs from another, or from
what ZenMux lists.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from app.images.catalog.catalog import Catalog, ModelSpec
from app.images.catalog.model_spec import AUTO, ImagePrice, Prices, TokenPrices
from app.images.catalog.sizes import AnySize, SizeBounds, SizeList
from app.images.cost.pricing import price
from app.images.cost.tokens import output_tokens
from app.images.cost.usage import Usage
from app.quotas.rules.limits import format_usd
from app.settings.settings import Settings

if TYPE_CHECKING:  # the HTTP client is slow to load, and most commands need none
    from app.upstream.lookups.models import ListedModel


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


def catalog_lines(before: Catalog, after: Catalog) -> Iterator[str]:
    """What differs from one catalog to the other: `+` a new model, `~` a changed one, `-` one that is gone."""
    difference = compare_catalogs(after, before)
    for spec in difference.changed:
        was = before.find(spec.id)
        if was is None:
            yield f"+ model {spec.name}: {price_words(spec)}"
        else:
            yield f"~ model {spec.name}: {', '.join(_changed_words(was, spec))}"
    for name in difference.removed:
        yield f"- model {name}"
    for name in sorted(after.retired ^ before.retired):
        yield f"~ the name {name} is {'retired' if name in after.retired else 'not retired any more'}"
    for key in ("successor", "unlisted_image_tokens"):
        old, new = getattr(before, key), getattr(after, key)
        if old != new:
            yield f"~ {key} {old} -> {new}"


def _changed_words(before: ModelSpec, after: ModelSpec) -> Iterator[str]:
    if (before.prices, before.hold_nanousd) != (after.prices, after.hold_nanousd):
        yield f"{price_words(before)} -> {price_words(after)}"
    for field in fields(ModelSpec):
        if field.name not in ("prices", "hold_nanousd") and getattr(before, field.name) != getattr(after, field.name):
            yield {"token_rule": "tokens"}.get(field.name, field.name)


def price_words(spec: ModelSpec) -> str:
    """A model's prices for people."""
    match spec.prices:
        case ImagePrice(per_image=nanousd):
            return f"${format_usd(nanousd)} an image"
        case TokenPrices() as prices:
            rates = ", ".join(
                f"{name.replace('_', ' ')} ${format_usd(rate * 10**6)}"
                for name, rate in asdict(prices).items()
                if rate is not None
            )
            return f"{rates} a million tokens"
        case None:
            return f"unknown: ${format_usd(spec.hold_nanousd or 0)} is held and charged for an image"


@dataclass(frozen=True, slots=True)
class PriceDifference:
    """A price that ZenMux lists, in its words, and what the catalog has for it in the same unit: several amounts where
    more than one may be meant, none where it has no such price.
    """

    model: str
    key: str
    unit: str
    zenmux_usd: Decimal
    catalog_usd: tuple[Decimal, ...]

    def as_json(self) -> dict[str, Any]:
        ours = [plain_usd(usd) for usd in self.catalog_usd]
        return asdict(self) | {"zenmux_usd": plain_usd(self.zenmux_usd), "catalog_usd": ours}


@dataclass(frozen=True, slots=True)
class ZenMuxComparison:
    """The catalog beside ZenMux's list of image models: models that only one of the two has, and prices that differ.
    `same` counts the models that both have and of which no known price differs.
    """

    lacking: tuple["ListedModel", ...]
    vanished: tuple[ModelSpec, ...]
    prices: tuple[PriceDifference, ...]
    same: int

    @property
    def differs(self) -> bool:
        return bool(self.lacking or self.vanished or self.prices)

    def as_json(self) -> dict[str, Any]:
        return {
            "differs": self.differs,
            "lacking": [
                {"id": model.id, "prices": [each._asdict() | {"usd": plain_usd(each.usd)} for each in model.prices]}
                for model in self.lacking
            ],
            "vanished": [spec.id for spec in self.vanished],
            "prices": [difference.as_json() for difference in self.prices],
            "same": self.same,
        }


async def compare_with_zenmux(settings: Settings, catalog: Catalog, today: date) -> ZenMuxComparison:
    """Asks ZenMux which image models it has. Raises RemoteFailure, ConfigurationError."""
    from app.upstream.lookups.models import fetch_models  # noqa: PLC0415 - the HTTP client is slow to load

    return compare_listed(catalog, await fetch_models(settings), today)


def compare_listed(catalog: Catalog, listed: Iterable["ListedModel"], today: date) -> ZenMuxComparison:
    """Pure. A model that has ended is not missed, and a retired one that is still listed is not lacking. No price is
    compared of an entry whose id pins a provider: it is that provider's.
    """
    by_id = {model.id: model for model in listed}
    prices: list[PriceDifference] = []
    vanished, same = list[ModelSpec](), 0
    for spec in catalog.models:
        found = by_id.get(spec.id.split(":")[0])
        if found is None:
            vanished += [] if spec.has_ended(today) else [spec]
            continue
        differing = () if ":" in spec.id else tuple(_price_differences(spec, found))
        prices += differing
        same += not differing
    known = {spec.id.split(":")[0] for spec in catalog.models}
    lacking = tuple(model for model in by_id.values() if model.id not in known and not catalog.is_dead(model.id))
    return ZenMuxComparison(lacking, tuple(vanished), tuple(prices), same)


def _price_differences(spec: ModelSpec, listed: "ListedModel") -> Iterator[PriceDifference]:
    for key, usd, unit in listed.prices:
        ours = _catalog_usd(spec.prices, key, unit)
        if ours is not None and usd not in ours:
            yield PriceDifference(spec.id, key, unit, usd, tuple(sorted(ours)))


def _catalog_usd(prices: Prices | None, key: str, unit: str) -> set[Decimal] | None:
    """What the catalog would have ZenMux list there; None where nobody knows what the price is for.

    ZenMux documents no key for what images cost in tokens: a price for `image` may be that of images in or out, one for
    `completion` that of text out, or of images out, or 0 where no text is written.
    """
    match prices, unit:
        case TokenPrices(), "perMTokens":
            text_out = {0, prices.image_out} if prices.text_out is None else {prices.text_out}
            rates = {"prompt": {prices.text_in}, "completion": text_out, "image": {prices.image_in, prices.image_out}}
            return {Decimal(rate).scaleb(-3) for rate in rates[key]} if key in rates else None
        case ImagePrice(per_image=nanousd), "perCount":
            return {Decimal(nanousd).scaleb(-9)} if key == "image" else None
        case _:
            return set() if key == "image" else None


def plain_usd(usd: Decimal) -> str:
    """Dollars with as many decimals as it takes."""
    return f"{usd.normalize():f}"


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
