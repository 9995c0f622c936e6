"""The bodies of answers: one JSON document, a stream of events, or neither. Pure; sends nothing, and holds no more of a
body than its images.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.images.cost.usage import Usage
from app.sandbox.images.containers import padded
from app.sandbox.images.drawing import Drawn
from app.sandbox.images.runs import Run, base64_run, fixed, joined
from app.sandbox.requests.asked import Asked
from app.sandbox.requests.directives import Directives
from app.sandbox.requests.refusals import SandboxRefusal

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"

_HTML: Final = (
    "<!DOCTYPE html>\n<html><head><title>{0} {1}</title></head>\n"
    "<body><center><h1>{0} {1}</h1></center><hr><center>edge</center></body></html>\n"
)
_FAILURE: Final = "The provider failed while drawing"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back: `parts`, one after another; a stream has one part per event."""

    status: int
    media_type: str
    parts: tuple[Run, ...]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_stream(self) -> bool:
        return self.media_type == EVENT_STREAM

    @property
    def length(self) -> int:
        return sum(part.length for part in self.parts)


def images_answer(asked: Asked, drawn: Drawn, usage: Usage, created: int) -> Answer:
    """The healthy answer, and its variants of the same kind. `created` is in Unix seconds."""
    reported = _usage(asked, usage)

    def parts(images: Sequence[Run]) -> tuple[Run, ...]:
        if asked.stream:
            return tuple(_events(asked, drawn.partials, images, reported, created))
        return (_document(asked, images, reported, created),)

    finished = parts([fixed(image) for image in drawn.images])
    if asked.directives.body_bytes is not None:
        lacking = asked.directives.body_bytes - joined(finished).length
        padding_bytes = max(0, lacking) // len(drawn.images) * 3 // 4  # base64 makes it a third longer
        finished = parts(
            [padded(image, asked.output_format, padding_bytes, seed) for seed, image in enumerate(drawn.images)]
        )
    return Answer(200, EVENT_STREAM if asked.stream else JSON, finished)


def refusal_answer(refusal: SandboxRefusal) -> Answer:
    """An error as it is sent."""
    return Answer(refusal.status, JSON, (fixed(json.dumps(refusal.body).encode()),), refusal.headers)


def html_answer(status: int) -> Answer:
    """The page of something between the gateway and ZenMux: below 500 it refused, else it lost ZenMux's answer."""
    title = "Just a moment..." if status < 500 else "Bad gateway"
    return Answer(status, "text/html", (fixed(_HTML.format(status, title).encode()),))


def odd_answer(directives: Directives) -> Answer | None:
    """An answer that is not an images answer: garbage, a page of HTML, nothing at all."""
    if directives.garbage:
        return Answer(200, JSON, (fixed(b'{"created":1764000000,"data":[{"b64_json":\xff\xfe not JSON at all'),))
    if directives.html is not None:
        return html_answer(directives.html)
    if directives.empty:
        return Answer(200, JSON, (fixed(b""),))
    return None


def _usage(asked: Asked, usage: Usage) -> Mapping[str, object] | None:
    """`usage` as reported. According to the SDK's types, streams never itemise output."""
    if asked.directives.no_usage:
        return None
    reported: dict[str, object] = {
        "total_tokens": usage.total_tokens,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
    }
    if not asked.directives.no_details:
        reported["input_tokens_details"] = {
            "text_tokens": usage.input_text_tokens,
            "image_tokens": usage.input_image_tokens,
        }
        if not asked.stream:
            reported["output_tokens_details"] = {
                "image_tokens": usage.output_image_tokens,
                "text_tokens": usage.output_text_tokens,
            }
    return reported


_Reported = Mapping[str, object] | None


def _document(asked: Asked, images: Sequence[Run], usage: _Reported, created: int) -> Run:
    runs = [fixed(_opening({"created": created, **_look(asked)}) + b',"data":[')]
    for number, image in enumerate(images):
        runs += [fixed(b',{"b64_json":"' if number else b'{"b64_json":"'), base64_run(image), fixed(b'"}')]
    runs.append(fixed(b"]" + (b"}" if usage is None else _closing({"usage": usage}))))
    return joined(runs)


def _events(
    asked: Asked, partials: Sequence[bytes], images: Sequence[Run], usage: _Reported, created: int
) -> Iterator[Run]:
    family = "image_edit" if asked.operation == "edit" else "image_generation"
    look = {"created_at": created, **_look(asked)}
    for index, partial in enumerate(partials):
        yield _event(f"{family}.partial_image", fixed(partial), {**look, "partial_image_index": index})
    if asked.directives.error_event:
        yield fixed(_ERROR_EVENTS[asked.directives.shape](family))
    elif not asked.directives.no_completed:
        rest = look if usage is None else {**look, "usage": usage}
        for image in images:
            yield _event(f"{family}.completed", image, rest)


def _look(asked: Asked) -> dict[str, object]:
    return {
        "background": asked.background,
        "output_format": asked.output_format,
        "quality": asked.quality,
        "size": asked.size,
    }


def _event(name: str, image: Run, rest: Mapping[str, object]) -> Run:
    head = f"event: {name}\ndata: ".encode() + _opening({"type": name}) + b',"b64_json":"'
    return joined((fixed(head), base64_run(image), fixed(b'"' + _closing(rest) + b"\n\n")))


def _opening(values: Mapping[str, object]) -> bytes:
    """A JSON object whose brace is still open."""
    return _compact(values)[:-1]


def _closing(values: Mapping[str, object]) -> bytes:
    """The rest of a JSON object, from the comma before its next member."""
    return b"," + _compact(values)[1:]


def _compact(values: object) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode()


def _sse(event: str | None, data: object) -> bytes:
    return (f"event: {event}\n".encode() if event else b"") + b"data: " + _compact(data) + b"\n\n"


_ZENMUX_ERROR: Final = {"code": "500", "type": "provider_api_error", "message": _FAILURE}
_OPENAI_ERROR: Final = {"message": _FAILURE, "type": "server_error", "param": None, "code": "provider_api_error"}

# Every shape of a failure inside a stream that was found in public code. ZenMux does not document its own.
_ERROR_EVENTS: Final[Mapping[str, Callable[[str], bytes]]] = {
    "openai": lambda _: _sse("error", {"type": "error", "error": _OPENAI_ERROR}),
    "flat": lambda _: _sse("error", {**_OPENAI_ERROR, "type": "error"}),
    "data": lambda _: _sse(None, {"error": _ZENMUX_ERROR}),
    "failed": lambda family: _sse(f"{family}.failed", {"type": f"{family}.failed", "error": _OPENAI_ERROR}),
    "partial-failed": lambda family: _sse(
        f"{family}.partial_failed", {"type": f"{family}.partial_failed", "error": _OPENAI_ERROR}
    ),
    "proxy": lambda _: _sse("proxy_error", {"message": _FAILURE, "code": 500}),
}
