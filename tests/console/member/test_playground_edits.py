"""An edit in the playground is one of the API: the same reading, rules, price, limits, ledger. On both engines, without
a browser; tests/console/browser/test_edits.py has one.
"""

import base64
import html
import json
import re
import socket
from pathlib import Path
from typing import Any

import httpx2

from app.admin.keys import disable_key
from tests.console.conftest import FROM_HERE, Browser
from tests.console.member.conftest import Pair, probed
from tests.console.member.shown_programs import each_sort_of_answer, run_programs
from tests.image_files import image_file, large_image, mask_file
from tests.loop_stall import assert_no_stall
from tests.servers import GatewayProcess, assert_bill_is_ledger

PATH = "/console/me/playground"
SNOW = {"prompt": "Let it snow ❄ “softly”", "model": "gpt-image-2", "size": "1024x1024", "quality": "low", "n": "1"}
PNG = b"\x89PNG\r\n\x1a\n"
GROWTH_BYTES_MAX = 30_000_000
BOAT, SEA, MASK = image_file((600, 400)), image_file((300, 500), "JPEG"), mask_file((600, 400))


def parts(*images: bytes, mask: bytes | None = None) -> list[tuple[str, tuple[str, bytes]]]:
    found = [("image[]", (f"{number}.bin", image)) for number, image in enumerate(images, 1)]
    return [*found, ("mask", ("mask.png", mask))] if mask else found


def send(
    browser: Browser, key_id: str, files: Any, headers: dict[str, str] | None = None, **form: str
) -> httpx2.Response:
    """The form as the page's script sends it."""
    headers = FROM_HERE if headers is None else headers
    data = {**SNOW, "key": key_id, "do": "make", **form}
    return browser.client.post(f"{PATH}/edits?key={key_id}", data=data, files=files, headers=headers)


def described(file: bytes, width: int, height: int, name: str) -> str:
    return f"{file[:12].hex()} {len(file)} {width}x{height} {name}"


def foresee(browser: Browser, key_id: str, *images: str, **form: str) -> str:
    data = {**SNOW, "key": key_id, "input_image": list(images), **form}
    return html.unescape(browser.client.post(PATH, data=data, headers=FROM_HERE).text)


def test_it_edits_as_the_api_does(pair: Pair, vera: Browser) -> None:
    key = pair.key("images:10/day")
    made = send(vera, key.id, parts(BOAT, SEA, mask=MASK), keep="", partial_images="2")
    assert made.status_code == 200, made.text
    assert base64.b64decode(made.json()["data"][0]["b64_json"]).startswith(PNG)
    [row] = pair.console.gateway.store.settled(1)
    wanted = {"key_id": key.id, "operation": "edit", "outcome": "completed", "charged_images": 1, "input_images": 2}
    assert {name: row[name] for name in wanted} == wanted
    assert made.headers["x-request-id"] == row["id"]
    counted = {"operation": "edit", "outcome": "completed"}
    assert pair.console.gateway.metric("zenmux_gateway_requests_total", **counted) == 1
    assert list((pair.console.gateway.settings.data_dir / "uploads").iterdir()) == []
    assert_bill_is_ledger(pair.console.gateway, pair.sandbox, 1)


def test_a_stream_brings_partial_images_and_a_kept_one_is_in_the_gallery(pair: Pair, vera: Browser) -> None:
    key = pair.key()
    made = send(vera, key.id, parts(BOAT), stream="true", partial_images="1")
    events = [json.loads(line[6:])["type"] for line in made.text.splitlines() if line.startswith("data: {")]
    assert events == ["image_edit.partial_image", "image_edit.completed"]
    kept = send(vera, key.id, parts(BOAT), keep="true").json()["data"][0]
    assert "b64_json" not in kept
    assert vera.get("/console/me/gallery").text.count('<img src="/files/') == 1
    assert_bill_is_ledger(pair.console.gateway, pair.sandbox, 2)


