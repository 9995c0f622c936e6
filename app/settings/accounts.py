"""The ZenMux accounts as the settings name them: `main=sk-ai-v1-…, spare=sk-ai-v1-…*2`. No message repeats a key."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from pydantic import SecretStr

ONLY_ACCOUNT = "main"
"""The name of the account that ZENMUX_API_KEY gives."""

ACCOUNTS_MAX = 20
WEIGHT_MAX = 100
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,31}")
_WEIGHT = re.compile(r"[0-9]{1,4}")
_HOW = "write name=key, with commas between them, and *2 behind a key that shall get twice as much"


class AccountOrder(StrEnum):
    """How the next account is chosen among those that are up."""

    WEIGHTED = "weighted"
    PRIORITY = "priority"


@dataclass(frozen=True, slots=True)
class AccountSpec:
    """One ZenMux account as an operator describes it. `base_url` None: ZENMUX_BASE_URL. No `models`: all of them.

    `models` are catalog ids, or names without their vendor. `limits` are in written form; they are set in the database,
    not read from here.
    """

    name: str
    key: SecretStr | None
    weight: int = 1
    base_url: str | None = None
    management_key: SecretStr | None = None
    models: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()

    def serves(self, model: str) -> bool:
        """Whether it may be used for this model, which is a catalog id."""
        return not self.models or model in self.models or model.partition("/")[2] in self.models


def parse_accounts(text: str) -> tuple[AccountSpec, ...]:
    """The accounts that ZENMUX_API_KEYS names, in its order. Raises ValueError that says which one is wrong."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return check_accounts([_parse(number, part) for number, part in enumerate(parts, 1)])


def check_accounts(specs: Iterable[AccountSpec]) -> tuple[AccountSpec, ...]:
    """The accounts, if they go together. Raises ValueError."""
    found = tuple(specs)
    if len(found) > ACCOUNTS_MAX:
        raise ValueError(f"{len(found)} accounts are too many; name at most {ACCOUNTS_MAX}")
    keys: dict[str, str] = {}
    names: set[str] = set()
    for spec in found:
        if not _NAME.fullmatch(spec.name):
            raise ValueError(f"{spec.name[:40]!r} is no name of an account: use small letters, digits and . _ -")
        if not 1 <= spec.weight <= WEIGHT_MAX:
            raise ValueError(f"the weight of {spec.name} must be a whole number from 1 to {WEIGHT_MAX}")
        if spec.name in names:
            raise ValueError(f"two accounts have the name {spec.name}")
        names.add(spec.name)
        if spec.key is not None:
            key = spec.key.get_secret_value()
            if not key or not key.isascii() or not key.isprintable() or " " in key:
                raise ValueError(f"the key of {spec.name} is empty, or holds what no HTTP header can carry")
            if key in keys:
                raise ValueError(f"{keys[key]} and {spec.name} have the same key: that is one account")
            keys[key] = spec.name
    return found


def _parse(number: int, part: str) -> AccountSpec:
    name, equals, rest = part.partition("=")
    if not equals:
        raise ValueError(f"account {number} has no name: {_HOW}")
    key, times, weight = rest.strip().rpartition("*")
    if not times:
        return AccountSpec(name.strip(), SecretStr(weight))
    if not _WEIGHT.fullmatch(weight.strip()):
        raise ValueError(f"the weight of account {number} is no whole number: {_HOW}")
    return AccountSpec(name.strip(), SecretStr(key.strip()), int(weight))
