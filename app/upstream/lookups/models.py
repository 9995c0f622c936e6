"""Asks ZenMux which image models it lists, and at which prices. Sends no key: none is needed."""

import asyncio
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

import httpx2

from app.errors import RemoteFailure
from app.settings.settings import Settings
from app.upstream.headers import request_headers
from app.upstream.lookups.asking import PASSING, Sleep, ask

_MODELS_MAX = 10_000
_PRICES_MAX = 50  # of a model
_WORD_MAX = 120
_USD_MAX = 10**6


class ListedPrice(NamedTuple):
    """One entry of a model's `pricings`: what it is for and its unit, in ZenMux's words (`prompt`, `perMTokens`)."""

    key: str
    usd: Decimal
    unit: str


class ListedModel(NamedTuple):
    """A model that makes images, as ZenMux lists it."""

    id: str
    prices: tuple[ListedPrice, ...]


async def fetch_models(settings: Settings, sleep: Sleep = asyncio.sleep) -> list[ListedModel]:
    """The image models that ZenMux lists. Takes a minute at most. Raises RemoteFailure when they cannot be had or
    read, and ConfigurationError for a proxy or a CA that cannot work.
    """
    request = httpx2.Request("GET", f"{settings.zenmux_base_url}/models", headers=request_headers(None, None))
    return read_models(await ask(settings, request, "which models it has", _refusal, sleep))


def _refusal(status: int, because: str) -> RemoteFailure:
    if status == 404:
        return RemoteFailure(f"There is no list of models below ZENMUX_BASE_URL ({because}).")
    later = "; try again later" if status in PASSING else ""
    return RemoteFailure(f"ZenMux does not tell which models it has ({because}){later}.")


def read_models(body: bytes) -> list[ListedModel]:
    """What an answer lists with `image` among the `output_modalities`, each model once. Pure. Raises RemoteFailure that
    names what cannot be read.
    """
    try:
        entries = json.loads(body, parse_float=Decimal)["data"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise RemoteFailure("ZenMux's list of models cannot be read: it has no data.") from None
    if not isinstance(entries, list) or len(entries) > _MODELS_MAX:
        raise RemoteFailure("ZenMux's list of models cannot be read: data is no list, or far too long.")
    found: dict[str, ListedModel] = {}
    for number, entry in enumerate(entries):
        try:
            if "image" in (entry.get("output_modalities") or ()):
                model = ListedModel(_word(entry, "id"), _prices(entry.get("pricings") or {}))
                found.setdefault(model.id, model)
        except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError) as error:
            what = f"{type(error).__name__} {str(error)[:80]!a}"
            raise RemoteFailure(f"ZenMux's list of models cannot be read: entry {number}: {what}.") from None
    return list(found.values())


def _prices(pricings: Mapping[str, object]) -> tuple[ListedPrice, ...]:
    prices: list[ListedPrice] = []
    for key, entries in pricings.items():
        if not isinstance(entries, list):
            raise TypeError("pricings")
        for entry in entries:
            # As text it is exact.
            usd = Decimal(str(entry["value"]))
            if not usd.is_finite() or not 0 <= usd <= _USD_MAX or entry.get("currency", "USD") != "USD":
                raise ValueError("pricings")
            prices.append(ListedPrice(key, usd, _word(entry, "unit")))
    if len(prices) > _PRICES_MAX or any(not price.key.isprintable() for price in prices):
        raise ValueError("pricings")
    return tuple(prices)


def _word(entry: Mapping[str, object], key: str) -> str:
    word = entry[key]
    if not isinstance(word, str) or not word.isprintable() or not 0 < len(word) <= _WORD_MAX:
        raise ValueError(key)
    return word
