"""Reads what an error body of ZenMux, OpenAI or Azure says, and takes out of its text what no caller may see. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_MESSAGE_LENGTH_MAX = 500
_READ_LENGTH_MAX = 4 * _MESSAGE_LENGTH_MAX
_CATEGORIES_MAX = 20
_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}")
_PARAM = re.compile(r"[A-Za-z_][A-Za-z0-9_.\[\]-]{0,63}")
_CATEGORY = re.compile(r"[a-z][a-z0-9_/-]{0,63}")
_STAGES = ("input", "output")

# Ids, keys, who the gateway is at ZenMux, where things run, and whatever looks like one of these.
_SECRETS = re.compile(
    r"""\([^()]*\b(?:request|trace|generation)[-_ ]?id\b[^()]*\)
      | \b(?:x-)?(?:zenmux-?)?(?:request|trace|generation)[-_ ]?id["']?\s*[:=]?\s*["']?(?=[\w.-]*\d)[\w.-]{3,}[\w-]
      | \(?\bapi_key_source\b\s*[:=]?\s*\w*\)?
      | \bBearer\s+\S+
      | \b[srp]k[-_][\w*.…-]{3,}
      | \b(?:org|proj)[-_][A-Za-z0-9]{6,}
      | \b(?:acct|file|gen|key|req|resp|user)[-_](?=[A-Za-z]*\d)[A-Za-z0-9]{6,}
      | \b[a-z][a-z0-9+.-]{1,15}://\S+
      | \bdata:[\w/+.-]*[;,]\S*
      | (?<!\w)/(?:[\w.-]+/)+[\w.-]*
      | \b[\w.+-]{1,64}@[\w.-]{1,255}
      | \b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b
      | \b(?:localhost|(?:[\w-]+\.)+(?:cluster|corp|internal|intra|lan|local|svc)\b)[\w.-]*(?::\d+)?
      | \b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b
      | \b[0-9a-f]{16,}\b
      | [\w+/=-]{40,}""",
    re.VERBOSE | re.IGNORECASE,
)
_EMPTIED = re.compile(r"\(\s*[,;]*\s*\)|\[\s*\]|''|\"\"")
_SPACE_BEFORE_MARK = re.compile(r"\s+([.,;:!?])")
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What an error says, in whoever's envelope. `words` are all its machine-readable reasons, in lower case.

    `message` may be shown to a caller. `code` is a word, never a status. `details` are OpenAI's `moderation_details`.
    """

    message: str = ""
    type: str | None = None
    code: str | None = None
    param: str | None = None
    words: frozenset[str] = frozenset()
    details: Mapping[str, object] = field(default_factory=dict)


def read_error_body(body: bytes) -> ErrorBody:
    """Never raises; `body` may be anything: JSON of any shape, HTML, nothing, or the beginning of one of these."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ErrorBody()
    if not isinstance(document, Mapping):
        return ErrorBody()
    told = document.get("error", document)
    error = told if isinstance(told, Mapping) else {"message": told}
    inner = _mapping(error.get("inner_error", error.get("innererror")))
    message = error.get("message")
    param = error.get("param")
    words = (_word(error.get("type")), _word(error.get("code")), _word(inner.get("code")))
    return ErrorBody(
        message=scrub(message) if isinstance(message, str) else "",
        type=words[0],
        code=words[1],
        param=param if isinstance(param, str) and _PARAM.fullmatch(param) else None,
        words=frozenset(word for word in words if word is not None),
        details=_moderation(_mapping(error.get("moderation_details")), {**error, **inner}),
    )


def scrub(text: str) -> str:
    """`text` on one line and of bounded length, without ids, keys, addresses and control characters."""
    line = "".join(letter if letter.isprintable() else " " for letter in text[:_READ_LENGTH_MAX])
    line = _EMPTIED.sub("", _SECRETS.sub("", line))
    line = _SPACE_BEFORE_MARK.sub(r"\1", _BLANKS.sub(" ", line)).strip()
    return line if len(line) <= _MESSAGE_LENGTH_MAX else line[: _MESSAGE_LENGTH_MAX - 1] + "…"


def _moderation(openai: Mapping[str, object], azure: Mapping[str, object]) -> dict[str, object]:
    """OpenAI's `moderation_details`, or Azure's filter results in their form. Only closed words pass."""
    results = _mapping(azure.get("content_filter_results", azure.get("content_filter_result")))
    if not openai and not results:
        return {}
    listed = openai.get("categories")
    names = listed if isinstance(listed, list) else [name for name in results if _is_filtered(results[name])]
    categories = [name for name in names[:_CATEGORIES_MAX] if isinstance(name, str) and _CATEGORY.fullmatch(name)]
    stage = openai.get("moderation_stage")
    return {
        "moderation_details": {
            "moderation_stage": stage if stage in _STAGES else "unknown",
            "categories": categories,
        }
    }


def _is_filtered(result: object) -> bool:
    return _mapping(result).get("filtered") is True


def _word(value: object) -> str | None:
    """`value` if it is a word: a number or a number-string is the status again, not a reason."""
    word = value.lower() if isinstance(value, str) else ""
    return word if _WORD.fullmatch(word) else None


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
