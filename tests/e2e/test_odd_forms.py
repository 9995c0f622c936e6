"""Forms that no client should send, over a real connection: each is drawn or refused, and then not bought."""

import json
import socket
from typing import Any

from app.sandbox.server import SandboxServer
from tests.image_files import image_file
from tests.servers import RunningGateway, fetch_json

PNG = image_file()
FORM = "content-type: multipart/form-data; boundary=xyz"
IMAGE = 'Content-Disposition: form-data; name="image"; filename="a.png"'
MIXED = "Content-Type: multipart/mixed; boundary="


def part(*headers: str, body: bytes = PNG) -> bytes:
    return "\r\n".join(["--xyz", *headers, "", ""]).encode() + body + b"\r\n"


def field_head(name: str) -> str:
    return f'Content-Disposition: form-data; name="{name}"'


def field(name: str, text: str) -> bytes:
    return part(field_head(name), body=text.encode())


FIELDS = field("model", "gpt-image-2") + field("prompt", "Snow") + field("size", "1024x1024") + field("quality", "low")


def named(filename: str) -> bytes:
    return part(f'Content-Disposition: form-data; name="image"; filename="{filename}"')


def mixed(boundary: str) -> bytes:
    """One image in a form of its own inside the part, as HTML 4 had it for several files of one field."""
    inner = f'--{boundary}\r\nContent-Disposition: file; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    return inner.encode() + PNG + f"\r\n--{boundary}--\r\n".encode()


# The part of the image, and the code and parameter of its refusal; None where it is drawn.
PARTS: dict[str, tuple[bytes, tuple[str, str | None] | None]] = {
    "CRLF in a file name": (named("a\r\n.png"), ("invalid_form", None)),
    "CRLF and a header in a file name": (named("a\r\nContent-Type: text/html\r\nX: .png"), None),
    "CRLF and a space in a file name": (named("a\r\n .png"), None),
    "CRLF twice in a file name": (named("a\r\n\r\n.png"), ("invalid_type", "image")),
    "LF in a file name": (named("a\n.png"), None),
    "CR in a file name": (named("a\r.png"), None),
    "CRLF in a file name, escaped": (named("a%0D%0A.png"), None),
    "CRLF in an extended file name": (
        part("Content-Disposition: form-data; name=\"image\"; filename*=utf-8''a%0D%0Ab.png"),
        None,
    ),
    "a header twice": (part(IMAGE, IMAGE), None),
    "two types": (part(IMAGE, "Content-Type: image/png", "Content-Type: text/plain"), None),
    "two names by two headers": (part(IMAGE, field_head("prompt")), ("duplicate_parameter", "prompt")),
    "two names by two headers, the image last": (part(field_head("user"), IMAGE), None),
    "two names in a header": (part(field_head("image") + '; name="user"; filename="a"'), ("invalid_type", "user")),
    "two file names": (part(IMAGE + '; filename="b.png"'), None),
    "two lengths": (part(IMAGE, "Content-Length: 1", "Content-Length: 2"), ("invalid_form", None)),
    "a form in the part": (part(field_head("image"), MIXED + "abc", body=mixed("abc")), ("invalid_type", "image")),
    "a form in a file": (part(IMAGE, MIXED + "abc", body=mixed("abc")), ("invalid_image_file", "image")),
    "a form of the same boundary": (part(IMAGE, MIXED + "xyz", body=mixed("xyz")), ("invalid_image_file", "image")),
    "a form of a longer boundary": (part(IMAGE, MIXED + "xyz1", body=mixed("xyz1")), ("invalid_image_file", "image")),
    "a form in a field": (
        part(field_head("user"), MIXED + "abc", body=mixed("abc")) + part(IMAGE),
        ("invalid_value", "user"),
    ),
    "an image that calls itself a form": (part(IMAGE, MIXED + "abc"), None),
}
LENGTH = "content-length: {length}"
# The headers of a good form, and the code of its refusal; None where it is drawn.
HEADERS: dict[str, tuple[tuple[str, ...], str | None]] = {
    "the type twice": ((FORM, FORM, LENGTH), None),
    "JSON after the form": ((FORM, "content-type: application/json", LENGTH), None),
    "JSON before the form": (("content-type: application/json", FORM, LENGTH), "invalid_json"),
    "two boundaries": ((f"{FORM}; boundary=abc", LENGTH), "invalid_form"),
    "two boundaries, the right one last": ((FORM.replace("=xyz", "=abc; boundary=xyz"), LENGTH), None),
    "multipart/mixed": ((f"{MIXED}xyz", LENGTH), "unsupported_content_type"),
    "the length twice": ((FORM, LENGTH, LENGTH), "invalid_http"),
    "two lengths": ((FORM, LENGTH, "content-length: 5"), "invalid_http"),
    "a length and chunks": ((FORM, LENGTH, "transfer-encoding: chunked"), "invalid_http"),
}


def post(gateway: RunningGateway, body: bytes, *headers: str) -> tuple[int, dict[str, Any]]:
    """The answer's status and its document."""
    lines = [
        "POST /v1/images/edits HTTP/1.1",
        "host: gateway",
        "connection: close",
        f"authorization: Bearer {gateway.store.key().text}",
        *(header.format(length=len(body)) for header in headers),
    ]
    with socket.create_connection(gateway.socket.getsockname(), timeout=30) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        answer = b""
        while received := connection.recv(65_536):
            answer += received
    head, _, document = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), json.loads(document)


def check(gateway: RunningGateway, sandbox: SandboxServer, bought: int) -> None:
    """What was drawn was bought once; of what was refused neither the ledger nor ZenMux knows. No file is left."""
    rows, bill = gateway.store.settled(bought), fetch_json(sandbox.bill_url)
    assert len(rows) == bill["count"] == bought
    assert gateway.store.findings(bill) == []
    assert list((gateway.settings.data_dir / "uploads").iterdir()) == []


def test_the_part_of_an_image(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    drawn = 0
    for name, (image, refused) in PARTS.items():
        status, answer = post(gateway, FIELDS + image + b"--xyz--\r\n", FORM, LENGTH)
        assert status == (200 if refused is None else 400), (name, answer)
        assert refused is None or (answer["error"]["code"], answer["error"]["param"]) == refused, name
        drawn += refused is None
        check(gateway, sandbox, drawn)


def test_the_head_of_a_request(gateway: RunningGateway, sandbox: SandboxServer) -> None:
    drawn = 0
    for name, (headers, refused) in HEADERS.items():
        status, answer = post(gateway, FIELDS + part(IMAGE) + b"--xyz--\r\n", *headers)
        assert status == {None: 200, "unsupported_content_type": 415}.get(refused, 400), (name, answer)
        assert refused is None or answer["error"]["code"] == refused, name
        drawn += refused is None
        check(gateway, sandbox, drawn)
