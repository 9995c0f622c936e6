"""`response_format=url`, end to end: links in place of images, on disks that fail, with the sandbox's bill as the judge
of every purchase."""

import asyncio
import base64
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
import pytest

from app.errors import FilesUnavailable
from app.files.store.draft import Draft
from app.files.store.folder import Folder
from app.files.store.store import FileStore
from app.sandbox.server import SandboxServer
from app.settings.settings import Settings
from tests.e2e.conftest import StartGateway
from tests.image_files import image_file
from tests.raw_upstream import Answer as RawAnswer
from tests.raw_upstream import RawRequest, RawUpstream, document
from tests.servers import UPSTREAM_KEY, Key, RunningGateway, assert_bill_is_ledger, fetch_json, wait_until

BODY = {"model": "gpt-image-2", "prompt": "a house", "size": "1024x1024", "quality": "low"}
USAGE = {"total_tokens": 214, "input_tokens": 18, "output_tokens": 196}
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def honest(gateway: RunningGateway, sandbox: SandboxServer) -> Iterator[None]:
    """Whatever a test does, the ledger equals the bill afterwards."""
    yield
    gateway.store.settled()
    assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []


def post(gateway: RunningGateway, key: Key | None = None, **fields: Any) -> httpx2.Response:
    key = key or gateway.store.key()
    body = {**BODY, "response_format": "url", **fields}
    body = {name: value for name, value in body.items() if value is not None}
    headers = {"authorization": f"Bearer {key.text}"}
    return httpx2.post(f"{gateway.url}/images/generations", json=body, headers=headers, timeout=30)


def kept(gateway: RunningGateway) -> list[Path]:
    """The images that lie in the folder, and what is written just now."""
    return [path for path in gateway.settings.files_dir.iterdir() if not path.name.startswith("gateway-")]


def leaves_nothing(gateway: RunningGateway) -> None:
    """The caller has its answer a moment before the file is gone."""
    wait_until(lambda: kept(gateway) == [], "no file is left")


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


@pytest.mark.usefixtures("honest")
def test_links_in_place_of_images_and_everything_else_as_it_was(gateway: RunningGateway) -> None:
    plain = post(gateway, response_format=None, n=2)
    answer = post(gateway, n=2)
    assert answer.status_code == 200
    assert "x-gateway-normalized" not in answer.headers
    assert int(answer.headers["content-length"]) == len(answer.content)
    document = answer.json()
    assert [list(item) for item in document["data"]] == [["url"], ["url"]]
    assert list(document) == list(plain.json())
    assert document["usage"] == plain.json()["usage"]
    for item, other in zip(document["data"], plain.json()["data"], strict=True):
        assert item["url"].startswith(f"{gateway.root}/files/")
        image = httpx2.get(item["url"])
        assert image.headers["content-type"] == "image/png"
        assert len(image.content) == len(base64.b64decode(other["b64_json"]))
        assert image.content.startswith(PNG)
    rows = gateway.store.settled(2)
    assert [row["outcome"] for row in rows] == ["completed"] * 2
    assert rows[0]["charged_nanousd"] == rows[1]["charged_nanousd"]


@pytest.mark.usefixtures("honest")
def test_edits_and_other_formats(gateway: RunningGateway) -> None:
    headers = {"authorization": f"Bearer {gateway.store.key().text}"}
    fields = {**BODY, "response_format": "url", "output_format": "jpeg"}
    files = {"image": image_file()}
    answer = httpx2.post(f"{gateway.url}/images/edits", data=fields, files=files, headers=headers, timeout=30)
    (item,) = answer.json()["data"]
    assert urlsplit(item["url"]).path.endswith(".jpg")
    assert httpx2.get(item["url"]).headers["content-type"] == "image/jpeg"


@pytest.mark.usefixtures("honest")
def test_a_stream_has_its_images_and_a_link_beside_the_last(gateway: RunningGateway) -> None:
    answer = post(gateway, stream=True, partial_images=2)
    *partials, completed = events(answer.text)
    assert len(partials) == 2
    assert all("url" not in each and each["b64_json"] for each in partials)
    assert completed["type"] == "image_generation.completed"
    assert httpx2.get(completed["url"]).content == base64.b64decode(completed["b64_json"])
    assert len(kept(gateway)) == 1