def test_the_price_is_that_of_the_images_though_none_is_sent(pair: Pair, vera: Browser) -> None:
    key = pair.key("images:10/day")
    headers = {"authorization": f"Bearer {key.text}", "x-gateway-dry-run": "true"}
    url = f"{pair.console.gateway.url}/images/edits"
    dry = httpx2.post(url, data=SNOW, files=parts(BOAT, SEA, mask=MASK), headers=headers).json()
    images = described(BOAT, 600, 400, "boat.png"), described(SEA, 300, 500, "sea.jpg")
    page = foresee(vera, key.id, *images, input_mask=described(MASK, 600, 400, "mask.png"))
    assert f"at most ${dry['cost_usd']['at_most']}" in page
    assert f"at least ${dry['cost_usd']['at_least']}" in page
    assert "An edit of 2 images" in page
    assert "An edit of" not in foresee(vera, key.id)
    assert f"at most ${dry['cost_usd']['at_most']}" not in foresee(vera, key.id)
    assert pair.is_untouched()


def test_what_would_be_refused_is_said_before_and_when_it_comes_in_the_same_words(pair: Pair, vera: Browser) -> None:
    key, gif, small = pair.key(), image_file(kind="GIF"), mask_file((64, 64))
    boat = described(BOAT, 600, 400, "boat.png")
    for images, mask, files in (
        ([described(gif, 64, 64, "a.gif")], "", parts(gif)),
        ([boat], described(small, 64, 64, "m.png"), parts(BOAT, mask=small)),
        ([boat] * 17, "", parts(*[BOAT] * 17)),
    ):
        refused = send(vera, key.id, files)
        message = refused.json()["error"]["message"]
        assert (refused.status_code, bool(message)) == (400, True)
        assert message in foresee(vera, key.id, *images, input_mask=mask)
    none = send(vera, key.id, [("image[]", ("notes.txt", b"Not an image, but a long enough text"))])
    assert "image 1, please check your image file" in none.json()["error"]["message"]
    assert "gpt-image-2" in foresee(vera, key.id, boat, input_fidelity="high")
    assert pair.is_untouched()


def test_the_limits_of_the_key_apply(pair: Pair, vera: Browser) -> None:
    key = pair.key("images:1/day")
    assert send(vera, key.id, parts(BOAT)).status_code == 200
    refused = send(vera, key.id, parts(BOAT))
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "insufficient_quota")
    assert refused.json()["error"]["message"] in foresee(vera, key.id, described(BOAT, 600, 400, "boat.png"))
    assert_bill_is_ledger(pair.console.gateway, pair.sandbox, 1)


def test_only_an_own_key_that_works_buys(pair: Pair, vera: Browser) -> None:
    others, ended = pair.key(user="otto"), pair.key()
    disable_key(pair.console.operator, ended.id)
    narrow = pair.key(models=("openai/gpt-image-1.5",))
    for key_id, status in ((others.id, 404), ("nothing", 404), ("", 404), (ended.id, 409), (narrow.id, 403)):
        refused = send(vera, key_id, parts(BOAT))
        assert (refused.status_code, refused.json()["error"]["message"] != "") == (status, True), key_id
    assert send(pair.console.signed_in("ada", "admin"), others.id, parts(BOAT)).status_code == 404
    # The key in the address counts, whatever a field says.
    mine = pair.key()
    assert send(vera, others.id, parts(BOAT), key=mine.id).status_code == 404
    assert pair.is_untouched()


