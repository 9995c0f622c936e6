"""What a change expects to find, as ETags tell it: read again in the change's own transaction. Pure."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import ChangedMeanwhile

_LENGTH = 32


def etag_of(thing: Mapping[str, Any]) -> str:
    """The ETag of a thing's JSON: another one as soon as anything in it is another."""
    text = json.dumps(thing, sort_keys=True, ensure_ascii=False)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]}"'


@dataclass(frozen=True, slots=True)
class Expected:
    """`etags` None: any state. `is_absent`: nothing may be there yet."""

    etags: frozenset[str] | None = None
    is_absent: bool = False

    def check(self, present: Mapping[str, Any] | None) -> None:
        """`present` is the JSON of what is there now, None for nothing. Raises ChangedMeanwhile."""
        if self.is_absent and present is not None:
            raise ChangedMeanwhile("It is there already, and If-None-Match: * only makes what is not.")
        if self.etags is None:
            return
        if present is None:
            raise ChangedMeanwhile("There is nothing that If-Match could name; leave the header out to make it.")
        if etag_of(present) not in self.etags and "*" not in self.etags:
            raise ChangedMeanwhile("It was changed since you read it. Read it again, and send the ETag it has now.")


ANYTHING = Expected()