@pytest.mark.usefixtures("honest")
def test_openai_python_reads_both(gateway: RunningGateway) -> None:
    with openai.OpenAI(base_url=gateway.url, api_key=gateway.store.key().text, max_retries=0) as client:
        images = client.images.generate(model="gpt-image-2", prompt="a", size="1024x1024", response_format="url")
        assert images.data is not None
        assert images.data[0].b64_json is None
        assert httpx2.get(images.data[0].url or "").content.startswith(PNG)
        stream = client.images.generate(
            model="gpt-image-2", prompt="a", size="1024x1024", stream=True, extra_body={"response_format": "url"}
        )
        assert [event.type for event in stream][-1] == "image_generation.completed"


@pytest.mark.usefixtures("honest")
def test_old_models_answer_with_links_unless_the_request_says_otherwise(gateway: RunningGateway) -> None:
    def keys(**fields: Any) -> list[str]:
        return list(post(gateway, **{"response_format": None, **fields}).json()["data"][0])

    assert keys(model="dall-e-3") == keys(model="dall-e-2") == ["url"]
    assert keys(model="dall-e-3", response_format="b64_json") == ["b64_json"]
    assert keys(model="gpt-image-2") == ["b64_json"]
    assert list(events(post(gateway, model="dall-e-3", response_format=None, stream=True).text)[-1]).count("url") == 0


@pytest.mark.usefixtures("honest")
@pytest.mark.parametrize("format_fields", [{}, {"response_format": "url"}, {"response_format": "b64_json"}])
def test_what_n8n_sends_is_answered_as_it_reads(gateway: RunningGateway, format_fields: dict[str, str]) -> None:
    """Its node for images, with each of its choices: it reads `b64_json` of every item, or passes `data` on."""
    body = {
        "prompt": "a boat",
        "model": "dall-e-3",
        "n": 1,
        "quality": "standard",
        "size": "1024x1024",
        "style": "vivid",
    }
    headers = {"authorization": f"Bearer {gateway.store.key().text}"}
    url = f"{gateway.url}/images/generations"
    answer = httpx2.post(url, json={**body, **format_fields}, headers=headers, timeout=30)
    (item,) = answer.json()["data"]
    if format_fields.get("response_format") == "b64_json":
        assert base64.b64decode(item["b64_json"]).startswith(PNG)
    else:
        assert httpx2.get(item["url"]).content.startswith(PNG)


def test_the_operator_chooses_the_default(start_gateway: StartGateway, sandbox: SandboxServer) -> None:
    gateway = start_gateway(sandbox.url, default_response_format="url", public_url="https://images.example.com/gw/")
    url = post(gateway, response_format=None).json()["data"][0]["url"]
    assert url.startswith("https://images.example.com/gw/files/")
    assert list(post(gateway, response_format="b64_json").json()["data"][0]) == ["b64_json"]


def test_the_host_header_never_decides_where_links_lead(gateway: RunningGateway) -> None:
    headers = {
        "authorization": f"Bearer {gateway.store.key().text}",
        "host": "evil.example",
        "x-forwarded-host": "evil",
    }
    body = {**BODY, "response_format": "url"}
    answer = httpx2.post(f"{gateway.url}/images/generations", json=body, headers=headers, timeout=30)
    assert answer.json()["data"][0]["url"].startswith(gateway.root)


def test_where_the_address_is_not_known_links_are_refused_before_buying(
    start_gateway: StartGateway, sandbox: SandboxServer
) -> None:
    gateway = start_gateway(sandbox.url, host="0.0.0.0")
    refused = post(gateway)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "response_format"
    assert "GATEWAY_PUBLIC_URL" in refused.json()["error"]["message"]
    assert gateway.store.rows() == []
    assert list(post(gateway, model="dall-e-3", response_format=None).json()["data"][0]) == ["b64_json"]


