"""Which reader an answer gets, and what every one of them makes of usage that is not itemised."""

from dataclasses import replace

import pytest

from app.exchange.answer_reader import DOCUMENT, EVENT_STREAM, answer_reader
from app.images.catalog.catalog import load_catalog
from app.images.request.normalize import RequestPolicy, normalize
from tests.days import TODAY

USAGE = b'"usage":{"input_tokens":30,"output_tokens":196,"total_tokens":226}'
FIELDS = b'"b64_json":"QQ==",' + USAGE
BODIES = {
    DOCUMENT: b'{"data":[{"b64_json":"QQ=="}],' + USAGE + b"}",
    EVENT_STREAM: b'data: {"type":"image_generation.completed",' + FIELDS + b"}\n\n",
}

POLICY = RequestPolicy(load_catalog(), True, None, "gpt-image-2", None)
TEXT_ONLY = normalize({"model": "gpt-image-2", "prompt": "a house"}, POLICY, TODAY)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("content_type", BODIES)
@pytest.mark.parametrize(("images_in", "expected"), [(0, (30, 0)), (2, (0, 30))])
def test_input_that_is_not_itemised_is_image_input_where_images_were_sent(
    content_type: str, stream: bool, images_in: int, expected: tuple[int, int]
) -> None:
    reader = answer_reader(content_type, replace(TEXT_ONLY, stream=stream, input_image_count=images_in))
    assert reader is not None
    body = BODIES[content_type]
    reader.feed(body, len(body), 0)
    usage = reader.summary().usage
    assert usage is not None
    assert (usage.input_text_tokens, usage.input_image_tokens) == expected


def test_what_is_neither_a_document_nor_a_stream_is_no_answer() -> None:
    assert answer_reader("text/html", TEXT_ONLY) is None
