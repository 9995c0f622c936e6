"""What the sandbox answers to one key and not to others: out of credit, rate-limited, revoked, or each second time.

So one sandbox plays several accounts. Bounded; serves one event loop.
"""

import hashlib
from dataclasses import dataclass

from app.sandbox.requests.directives import DirectiveError, Directives, parse_directives

_RULES_MAX = 100
_EVERY_MAX = 1000


@dataclass(slots=True)
class _Rule:
    directives: Directives
    every: int
    asked: int = 0


class KeyRules:
    """The rules by key, each written without the prefix that all keys have."""

    def __init__(self) -> None:
        self._rules: dict[str, _Rule] = {}

    def put(self, key: str, written: str, every: int = 1) -> None:
        """From now on requests with this key, or each `every`th of them, are refused as `written` says: `status=402`.

        Raises DirectiveError.
        """
        directives, rest = parse_directives(f"[sandbox: {written}]")
        if directives.status is None or rest or not 1 <= every <= _EVERY_MAX:
            raise DirectiveError("A key's rule is a refusal, such as: status=429 retry-after=2")
        if key not in self._rules and len(self._rules) >= _RULES_MAX:
            raise DirectiveError(f"There are rules for {_RULES_MAX} keys already.")
        self._rules[key] = _Rule(directives, every)

    def drop(self, key: str) -> None:
        """The key is good again."""
        self._rules.pop(key, None)

    def refusal_of(self, key: str) -> Directives | None:
        """What this request is refused with; None if the key is good. Counts the request."""
        rule = self._rules.get(key)
        if rule is None:
            return None
        rule.asked += 1
        return rule.directives if rule.asked % rule.every == 0 else None


def key_mark(key: str) -> str:
    """What a bill shows in place of a key, without its prefix: enough to tell keys apart, and no secret."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]
