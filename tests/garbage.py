"""Requests that are not right, of every kind that callers without a key, or with one, can send. Made from a seed."""

import random
import socket
from collections.abc import Iterator
from contextlib import suppress

GENERATIONS = b"POST /v1/images/generations HTTP/1.1\r\nhost: x\r\n"
CHUNKED = GENERATIONS + b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
EDITS = b"POST /v1/images/edits HTTP/1.1\r\nhost: x\r\n"
JSON, FORM = b"application/json", b"multipart/form-data; boundary=x"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
GET = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"
MEGABYTE = 1_048_576


def with_body(body: bytes, key: str | None, start: bytes = GENERATIONS, kind: bytes = JSON) -> bytes:
    """A whole request for an image; with a key it reaches the checks of its body."""
    bearer = b"authorization: Bearer %s\r\n" % key.encode() if key else b""
    head = start + bearer + b"content-type: %b\r\nconnection: close\r\n" % kind
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


def large(key: str | None) -> dict[str, bytes]:
    """The dearest request of each kind, by its name."""
    names = b",".join(b'"n%d":1' % number for number in range(80_000))
    bodies = {
        "names": b"{" + names + b"}",
        "the last name twice": b"{" + names + b',"n79999":1}',
        "arrays": b"[" * (MEGABYTE // 2) + b"]" * (MEGABYTE // 2),
        "objects": b'{"a":' * 200_000,
        "brackets in a text": b'{"prompt":"' + b"[{" * 500_000 + b'"}',
        "escapes": b'{"prompt":"' + b"\\u0041" * 170_000 + b'"}',
        "backslashes": b'{"prompt":"' + b"\\\\" * 500_000 + b'"}',
        "digits": b'{"n":' + b"9" * 1_000_000 + b"}",
        "numbers": b"[" + b"1," * 500_000 + b"1]",
        "spaces": b" " * 1_000_000,
        "no UTF-8": b'{"prompt":"' + b"\xff" * 1_000_000 + b'"}',
        "a long prompt": b'{"prompt":"' + b"a" * 1_000_000 + b'"}',
    }
    part = b'--x\r\ncontent-disposition: form-data; name="%b"\r\n\r\n'
    edits = {
        "an edit of quotes": (JSON, b'"' * 1_000_000),
        "an edit of short texts": (JSON, b"[" + b'"",' * 300_000 + b'""]'),
        "an edit of texts like data URLs": (JSON, b"[" + b'"data:image/png,",' * 55_000 + b'""]'),
        "an edit of half data URLs": (JSON, (b'"data:' + b"a" * 245 + b'",') * 4000),
        "an edit of backslashes": (JSON, b'["' + b"\\" * 1_000_000),
        "an edit of one data URL": (JSON, b'["data:image/png;base64,iVBORw0KGgoAAAAN' + b"AAAA" * 500_000 + b'"]'),
        "a form of line ends": (FORM, part % b"prompt" + b"\r\n" * 60_000),
        "a form of almost boundaries": (FORM, part % b"image" + PNG + b"\r\n--" * 500_000),
        "a form of parts": (FORM, b"".join(part % b"f%d" % number + b"\r\n" for number in range(50_000))),
        "a form without end": (FORM, b"\r\n-" * 400_000),
        "a form of headers": (FORM, b"--x\r\n" + b"a: b\r\n" * 200_000),
        "a form of options": (FORM, b"--x\r\ncontent-disposition: form-data" + b'; a="b"' * 500 + b"\r\n\r\n"),
        "a form of an image": (FORM, part % b"image" + PNG + bytes(2_000_000) + b"\r\n--x--"),
    }
    heads = {
        "headers": b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 60_000,
        "a long header": b"GET / HTTP/1.1\r\na: " + b"b" * MEGABYTE,
        "a long path": b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        "a pipeline": GET * 20_000,
        "a pipeline of pages": b"GET /docs HTTP/1.1\r\nhost: x\r\n\r\n" * 20_000,
        "trailers": CHUNKED + b"0\r\n" + b"a:b\r\n" * 200_000,
        "a long trailer": CHUNKED + b"0\r\na: " + b"b" * MEGABYTE,
        "a chunk's extension": CHUNKED + b"5;" + b"b" * MEGABYTE,
        "small chunks": CHUNKED + b"1\r\na\r\n" * 200_000 + b"0\r\n\r\n",
        "empty lines": b"\r\n" * 500_000,
        "an upgrade before a pipeline": GET[:-2] + b"connection: upgrade\r\nupgrade: h2c\r\n\r\n" + GET * 20_000,
        "upgrades": (GET[:-2] + b"connection: upgrade\r\nupgrade: h2c\r\n\r\n") * 10_000,
        "zeros": bytes(MEGABYTE),
    }
    asked = {name: with_body(body, key) for name, body in bodies.items()}
    return {**asked, **{name: with_body(body, key, EDITS, kind) for name, (kind, body) in edits.items()}, **heads}


def small(seed: int) -> Iterator[bytes]:
    """Short malformed requests without end: each is refused, or cut by its caller."""
    chance = random.Random(seed)
    starts = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(60),
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /" + b"%ff" * 50 + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 300,
        GET[:-2] + b"upgrade: h2c\r\nconnection: upgrade, close\r\n\r\n",
        GET * 3,
        GET + b"\x00\x01",
        CHUNKED + b"zz\r\n",
        CHUNKED + b"0\r\nauthorization: Bearer sk\r\n" * 3,
        CHUNKED[:-2] + b"content-length: 5\r\n\r\nhello",
        with_body(b"{", None),
        with_body(b'{"prompt":"a"}', "sk-zg-abcdefgh-" + "a" * 43),
        with_body(b"\xff\xfe{}", "sk-zg"),
        GENERATIONS + b"content-length: 99\r\n\r\nhalf",
    ]
    while True:
        request = bytearray(chance.choice(starts))
        for _ in range(chance.randrange(3)):
            request[chance.randrange(len(request))] = chance.randrange(256)
        yield bytes(request[: chance.randrange(1, len(request))] if chance.random() < 0.2 else request)


def send(port: int, request: bytes, seconds: float = 5) -> bytes:
    """What comes back; the caller goes when the server closed, or has answered, or after `seconds`."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        with suppress(OSError):
            connection.sendall(request)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while len(received) < MEGABYTE and (chunk := connection.recv(65_536)):
            received += chunk
        return received
    return b""
