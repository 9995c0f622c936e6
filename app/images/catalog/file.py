"""What the keys of a catalog entry mean: tables → ModelSpec values. The top of catalog.toml describes every key."""

import calendar
import re
from collections.abc import Mapping

from app.images.catalog.entry import MODEL_ID, CatalogSource, Entry
from app.images.catalog.model_spec import (
    AUTO,
    INPUT_FIDELITIES,
    INPUT_IMAGES_MAX,
    MODEL_ID_MAX,
    PARTIAL_IMAGES_MAX,
    RECORDED_WORD_MAX,
    AreaTokens,
    EditRules,
    FlatTokens,
    ImagePrice,
    ModelSpec,
    Prices,
    TableTokens,
    TokenPrices,
    TokenRule,
)
from app.images.catalog.sizes import AnySize, SizeBounds, SizeList, SizeRule, parse_size

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RECORDED_WORD = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{RECORDED_WORD_MAX - 1}}}")
_PARAMETERS = (  # of an entry that lists no parameters
    *("prompt", "model", "n", "size", "quality", "background", "output_format", "output_compression", "moderation"),
    *("stream", "partial_images", "user", "safety_identifier"),
)
_TOKENS_MAX = 10_000_000
_EDGE_MAX = 16_384


def read_model(source: CatalogSource, name: str, table: object) -> ModelSpec:
    """The model of an entry that inherits nothing more. Raises ConfigurationError."""
    entry = Entry(source, ("models", name), table)
    if not MODEL_NAME.fullmatch(name):
        entry.refuse(None, "the name of an entry is bare: plain letters, digits and . _ -")
    id_ = entry.word("id", MODEL_ID)
    if len(id_) > MODEL_ID_MAX:
        entry.refuse("id", f"must have at most {MODEL_ID_MAX} characters")
    sizes, qualities = _sizes(entry.table("sizes")), entry.words("qualities", _RECORDED_WORD)
    prices = _prices(entry.table("prices")) if entry.has("prices") else None
    created = entry.day("created")
    spec = ModelSpec(
        id=id_,
        name=name,
        aliases=entry.words("aliases"),
        created=calendar.timegm(created.timetuple()) if created else 0,
        owned_by=entry.word("owned_by", default=id_.split("/")[0]),
        ends_on=entry.day("ends_on"),
        successor=entry.word("successor", MODEL_NAME) if entry.has("successor") else None,
        parameters=frozenset(entry.words("parameters", default=_PARAMETERS)) | {"model", "prompt"},
        open=entry.flag("open", default=False),
        prompt_chars_max=entry.integer("prompt_chars_max", 1, 1_000_000, 32_000),
        n_max=entry.integer("n_max", 1, 100, 10),
        sizes=sizes,
        qualities=qualities,
        auto_quality=entry.word("auto_quality", default=AUTO),
        output_formats=entry.words("output_formats"),
        backgrounds=entry.words("backgrounds"),
        transparent_background=entry.flag("transparent_background", default=True),
        moderations=entry.words("moderations"),
        partial_images_max=entry.integer("partial_images_max", 0, PARTIAL_IMAGES_MAX, PARTIAL_IMAGES_MAX),
        edits=_edits(entry.table("edits")) if entry.has("edits") else None,
        token_rule=_tokens(entry, sizes, qualities, prices),
        text_output_tokens_max=entry.integer("text_output_tokens_max", 0, _TOKENS_MAX, 0),
        input_image_tokens_max=entry.integer("input_image_tokens_max", 0, _TOKENS_MAX, 1536),
        prices=prices,
        hold_nanousd=entry.dollars("hold_usd", 9) if entry.has("hold_usd") else None,
    )
    entry.finish()
    if spec.auto_quality not in (AUTO, *qualities):
        entry.refuse("auto_quality", "must be one of the qualities")
    if (spec.prices is None) == (spec.hold_nanousd is None):
        entry.refuse("hold_usd", "give either prices, or hold_usd for a model whose price is not known")
    return spec


