"""Reads an error body of ZenMux, OpenAI or Azure, and removes from its text what no caller may see. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

_MESSAGE_LENGTH_MAX = 500
_READ_LENGTH_MAX = 4 * _MESSAGE_LENGTH_MAX
_CATEGORIES_MAX = 20
_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}")
_PARAM = re.compile(r"[A-Za-z_][A-Za-z0-9_.\[\]-]{0,63}")
_CATEGORY = re.compile(r"[a-z][a-z0-9_/-]{0,63}")
_STAGES = ("input", "output")
_DEPTH_MAX = 5  # nested envelopes around an error
_ENVELOPES = ("error", "errors", "detail", "details")
_MESSAGES = ("message", "msg", "detail", "error_description", "error", "title")
_TITLE = re.compile(rb"<title[^>]{0,200}>([^<]{1,200})", re.IGNORECASE)

# Ids, keys, the gateway's identity at ZenMux, locations, and whatever looks like one of these.
_SECRETS = re.compile(
    r"""\([^()]*\b(?:request|trace|generation)[-_ ]?id\b[^()]*\)
      | \b(?P<kept>(?:x-)?(?:zenmux-?)?(?:request|trace|generation)[-_ ]?id)
        ["']?\s*[:=]?\s*["']?(?=[\w.-]*\d)[\w.-]{3,}[\w-]
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
      | \b(?:localhost|(?:[\w-]{1,63}\.){1,9}(?:cluster|corp|internal|intra|lan|local|svc)\b)[\w.-]*(?::\d+)?
      | \b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b
      | \b[0-9a-f]{16,}\b
      | [\w+/=-]{40,}""",
    re.VERBOSE | re.IGNORECASE,
)
_MARKS = ".,;:!?"
_EMPTIED = re.compile(r"\(\s*[,;]*\s*\)|\[\s*\]|''|\"\"")
_SPACE_BEFORE_MARK = re.compile(r"\s+([.,;:!?])")
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What an error says, in any provider's envelope. `words` are all its machine-readable reasons, in lower case.

    `message` may be shown to a caller. `code` is a word, never a status. `details` are OpenAI's `moderation_details`.
    """

    message: str = ""
    type: str | None = None
    code: str | None = None
    param: str | None = None
    words: frozenset[str] = frozenset()
    details: Mapping[str, object] = field(default_factory=dict)
    enveloped: bool = field(default=False, compare=False)  # the error is in an object called `error`, as ZenMux's are


def read_error_body(body: bytes) -> ErrorBody:
    """Reads an error's body. Never raises. `body` may be anything: JSON of any shape, HTML, nothing, or the beginning
    of one of these.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ErrorBody()
    if not isinstance(document, Mapping | list):
        return ErrorBody()
    reported = read_error(document)
    enveloped = isinstance(document, Mapping) and isinstance(document.get("error"), Mapping)
    return replace(reported, enveloped=enveloped and bool(reported.message or reported.words))


def describe_page(body: bytes) -> str:
    """For the log: the title of a page that is not ZenMux's error, or that it has none."""
    title = _TITLE.search(body)
    shown = scrub(title[1].decode("utf-8", "replace")) if title else ""
    return f"a page titled {shown!r}" if shown else ("a body that is not JSON" if body.strip() else "no body")


def read_error(document: object) -> ErrorBody:
    """The same for an error that was parsed already."""
    return _read(_find_error(document, _DEPTH_MAX))


def _find_error(found: object, depth: int) -> Mapping[str, object]:
    """The object that describes the error: the innermost one, of several the first; {} if there is none."""
    if isinstance(found, str):
        return {"message": found}
    if isinstance(found, list):
        return next((error for each in found[:_DEPTH_MAX] if (error := _find_error(each, depth - 1))), {})
    if not isinstance(found, Mapping) or depth <= 0:
        return {}
    for name in _ENVELOPES:
        if name != "error" and any(isinstance(text := found.get(own), str) and text for own in ("message", "msg")):
            break  # it describes the error by itself
        inner = found.get(name)
        if isinstance(inner, Mapping | list) and (error := _find_error(inner, depth - 1)):
            return error
    return found if any(found.values()) else {}


def _read(error: Mapping[str, object]) -> ErrorBody:
    inner = _mapping(error.get("inner_error", error.get("innererror")))
    message = next((text for name in _MESSAGES if isinstance(text := error.get(name), str) and text.strip()), "")
    param = error.get("param", _last_place(error.get("loc")))
    words = (_word(error.get("type")), _word(error.get("code")), _word(inner.get("code")))
    return ErrorBody(
        message=scrub(message),
        type=words[0],
        code=words[1],
        param=param if isinstance(param, str) and _PARAM.fullmatch(param) else None,
        words=frozenset(word for word in words if word is not None),
        details=_moderation(_mapping(error.get("moderation_details")), {**error, **inner}),
    )


def scrub(text: str) -> str:
    """`text` on one line of bounded length, without ids, keys, addresses and control characters."""
    line = "".join(letter if letter.isprintable() else " " for letter in text[:_READ_LENGTH_MAX])
    line = _EMPTIED.sub("", _SECRETS.sub(_removed, line))
    line = _SPACE_BEFORE_MARK.sub(r"\1", _BLANKS.sub(" ", line)).strip()
    return line if len(line) <= _MESSAGE_LENGTH_MAX else line[: _MESSAGE_LENGTH_MAX - 1] + "…"


def _removed(secret: re.Match[str]) -> str:
    """The replacement for a secret, chosen so that the sentence stays readable."""
    text = secret[0]
    if text.startswith("(") or "api_key_source" in text.lower():
        return ""  # beside the sentence, not part of it
    marks = text[len(text.rstrip(_MARKS)) :]
    return f"{secret['kept']} [removed]{marks}" if secret["kept"] else f"[removed]{marks}"


def _last_place(places: object) -> object:
    """The name of the field, from FastAPI's `loc`, such as ["body", "size"]."""
    return places[-1] if isinstance(places, list) and places else None


def _moderation(openai: Mapping[str, object], azure: Mapping[str, object]) -> dict[str, object]:
    """OpenAI's `moderation_details`, or Azure's filter results in that form. Only closed words pass."""
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
    """`value` if it is a word. A number, or a number as text, is only the status again."""
    word = value.lower() if isinstance(value, str) else ""
    return word if _WORD.fullmatch(word) else None


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
