import json

import pytest

from bench.judging import Verdict, compare

ANSWER = {"created": 1, "data": [{"b64_json": "QUJD"}], "usage": {"total_tokens": 5}}
EVENTS = b'event: x\ndata: {"b64_json": "QQ=="}\n\nevent: y\ndata: {"b64_json": "QUJD", "usage": {}}\n\n'


def told(answer: object) -> bytes:
    return json.dumps(answer).encode()


def test_the_same_bytes_set_the_length_of_every_answer() -> None:
    assert compare(told(ANSWER), told(ANSWER), stream=False) == Verdict(payload_bytes=len(told(ANSWER)))


@pytest.mark.parametrize(
    ("got", "verdict"),
    [
        (json.dumps(ANSWER, indent=1).encode(), Verdict(note="re-encoded")),
        (told({"created": 1, "data": ANSWER["data"]}), Verdict(note="re-encoded, without usage")),
        (told(ANSWER | {"data": [{"b64_json": "QUJE"}]}), Verdict(refusal="does not answer the images")),
        (told(ANSWER | {"data": []}), Verdict(refusal="does not answer the images")),
        (b"<html>", Verdict(refusal="answers what is not JSON")),
    ],
)
def test_other_bytes(got: bytes, verdict: Verdict) -> None:
    assert compare(told(ANSWER), got, stream=False) == verdict


def test_streams_are_compared_event_by_event() -> None:
    assert compare(EVENTS, EVENTS.replace(b"data: ", b"data:"), stream=True) == Verdict(note="re-encoded")
    half = EVENTS.partition(b"event: y")[0]
    assert compare(EVENTS, half, stream=True) == Verdict(refusal="does not answer the images")
    assert compare(EVENTS, told(ANSWER), stream=True) == Verdict(refusal="answers what is not JSON")