def test_nobody_buys_from_elsewhere_or_without_a_session(pair: Pair, vera: Browser) -> None:
    key = pair.key()
    for headers in ({"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "null"}, {}):
        assert send(vera, key.id, parts(BOAT), headers).status_code == 403
    assert send(pair.console.browser(), key.id, parts(BOAT)).status_code == 401
    with httpx2.Client(base_url=pair.console.gateway.root) as program:
        headers = {"authorization": f"Bearer {key.text}", **FROM_HERE}
        assert (
            program.post(f"{PATH}/edits?key={key.id}", data=SNOW, files=parts(BOAT), headers=headers).status_code == 401
        )
    assert pair.is_untouched()


def test_nothing_of_an_upload_is_awaited_that_nobody_may_make(pair: Pair, vera: Browser) -> None:
    """The refusal is there while no byte of the body was sent."""
    ends = {
        "key=nothing": (f"cookie: zg_session={vera.token}\r\nsec-fetch-site: same-origin", 404),
        f"key={pair.key().id}": (f"cookie: zg_session={vera.token}\r\nsec-fetch-site: cross-site", 403),
        "key=": ("sec-fetch-site: same-origin", 401),
    }
    for query, (headers, status) in ends.items():
        with socket.create_connection(("127.0.0.1", int(pair.console.gateway.root.rpartition(":")[2])), 30) as line:
            head = f"POST {PATH}/edits?{query} HTTP/1.1\r\nhost: here\r\ncontent-length: 90000000\r\n{headers}\r\n"
            line.sendall(f"{head}content-type: multipart/form-data; boundary=x\r\n\r\n".encode())
            assert line.recv(4096).startswith(f"HTTP/1.1 {status} ".encode())
    assert pair.is_untouched()


def test_a_large_image_passes_and_one_too_large_is_refused(pair: Pair, vera: Browser) -> None:
    key = pair.key()
    refused = send(vera, key.id, parts(large_image(50_000_000)))
    assert refused.json()["error"]["message"].endswith("it must be smaller than 50 MB.")
    assert pair.is_untouched()
    assert send(vera, key.id, parts(BOAT + bytes(20_000_000))).status_code == 200
    assert_bill_is_ledger(pair.console.gateway, pair.sandbox, 1)


@each_sort_of_answer
def test_the_programs_shown_do_the_same(pair: Pair, vera: Browser, more: dict[str, str], tmp_path: Path) -> None:
    key = pair.key()
    names = "a boat; \"b\", 'c' $x.png", "-", "mask.png"  # to curl, a dash alone is its standard input
    for each, content in zip(names, (BOAT, SEA, MASK), strict=True):
        (tmp_path / each).write_bytes(content)
    images = described(BOAT, 600, 400, names[0]), described(SEA, 300, 500, names[1])
    data = {**SNOW, **more, "key": key.id, "input_image": list(images)}
    data["input_mask"] = described(MASK, 600, 400, names[2])
    page = vera.client.post(PATH, data=data, headers=FROM_HERE).text
    kind = more.get("output_format", "png")
    saved = [f"edited.{kind}"] if more.get("n", "1") == "1" else [f"edited-{number}.{kind}" for number in (1, 2)]
    programs = run_programs(page, key, tmp_path, saved)
    assert_bill_is_ledger(pair.console.gateway, pair.sandbox, len(programs))
    rows = pair.console.gateway.store.rows()
    shown = {(row["operation"], row["input_images"], row["quality"], row["streamed"]) for row in rows}
    assert shown == {("edit", 2, "low", "stream" in more)}


def test_no_upload_is_held_in_memory_or_holds_the_loop(tmp_path: Path) -> None:
    """180 MB in one form, to a gateway in a process of its own."""
    with probed(tmp_path) as (gateway, sandbox, browser):
        key = gateway.store.key(user="vera")
        answers = [send(browser, key.id, parts(BOAT))]  # what is loaded once
        before = peak_bytes(gateway)
        assert_no_stall(
            gateway.root, lambda: answers.append(send(browser, key.id, parts(*[BOAT + bytes(45_000_000)] * 4)))
        )
        growth = peak_bytes(gateway) - before
        assert {answer.status_code for answer in answers} == {200}
        assert growth < GROWTH_BYTES_MAX, f"{growth / 1e6:.1f} MB"
        assert_bill_is_ledger(gateway, sandbox, len(answers))


def peak_bytes(gateway: GatewayProcess) -> int:
    """The most memory that the process had at any time."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(kilobytes) * 1024