def test_where_files_are_not_shared_links_are_refused_from_the_first_on(
    start_gateway: StartGateway,
    sandbox: SandboxServer,
    postgresql_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What looks after files in the background comes too late."""

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("app.main.keep_up", never)
    _, second = (
        start_gateway(sandbox.url, database_url=postgresql_url, data_dir=tmp_path / name) for name in ("one", "two")
    )
    refused = post(second)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "files_unavailable")
    assert second.store.rows() == []


# --- Disks that fail


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.usefixtures("honest")
def test_a_full_disk_refuses_before_buying(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.files.store.draft.check_room", full)
    refused = post(gateway)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "files_unavailable")
    assert "retry-after" in refused.headers
    assert gateway.store.rows() == []
    assert list(post(gateway, model="dall-e-3", response_format=None).json()["data"][0]) == ["b64_json"]


def fails_after(room: int) -> Callable[[Draft, bytearray], int]:
    append, left = Draft.append, room

    def some(draft: Draft, data: bytearray) -> int:
        nonlocal left
        written = append(draft, data[:left])
        left -= written
        return written

    return some


def whole(items: list[dict[str, Any]]) -> RawAnswer:
    """An upstream that answers with a document of these items."""
    body = json.dumps({"created": 17, "data": items, "usage": USAGE}).encode()

    async def send(_: RawRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(document(body))

    return send


@pytest.mark.parametrize("room", [0, 131_072, 400_000, 1_000_000, 2_000_000])
@pytest.mark.parametrize("n", [1, 2])
def test_a_disk_that_fails_after_buying_loses_no_image(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch, room: int, n: int
) -> None:
    """The caller gets what it would have got without links, byte for byte, and is told."""
    images = [PNG + os.urandom(1_100_001) for _ in range(n)]
    items = [{"b64_json": base64.b64encode(image).decode(), "revised_prompt": "é"} for image in images]
    with RawUpstream(whole(items)) as upstream:
        gateway = start_gateway(upstream.url)
        monkeypatch.setattr(Draft, "append", fails_after(room))
        answer = post(gateway, n=n, quality="hd")
        if room > n * 1_100_001:
            assert list(answer.json()["data"][0]) == ["url", "revised_prompt"]
            return
        assert answer.status_code == 200
        assert answer.headers["x-gateway-normalized"] == "quality=hd->high, response_format=url->b64_json"
        assert answer.json()["data"] == items
        leaves_nothing(gateway)
        (row,) = gateway.store.settled(1)
        assert (row["outcome"], row["usage_source"]) == ("completed", "reported")


@pytest.mark.usefixtures("honest")
@pytest.mark.parametrize("n", [1, 3])
def test_a_file_that_cannot_be_put_in_its_place_loses_no_image(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    """The last of several: those before it lie in their place, and are read back from there."""
    put, puts = Folder.put, 0

    def fail_last(folder: Folder, draft: Path, name: str) -> None:
        nonlocal puts
        puts += 1
        if puts == n:
            full()
        put(folder, draft, name)

    monkeypatch.setattr(Folder, "put", fail_last)
    answer = post(gateway, n=n)
    assert answer.headers["x-gateway-normalized"] == "response_format=url->b64_json"
    images = [base64.b64decode(item["b64_json"], validate=True) for item in answer.json()["data"]]
    assert [image[:8] for image in images] == [PNG] * n
    leaves_nothing(gateway)


def test_a_disk_that_fails_after_an_early_head_loses_no_image(
    start_gateway: StartGateway, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its head was sent, and told of links: what it says of the request is what was known by then."""
    gateway = start_gateway(sandbox.url, early_head_seconds=0.2)
    monkeypatch.setattr(Draft, "append", fails_after(100_000))
    answer = post(gateway, quality="hd", prompt="a house [sandbox: delay=1s body=1MB]")
    assert answer.status_code == 200
    assert answer.text.startswith(" "), "the head came early"
    assert answer.headers["x-gateway-normalized"] == "quality=hd->high"
    (item,) = answer.json()["data"]
    assert base64.b64decode(item["b64_json"], validate=True).startswith(PNG)
    leaves_nothing(gateway)
    assert_bill_is_ledger(gateway, sandbox, 1)


@pytest.mark.usefixtures("honest")
def test_a_stream_whose_disk_fails_has_its_image(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Draft, "append", fails_after(1000))
    completed = events(post(gateway, stream=True).text)[-1]
    assert completed["type"] == "image_generation.completed"
    assert "url" not in completed
    assert base64.b64decode(completed["b64_json"], validate=True).startswith(PNG)
    leaves_nothing(gateway)


@pytest.mark.usefixtures("honest")
def test_what_can_neither_be_kept_nor_read_again_is_charged_and_broken_off(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: object) -> bytes:
        raise FilesUnavailable("gone")

    monkeypatch.setattr(Draft, "append", fails_after(200_000))
    monkeypatch.setattr(FileStore, "read", lost)
    with pytest.raises(httpx2.TransportError):
        post(gateway, prompt="a house [sandbox: body=2MB]")
    (row,) = gateway.store.settled(1)
    assert (row["state"], row["usage_source"]) == ("settled", "reported")


# --- Upstream's faults, and callers who leave


@pytest.mark.usefixtures("honest")
def test_a_cut_answer_is_an_error_and_leaves_no_file(gateway: RunningGateway) -> None:
    """Better than without links: nothing of the answer was sent yet, so the caller gets a reason."""
    answer = post(gateway, prompt="a house [sandbox: cut=0.5]")
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_broken")
    assert answer.headers["x-should-retry"] == "false"
    stream = post(gateway, stream=True, prompt="a house [sandbox: cut=0.5]")
    assert events(stream.text)[-1]["error"]["code"] == "upstream_broken"
    leaves_nothing(gateway)


@pytest.mark.parametrize(
    "directive", ["status=400", "moderation", "html", "empty", "garbage", "status=500", "stall=0.5"]
)
def test_other_faults_are_told_as_ever(
    start_gateway: StartGateway, sandbox: SandboxServer, tmp_path: Path, directive: str
) -> None:
    quick = start_gateway(sandbox.url, upstream_silence_seconds=1, data_dir=tmp_path / "quick")
    refused = post(quick, prompt=f"a house [sandbox: {directive}]")
    assert refused.status_code >= 400
    assert refused.json()["error"]["message"]
    quick.store.settled(1)
    assert quick.store.findings(fetch_json(sandbox.bill_url)) == []
    leaves_nothing(quick)


@pytest.mark.usefixtures("honest")
def test_a_refusal_by_a_limit_leaves_no_file(gateway: RunningGateway) -> None:
    refused = post(gateway, gateway.store.key("images:0/day"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "insufficient_quota")
    leaves_nothing(gateway)


@pytest.mark.usefixtures("honest")
def test_a_caller_who_leaves_is_charged_what_was_used(gateway: RunningGateway) -> None:
    key = gateway.store.key()
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.post(
            f"{gateway.url}/images/generations",
            json={**BODY, "response_format": "url", "prompt": "a house [sandbox: delay=1s]"},
            headers={"authorization": f"Bearer {key.text}"},
            timeout=0.3,
        )
    (row,) = gateway.store.settled(1)
    assert (row["outcome"], row["usage_source"]) == ("client_left", "reported")
    wait_until(lambda: [path.suffix for path in kept(gateway)] == ["", ""], "its image and its answer are whole")


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ({"url": "https://zenmux.example/1.png"}, None),
        ({"b64_json": "data:image/png;base64,AAAA"}, "response_format=url->b64_json"),
        ({"b64_json": "AAAA", "revised_prompt": "x" * 2_000_000}, "response_format=url->b64_json"),
    ],
)
def test_an_answer_with_no_image_of_ours_passes_as_it_is(
    start_gateway: StartGateway, item: dict[str, str], told: str | None
) -> None:
    with RawUpstream(whole([item])) as upstream:
        gateway = start_gateway(upstream.url)
        got = post(gateway)
        assert got.json() == {"created": 17, "data": [item], "usage": USAGE}
        assert got.headers.get("x-gateway-normalized") == told
        (row,) = gateway.store.settled(1)
        assert (row["outcome"], row["usage_source"]) == ("completed", "reported")


