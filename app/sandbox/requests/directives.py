"""What `[sandbox: …]` in a prompt asks for: which answer, which fault, at which speed. Pure; performs nothing."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from app.sandbox.requests.refusals import ZENMUX_ERRORS

ERROR_SHAPES: Final = ("openai", "flat", "data", "failed", "partial-failed", "proxy")
DURATION_SECONDS_MAX: Final = 3600.0
BODY_BYTES_MAX: Final = 1_000_000_000

_BLOCK = re.compile(r"\[sandbox:([^\[\]]*)\]", re.IGNORECASE)
_OPENING = re.compile(r"\[sandbox\b", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)")
_BYTES = re.compile(r"(\d+(?:\.\d+)?)(B|kB|MB|GB)", re.IGNORECASE)
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}
_UNIT_BYTES: Final = {"b": 1, "kb": 1_000, "mb": 1_000_000, "gb": 1_000_000_000}


class DirectiveError(ValueError):
    """A directive is unknown, malformed, or does not fit another one. The message names it and lists the known ones."""


@dataclass(frozen=True, slots=True)
class Directives:
    """What was asked for. The defaults are a healthy answer at full speed."""

    status: int | None = None
    type: str | None = None
    retry_after_seconds: int | None = None
    moderation: str | None = None
    delay_seconds: float = 0.0
    gap_seconds: float = 0.0
    bytes_per_second: int | None = None
    cut: float | None = None
    stall: float | None = None
    reset: bool = False
    no_usage: bool = False
    no_details: bool = False
    usage_factor: int = 1
    no_completed: bool = False
    error_event: bool = False
    shape: str = "openai"
    body_bytes: int | None = None
    garbage: bool = False
    html: int | None = None
    empty: bool = False
    headers: bool = False
    chunked: bool = False
    gzip: bool = False


@dataclass(frozen=True, slots=True)
class Directive:
    """One word of the language: how it is written, what it does, and how its value becomes a field."""

    form: str
    meaning: str
    field: str
    read: Callable[[str], object] | None  # None: it takes no value
    bare: object = None  # the field's value when written without `=`; None: a value is needed

    @property
    def name(self) -> str:
        return re.split(r"[=\[]", self.form)[0]


def _duration(text: str) -> float:
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) * _SECONDS[match[2]] if match else -1.0
    if not 0 <= seconds <= DURATION_SECONDS_MAX:
        raise ValueError("expected a time of at most an hour, such as 100ms, 2s or 1m")
    return seconds


def _size(text: str) -> int:
    match = _BYTES.fullmatch(text)
    size = int(float(match[1]) * _UNIT_BYTES[match[2].lower()]) if match else 0
    if not 1 <= size <= BODY_BYTES_MAX:
        raise ValueError("expected a size of at most 1GB, such as 500kB or 30MB")
    return size


def _rate(text: str) -> int:
    if not text.endswith("/s"):
        raise ValueError("expected a rate such as 50kB/s or 1MB/s")
    return _size(text.removesuffix("/s"))


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise ValueError("expected a share of the body from 0 up to, not including, 1, such as 0.5")
    return share


def _whole(text: str, low: int, high: int) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text) or not low <= int(text) <= high:
        raise ValueError(f"expected a whole number from {low} to {high}")
    return int(text)


def _status(text: str) -> int:
    if not re.fullmatch(r"[0-9]{3}", text) or int(text) not in ZENMUX_ERRORS:
        raise ValueError(f"expected one of {', '.join(map(str, ZENMUX_ERRORS))}")
    return int(text)


def _factor(text: str) -> int:
    if not text.endswith("x"):
        raise ValueError("expected a factor such as 100x")
    return _whole(text.removesuffix("x"), 1, 100_000)


def _word(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return text

    return read


def _flag(form: str, meaning: str) -> Directive:
    return Directive(form, meaning, form.replace("-", "_"), None, bare=True)


_TYPES: Final = tuple(sorted({kind for rows in ZENMUX_ERRORS.values() for kind, _ in rows}))

DIRECTIVES: Final[tuple[Directive, ...]] = (
    Directive("status=N", "refuse with this status, in ZenMux's envelope", "status", _status),
    Directive("type=WORD", "with status: which of the types of that status", "type", _word(*_TYPES)),
    Directive(
        "retry-after=N",
        "with status: a Retry-After header of N seconds",
        "retry_after_seconds",
        lambda text: _whole(text, 0, 86_400),
    ),
    Directive(
        "moderation[=azure]",
        "refuse with 400 by the safety system, in OpenAI's or Azure's shape",
        "moderation",
        _word("openai", "azure"),
        "openai",
    ),
    Directive("delay=TIME", "wait before the head of the answer", "delay_seconds", _duration),
    Directive("gap=TIME", "wait before every event of a stream, or every chunk of 64 kB", "gap_seconds", _duration),
    Directive("slow=RATE", "send the body no faster than this, such as 1MB/s", "bytes_per_second", _rate),
    Directive("cut=SHARE", "close the connection after this share of the body", "cut", _share),
    Directive("stall[=SHARE]", "send this share of the body (half of it), then nothing more", "stall", _share, 0.5),
    _flag("reset", "reset the connection (TCP RST) instead of answering"),
    _flag("no-usage", "leave `usage` out"),
    _flag("no-details", "leave the details of `usage` out"),
    Directive("usage=Nx", "report and bill N times the tokens of the formula", "usage_factor", _factor),
    _flag("no-completed", "end the stream cleanly without its completed event"),
    _flag("error-event", "end the stream with a failure event instead of the completed one"),
    Directive("shape=WORD", "with error-event: its shape", "shape", _word(*ERROR_SHAPES)),
    Directive("body=SIZE", "pad the answer to this size with noise; the image stays valid", "body_bytes", _size),
    _flag("garbage", "answer 200 with a body that is not JSON"),
    Directive("html[=N]", "answer with an HTML page and this status (502)", "html", lambda t: _whole(t, 400, 599), 502),
    _flag("empty", "answer 200 with an empty body"),
    _flag("headers", "add headers that must not leave a gateway"),
    _flag("chunked", "send the body without a Content-Length"),
    _flag("gzip", "compress the body, asked or not"),
)

# At most one of each line: they are different answers to the same question.
_EXCLUSIVE: Final = (
    ("status", "moderation", "reset", "garbage", "html", "empty", "body"),
    ("cut", "stall", "reset"),
    ("no-completed", "error-event"),
    ("no-usage", "no-details"),
)
_NEEDS: Final = {"type": "status", "retry-after": "status", "shape": "error-event"}
STREAM_ONLY: Final = ("no-completed", "error-event")


def parse_directives(prompt: str) -> tuple[Directives, str]:
    """The directives in `prompt`, and the prompt without them. Raises DirectiveError."""
    words = [word for block in _BLOCK.findall(prompt) for word in block.split()]
    rest = _BLOCK.sub(" ", prompt)
    if _OPENING.search(rest):
        raise DirectiveError(f"A [sandbox: …] block is not closed or has no colon. {_known()}")
    fields: dict[str, Any] = {}
    names: list[str] = []
    for word in words:
        directive, value = _read(word)
        if directive.name in names:
            raise DirectiveError(f"Directive '{directive.name}' is given twice. {_known()}")
        names.append(directive.name)
        fields[directive.field] = value
    _check_together(names, fields)
    return replace(Directives(), **fields), " ".join(rest.split())


def _read(word: str) -> tuple[Directive, object]:
    name, equals, text = word.partition("=")
    directive = _by_name().get(name.lower())
    if directive is None:
        raise DirectiveError(f"Unknown directive '{name}'. {_known()}")
    if not equals:
        if directive.bare is None:
            raise DirectiveError(f"Directive '{name}' needs a value: {directive.form}. {_known()}")
        return directive, directive.bare
    if directive.read is None:
        raise DirectiveError(f"Directive '{name}' takes no value. {_known()}")
    try:
        return directive, directive.read(text)
    except ValueError as error:
        raise DirectiveError(f"Directive '{word}': {error}. {_known()}") from None


def _check_together(names: list[str], fields: Mapping[str, object]) -> None:
    for group in _EXCLUSIVE:
        given = [name for name in names if name in group]
        if len(given) > 1:
            raise DirectiveError(f"Directives '{given[0]}' and '{given[1]}' exclude each other. {_known()}")
    for name, other in _NEEDS.items():
        if name in names and other not in names:
            raise DirectiveError(f"Directive '{name}' needs '{other}' beside it. {_known()}")
    status, kind = fields.get("status"), fields.get("type")
    if isinstance(status, int) and kind is not None and kind not in dict(ZENMUX_ERRORS[status]):
        types = ", ".join(dict(ZENMUX_ERRORS[status]))
        raise DirectiveError(
            f"Directive 'type={kind}' does not go with status={status}, which has: {types}. {_known()}"
        )


def _by_name() -> dict[str, Directive]:
    return {directive.name: directive for directive in DIRECTIVES}


def _known() -> str:
    return "Known directives: " + ", ".join(directive.form for directive in DIRECTIVES) + "."
