"""/files as a browser meets it: every header, parts, links that are forged, expired or lead nowhere."""

import asyncio
import os
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta

import httpx2
import pytest

from app.files.link_secrets import LinkSecrets
from app.files.store.folder import Folder
from app.files.store.index import Index, Kind, Owner
from app.files.store.store import FileStore, Keeping
from app.settings.settings import Settings
from tests.quotas.making import NOON, StillClock
from tests.servers import RunningGateway

IMAGE = b"\x89PNG\r\n\x1a\n" + os.urandom(300_000)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def clock() -> StillClock:
    return StillClock()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, clock: StillClock) -> Iterator[RunningGateway]:
    settings = Settings(_env_file=None, data_dir=tmp_path_factory.mktemp("gateway"), zenmux_api_key="sk-ai-v1-x")
    with RunningGateway(settings, clock) as made:
        yield made


@pytest.fixture(autouse=True)
def noon(clock: StillClock) -> None:
    clock.now = NOON


async def keep(gateway: RunningGateway, content_type: str = "image/png", expires_at: datetime = NOON + HOUR) -> str:
    """A file that another process of the same database kept; its link."""
    folder, engine = gateway.settings.files_dir, gateway.store.engine
    keeping = Keeping(Folder(folder), folder, "other", set, 10**9, lambda: secrets.token_hex(16), StillClock())
    store, links = FileStore(keeping, Index(engine)), LinkSecrets(engine, StillClock(), 3600)
    await store.start()
    await links.load()
    seconds = (expires_at - NOON).total_seconds()
    writer = await store.create(Kind.IMAGE, Owner("key", "user"), "req_1", content_type, seconds)
    await writer.write(IMAGE)
    await writer.commit()
    await store.close()
    return links.link(gateway.root, writer.id, content_type, expires_at)


@pytest.fixture
async def link(gateway: RunningGateway) -> str:
    return await keep(gateway)


def fetch(link: str, method: str = "GET", **headers: str) -> httpx2.Response:
    return httpx2.request(method, link, headers={name.replace("_", "-"): text for name, text in headers.items()})


def code(answer: httpx2.Response) -> str:
    found: str = answer.json()["error"]["code"]
    return found


async def test_everything_a_browser_is_told(link: str) -> None:
    answer = fetch(link, origin="https://elsewhere.example")
    assert answer.status_code == 200
    assert answer.content == IMAGE
    name = link.partition("/files/")[2].partition("?")[0]
    told = {
        "content-type": "image/png",
        "content-length": str(len(IMAGE)),
        "content-disposition": f'inline; filename="image-{name}"',
        "cache-control": "private, max-age=3600",
        "x-content-type-options": "nosniff",
        "access-control-allow-origin": "*",
        "cross-origin-resource-policy": "cross-origin",
        "accept-ranges": "bytes",
        "etag": f'"{name.partition(".")[0]}"',
        "last-modified": "Tue, 24 Nov 2026 12:00:30 GMT",
    }
    assert {header: answer.headers[header] for header in told} == told
    head = fetch(link, "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert {header: head.headers[header] for header in told} == told


async def test_parts(link: str) -> None:
    part = fetch(link, range="bytes=100-199")
    assert (part.status_code, part.content) == (206, IMAGE[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(IMAGE)}"
    assert part.headers["content-length"] == "100"
    assert fetch(link, range="bytes=-10").content == IMAGE[-10:]
    assert fetch(link, "HEAD", range="bytes=0-0").headers["content-length"] == "1"
    beyond = fetch(link, range=f"bytes={len(IMAGE)}-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(IMAGE)}")
    tag = part.headers["etag"]
    assert fetch(link, range="bytes=0-1", if_range=tag).status_code == 206
    assert fetch(link, range="bytes=0-1", if_range='"another"').content == IMAGE
    unchanged = fetch(link, if_none_match=tag)
    assert (unchanged.status_code, unchanged.content) == (304, b"")


async def test_no_link_but_the_gateways_own_opens_it(link: str) -> None:
    start, _, signature = link.partition("sig=")
    changed = [
        f"{start}sig={'A' + signature[1:] if signature[0] != 'A' else 'B' + signature[1:]}",
        f"{start}sig=",
        f"{start}sig={signature}x",
        f"{start}sig=%F0%9F%90%8D%ff",
        start.rstrip("&?"),
        link.replace("exp=", "exp=9"),
        link.replace("exp=", "exp=-"),
        link.replace("exp=", "expires="),
        link.replace(".png", ".html"),
        link.replace(".png", ""),
        link.partition("?")[0],
    ]
    for each in changed:
        answer = fetch(each)
        assert (answer.status_code, code(answer)) == (404, "unknown_url"), each


@pytest.mark.parametrize(
    "path",
    [
        "../gateway.db",
        "..%2fgateway.db",
        "%2e%2e%2fgateway.db",
        "gateway.db",
        "a/../../gateway.db",
        "%00.png",
        ".png",
        "",
    ],
)
async def test_no_path_leads_out_of_the_folder(gateway: RunningGateway, link: str, path: str) -> None:
    query = link.partition("?")[2]
    for written in (f"{gateway.root}/files/{path}?{query}", f"{link.partition('?')[0]}/{path}?{query}"):
        assert fetch(written).status_code == 404


async def test_after_its_end_a_link_says_so(link: str, clock: StillClock) -> None:
    clock.now = NOON + HOUR - timedelta(seconds=1)
    assert fetch(link).headers["cache-control"] == "private, max-age=1"
    clock.now = NOON + HOUR
    for answer in (fetch(link), fetch(link, range="bytes=0-1")):
        assert (answer.status_code, code(answer)) == (410, "file_gone")
        assert "expired" in answer.json()["error"]["message"]


async def test_an_image_that_was_evicted_is_gone(gateway: RunningGateway, link: str) -> None:
    name = link.partition("/files/")[2].partition(".")[0]
    Index(gateway.store.engine).remove([name])
    answer = fetch(link)
    assert (answer.status_code, code(answer)) == (410, "file_gone")
    assert "room" in answer.json()["error"]["message"]


async def test_what_is_no_image_is_not_shown_in_a_page(gateway: RunningGateway) -> None:
    answer = fetch(await keep(gateway, "application/octet-stream"))
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert answer.headers["content-disposition"].endswith('.bin"')


async def test_a_file_that_cannot_be_read_to_its_end_is_broken_off(gateway: RunningGateway, link: str) -> None:
    """Never a 200 whose caller takes the half for the whole."""
    file = gateway.settings.files_dir / link.partition("/files/")[2].partition(".")[0]

    def read_slowly() -> bytes:
        with httpx2.stream("GET", link) as answer:
            chunks = answer.iter_bytes(1000)
            got = next(chunks)
            os.truncate(file, 0)
            return got + b"".join(chunks)

    file.write_bytes(os.urandom(40_000_000))  # more than sockets hold
    Index(gateway.store.engine).remove([file.name])
    with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError, AssertionError)):
        assert len(await asyncio.to_thread(read_slowly)) == 40_000_000


async def test_other_methods_and_the_page_list(gateway: RunningGateway, link: str) -> None:
    assert fetch(link, "POST").status_code == 405
    assert fetch(f"{gateway.root}/files/").status_code == 404
    assert fetch(f"{gateway.root}/files").status_code == 404