# --- Room, restarts


def test_the_newest_links_work_under_load(start_gateway: StartGateway, sandbox: SandboxServer) -> None:
    gateway = start_gateway(sandbox.url, files_bytes_max=5_000_000)
    key, links = gateway.store.key(), list[str]()
    for _ in range(12):
        links.append(post(gateway, key, prompt="a house [sandbox: body=1MB]").json()["data"][0]["url"])
        assert httpx2.get(links[-1]).status_code == 200
    assert sum(path.stat().st_size for path in kept(gateway)) <= 5_000_000
    states = [httpx2.get(link).status_code for link in links]
    assert states[0] == 410
    assert states == sorted(states, reverse=True)
    assert gateway.metric("zenmux_gateway_files_bytes") <= 5_000_000
    assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []


def test_links_outlive_a_restart_and_end_in_time(
    start_gateway: StartGateway, sandbox: SandboxServer, tmp_path: Path
) -> None:
    settings = Settings(
        _env_file=None,
        zenmux_api_key=UPSTREAM_KEY,
        zenmux_base_url=sandbox.url,
        data_dir=tmp_path / "data",
        public_url="http://127.0.0.1:1",
    )
    with RunningGateway(settings) as gateway:
        link = post(gateway).json()["data"][0]["url"]
    again = start_gateway(sandbox.url, files_seconds=60, sweep_seconds=0.1)
    here = link.replace("http://127.0.0.1:1", again.root)
    assert httpx2.get(here).content.startswith(PNG)
    exp = int(dict(part.split("=") for part in urlsplit(here).query.split("&"))["exp"])
    assert 3500 < exp - time.time() <= 3600
