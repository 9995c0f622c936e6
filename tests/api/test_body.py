"""Reading a JSON object out of a request: what is read, and the clear refusal of everything else."""

import json
from typing import Any

import pytest
from starlette.requests import Request

from app.api.body import parse_json_object, read_json_object
from app.errors import BodyTooLarge, ClientLeft, InvalidRequest, UnsupportedContentType


def test_an_object_is_read() -> None:
    assert parse_json_object('{"prompt": "Ein Haus – 家", "n": 2}'.encode()) == {"prompt": "Ein Haus – 家", "n": 2}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "no body"),
        (b"{", "line 1, column 2"),
        (b"[]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"n": NaN}', "NaN"),
        (b'{"n": -Infinity}', "-Infinity"),
        (b'{"prompt": "\xff"}', "not UTF-8 at byte 12"),
        (b'{"n": ' + b"9" * 5000 + b"}", "too long"),
        (b'{"n": [-' + b"9" * 100 + b"]}", "too long"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "deeper than 32"),
        (b"[" * 200_000, "deeper than 32"),
        (b'{"a": [' + b"1," * 10_001 + b"1]}", "more than 10000 names and values"),
        (b'{"a": [' + b"{}," * 10_000 + b"1]}", "more than 10000 names and values"),
        (b'{"' + b'\\"' * 500_000, "line 1, column 2"),
        (b'{"a": "\\"' + b"[" * 40 + b'", "b": ' + b"[" * 33, "deeper than 32"),
    ],
)
def test_anything_else_is_refused_with_its_reason(body: bytes, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told) as refused:
        parse_json_object(body)
    assert refused.value.code == "invalid_json"


def test_brackets_inside_a_prompt_are_no_depth() -> None:
    prompt = "[{" * 500 + '"\\'
    assert parse_json_object(json.dumps({"prompt": prompt}).encode()) == {"prompt": prompt}


@pytest.mark.parametrize("body", [b'{"n": 1, "n": 2}', b'{"a": {"n": 1, "n": 1}}'])
def test_a_name_given_twice_is_refused_by_name(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="'n' is given more than once") as refused:
        parse_json_object(body)
    assert (refused.value.param, refused.value.code) == ("n", "duplicate_parameter")


def test_a_name_given_twice_among_thousands_is_found() -> None:
    names = ",".join(f'"{number}": 1' for number in range(4000))
    with pytest.raises(InvalidRequest, match="'3999' is given more than once"):
        parse_json_object(f'{{{names}, "3999": 1}}'.encode())


def test_commas_and_quotes_inside_a_prompt_are_no_parts() -> None:
    prompt = ',"[' * 20_000
    assert parse_json_object(json.dumps({"prompt": prompt}).encode()) == {"prompt": prompt}


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse_json_object(b'\xef\xbb\xbf{"n": 1}') == {"n": 1}


def request(chunks: list[bytes], headers: dict[str, str], *, leaves: bool = False) -> Request:
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.disconnect"} if leaves else {"type": "http.request", "more_body": False})
    scope = {"type": "http", "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    return Request(scope, receive)


JSON = {"content-type": "application/json; charset=utf-8"}


async def test_a_body_in_pieces_is_read() -> None:
    assert await read_json_object(request([b'{"a"', b": 1}"], JSON), 100) == {"a": 1}


@pytest.mark.parametrize("headers", [JSON, {**JSON, "content-length": "101"}])
async def test_a_body_over_the_size_is_refused_whether_declared_or_not(headers: dict[str, str]) -> None:
    with pytest.raises(BodyTooLarge, match="100 bytes"):
        await read_json_object(request([b"x" * 60, b"x" * 41], headers), 100)


@pytest.mark.parametrize(
    "headers", [{}, {"content-type": "text/plain"}, {"content-type": "multipart/form-data; boundary=x"}]
)
async def test_another_content_type_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(UnsupportedContentType, match="application/json"):
        await read_json_object(request([b"{}"], headers), 100)


async def test_a_compressed_body_is_refused() -> None:
    with pytest.raises(UnsupportedContentType, match="Compressed"):
        await read_json_object(request([b"{}"], {**JSON, "content-encoding": "gzip"}), 100)


async def test_a_client_that_leaves_while_sending_is_no_fault() -> None:
    with pytest.raises(ClientLeft):
        await read_json_object(request([b'{"a"'], JSON, leaves=True), 100)
