"""Asks ZenMux's management API what a day cost. Its errors are worded for the person at the terminal; no
message contains a key.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import NamedTuple

import httpx2

from app.errors import ConfigurationError, RemoteFailure
from app.images.catalog.model_spec import NANOUSD_PER_USD
from app.settings.accounts import AccountSpec
from app.settings.settings import Settings
from app.upstream.headers import request_headers
from app.upstream.lookups.asking import PASSING, Sleep, ask

_MODELS_MAX = 10_000
_USD_MAX = 10**9
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,119}")


class BilledModel(NamedTuple):
    """What ZenMux billed for one model, by the name it uses."""

    model: str
    requests: int
    nanousd: int


async def fetch_day_cost(
    settings: Settings, day: date, account: AccountSpec | None = None, sleep: Sleep = asyncio.sleep
) -> list[BilledModel]:
    """What one account was billed for the day, by model; None: all that ZENMUX_MANAGEMENT_KEY sees.

    Takes a minute at most. Raises ConfigurationError without a management key, RemoteFailure when it is refused, when
    no answer comes, or when the answer cannot be read.
    """
    key = settings.zenmux_management_key if account is None else account.management_key
    base_url = settings.zenmux_base_url if account is None else account.base_url or settings.zenmux_base_url
    if key is None:
        raise ConfigurationError(
            "ZENMUX_MANAGEMENT_KEY is not set: ZenMux tells what a day cost only to a management key (sk-mg-…). "
            "Make one in ZenMux's console."
        )
    asked = {"type": "cost", "query_dimension": "BIZ_DT", "query_time": f"{day:%Y%m%d}"}
    request = httpx2.Request(
        "GET",
        f"{base_url}/management/cost",
        params=asked,
        headers=request_headers(key.get_secret_value(), None),
    )
    return read_day_cost(await ask(settings, request, "what the day cost", _refusal, sleep), day)


def _refusal(status: int, because: str) -> RemoteFailure:
    if status in (401, 403):
        return RemoteFailure(
            f"ZenMux refuses ZENMUX_MANAGEMENT_KEY ({because}). It must be a management key (sk-mg-…) that is still "
            "good; make a new one in ZenMux's console."
        )
    if status == 404:
        return RemoteFailure(f"There is no management API below ZENMUX_BASE_URL ({because}).")
    if status == 429:
        return RemoteFailure(f"ZenMux has been asked for costs too often ({because}); try again in a minute.")
    if status in PASSING:
        return RemoteFailure(f"ZenMux failed to tell what the day cost ({because}); try again later.")
    return RemoteFailure(f"ZenMux does not tell what the day cost ({because}).")


def read_day_cost(body: bytes, day: date) -> list[BilledModel]:
    """What an answer says of that day, each model once. Pure. Raises RemoteFailure that names what cannot be read."""
    try:
        document = json.loads(body, parse_float=Decimal)
        entries = document["data"]["analysis"]["costByModel"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise RemoteFailure("ZenMux's answer about the day cannot be read: it has no costByModel.") from None
    if not isinstance(entries, list) or len(entries) > _MODELS_MAX:
        raise RemoteFailure("ZenMux's answer about the day cannot be read: costByModel is no list, or far too long.")
    found: dict[str, BilledModel] = {}
    for number, entry in enumerate(entries):
        try:
            if not _is_of(entry, day):
                continue
            model, requests, nanousd = _entry(entry)
        except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError) as error:
            what = f"{type(error).__name__} {str(error)[:80]!a}"
            raise RemoteFailure(f"ZenMux's answer cannot be read: entry {number} of costByModel: {what}.") from None
        before = found.get(model, BilledModel(model, 0, 0))
        found[model] = BilledModel(model, before.requests + requests, before.nanousd + nanousd)
    if entries and not found:
        raise RemoteFailure(f"ZenMux's answer cannot be read: it was asked about {day}, and tells of other times.")
    return list(found.values())


def _is_of(entry: Mapping[str, object], day: date) -> bool:
    """Whether the entry is of that day. `bizTime` is a day or an hour; if it is missing, the query's day is assumed."""
    time = entry.get("bizTime")
    return time is None or re.sub(r"\D", "", str(time)).startswith(f"{day:%Y%m%d}")


def _entry(entry: Mapping[str, object]) -> BilledModel:
    model, requests, amount = entry["modelSlug"], entry["requestCounts"], entry["billAmount"]
    if not isinstance(model, str) or not _MODEL_NAME.fullmatch(model):
        raise ValueError("modelSlug")
    if isinstance(requests, bool) or not isinstance(requests, int) or not 0 <= requests <= 10**12:
        raise ValueError("requestCounts")
    # As text it is exact. A sum of binary fractions may have more than nine decimals, which are noise.
    usd = Decimal(str(amount))
    if not usd.is_finite() or abs(usd) > _USD_MAX:
        raise ValueError("billAmount")
    return BilledModel(model, requests, int((usd * NANOUSD_PER_USD).to_integral_value()))