def _edits(entry: Entry) -> EditRules | None:
    rules = EditRules(
        images_max=entry.integer("images_max", 0, INPUT_IMAGES_MAX, INPUT_IMAGES_MAX),
        input_fidelity=entry.words("input_fidelity"),
        markup=entry.flag("markup", default=False),
    )
    if not set(rules.input_fidelity) <= set(INPUT_FIDELITIES):
        entry.refuse("input_fidelity", f"knows the words {' and '.join(INPUT_FIDELITIES)}")
    entry.finish()
    return rules if rules.images_max else None


def _sizes(entry: Entry) -> SizeRule:
    rule: SizeRule
    match entry.word("rule", default="any"):
        case "any":
            rule = AnySize()
        case "list":
            rule = SizeList(entry.words("values", _RECORDED_WORD))
            if not rule.values or not all(parse_size(size) for size in rule.values):
                entry.refuse("values", "must be sizes written WIDTHxHEIGHT")
        case "bounds":
            pixels_min = entry.integer("pixels_min", 1, _EDGE_MAX**2)
            pixels_max = entry.integer("pixels_max", pixels_min, _EDGE_MAX**2)
            rule = SizeBounds(
                multiple_of=entry.integer("multiple_of", 1, _EDGE_MAX),
                edge_max=entry.integer("edge_max", 1, _EDGE_MAX),
                ratio_max=entry.integer("ratio_max", 1, 100),
                pixels_min=pixels_min,
                pixels_max=pixels_max,
                auto_pixels_max=entry.integer("auto_pixels_max", 1, pixels_max, pixels_max),
            )
            if rule.nearest(1024, 1024) is None:
                entry.refuse(None, "these bounds leave no valid size")
        case _:
            entry.refuse("rule", "must be bounds, list or any")
    entry.finish()
    return rule


def _tokens(model: Entry, sizes: SizeRule, qualities: tuple[str, ...], prices: Prices | None) -> TokenRule:
    sold_by_the_image = not isinstance(prices, TokenPrices)
    if not model.has("tokens") and sold_by_the_image:
        return FlatTokens(0)
    entry = model.table("tokens")
    named = [quality for quality in qualities if quality != AUTO]
    rule: TokenRule
    match entry.word("rule", default=""):
        case "flat":
            rule = FlatTokens(entry.integer("per_image", 0, _TOKENS_MAX))
        case "area" | "measured" as kind:
            if isinstance(sizes, AnySize) or not named:
                entry.refuse("rule", f"{kind} needs qualities, and sizes by bounds or list")
            base = _figures(entry.table("base"), named, highest=1000)
            exact = kind == "area"
            percent = dict.fromkeys(named, 100) if exact else _figures(entry.table("percent"), named, highest=10_000)
            rule = AreaTokens(base, percent)
        case "table":
            if not isinstance(sizes, SizeList) or not named:
                entry.refuse("rule", "table needs qualities, and sizes by list")
            rule = TableTokens({quality: _figures(entry.table(quality), sizes.values) for quality in named})
        case _:
            entry.refuse("rule", "must be area, measured, table or flat")
    entry.finish()
    return rule


def _figures(entry: Entry, names: "list[str] | tuple[str, ...]", highest: int = _TOKENS_MAX) -> Mapping[str, int]:
    """One positive whole number for each of the names."""
    figures = {name: entry.integer(name, 1, highest) for name in names}
    entry.finish()
    return figures


def _prices(entry: Entry) -> Prices:
    prices: Prices
    if entry.has("per_image"):
        if any(entry.has(key) for key in ("text_in", "image_in", "image_out", "text_out")):
            entry.refuse("per_image", "stands alone: a model is sold by the image or by the token")
        prices = ImagePrice(entry.dollars("per_image", 9))
    else:
        # Three decimals per million tokens are whole nano-dollars per token.
        text_in, image_in, image_out = (entry.dollars(key, 3) for key in ("text_in", "image_in", "image_out"))
        text_out = entry.dollars("text_out", 3) if entry.has("text_out") else None
        if text_out is not None and text_out > image_out:
            entry.refuse("text_out", "must not be above image_out: output that is not itemised is priced as image")
        prices = TokenPrices(text_in, image_in, image_out, text_out)
    entry.finish()
    return prices
