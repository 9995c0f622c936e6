"""The playground buys as the API does: the same answer, limits, models, ledger. On both engines, without a browser."""

import base64
import html
import json
import re
from pathlib import Path
from urllib.parse import urlencode

import httpx2

from app.admin.keys import disable_key
from app.admin.users import disable_user
from tests.console.conftest import ADMIN_KEY, FROM_HERE, Browser
from tests.console.member.conftest import Pair, probed
from tests.console.member.shown_programs import each_sort_of_answer, run_programs
from tests.loop_stall import assert_no_stall
from tests.servers import assert_bill_is_ledger

PATH = "/console/me/playground"
BOAT = {"prompt": "A paper boat ⛵ “at sea”", "model": "gpt-image-2", "size": "1024x1024", "quality": "low", "n": "1"}
PNG = b"\x89PNG\r\n\x1a\n"


def test_it_buys_as_the_api_does(pair: Pair, vera: Browser) -> None:
    key = pair.key("images:10/day")
    made = vera.post(f"{PATH}/images", **BOAT, key=key.id)
    assert made.status_code == 200, made.text
    assert base64.b64decode(made.json()["data"][0]["b64_json"]).startswith(PNG)
    assert float(made.headers["x-gateway-estimated-cost-usd"]) > 0
    [row] = pair.console.gateway.store.settled(1)
    wanted = {"key_id": key.id, "operation": "generation", "outcome": "completed", "charged_images": 1}
    assert {name: row[name] for name in wanted} == wanted
    assert made.headers["x-request-id"] == row["id"]
    assert_bill_is_ledger(pair.console.gateway, pair.sandbox, 1)


def test_a_stream_brings_partial_images_in_order(pair: Pair, vera: Browser) -> None:
    key = pair.key()
    made = vera.post(f"{PATH}/images", **BOAT, key=key.id, stream="true", partial_images="2")
    events = [json.loads(line[6:]) for line in made.text.splitlines() if line.startswith("data: {")]
    assert [(event["type"].rpartition(".")[2], event.get("partial_image_index")) for event in events] == [
        ("partial_image", 0),
        ("partial_image", 1),
        ("completed", None),
    ]
    assert_bill_is_ledger(pair.console.gateway, pair.sandbox, 1)


def test_the_limits_of_the_key_apply(pair: Pair, vera: Browser) -> None:
    key = pair.key("images:1/day")
    assert vera.post(f"{PATH}/images", **BOAT, key=key.id).status_code == 200
    refused = vera.post(f"{PATH}/images", **BOAT, key=key.id)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "insufficient_quota")
    page = vera.post(PATH, **BOAT, key=key.id).text
    assert refused.json()["error"]["message"] in html.unescape(page)
    assert_bill_is_ledger(pair.console.gateway, pair.sandbox, 1)


def test_only_an_own_key_that_works_buys(pair: Pair, vera: Browser) -> None:
    others, ended = pair.key(user="otto"), pair.key()
    disable_key(pair.console.operator, ended.id)
    narrow = pair.key(models=("openai/gpt-image-1.5",))
    for key_id, status in ((others.id, 404), ("nothing", 404), ("", 404), (ended.id, 409), (narrow.id, 403)):
        refused = vera.post(f"{PATH}/images", **BOAT, key=key_id)
        assert (refused.status_code, refused.json()["error"]["message"] != "") == (status, True), key_id
        assert refused.json()["error"]["message"] in html.unescape(vera.post(PATH, **BOAT, key=key_id).text)
    admin = pair.console.signed_in("ada", "admin")
    assert admin.post(f"{PATH}/images", **BOAT, key=others.id).status_code == 404
    root = pair.console.browser()
    root.post("/console/sign-in", key=ADMIN_KEY)
    assert root.post(f"{PATH}/images", **BOAT, key=others.id).status_code == 404
    assert root.get(PATH).status_code == 403
    assert pair.is_untouched()


def test_nobody_buys_from_elsewhere_or_after_the_session(pair: Pair, vera: Browser) -> None:
    key = pair.key()
    for headers in ({"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "null"}, {}):
        assert vera.post(f"{PATH}/images", headers, **BOAT, key=key.id).status_code == 403
    assert pair.console.browser().post(f"{PATH}/images", **BOAT, key=key.id).status_code == 401
    with httpx2.Client(base_url=pair.console.gateway.root) as program:
        headers = {"authorization": f"Bearer {key.text}", "sec-fetch-site": "same-origin"}
        assert program.post(f"{PATH}/images", data={**BOAT, "key": key.id}, headers=headers).status_code == 401
    disable_user(pair.console.operator, "vera")
    assert vera.post(f"{PATH}/images", **BOAT, key=key.id).status_code == 401
    assert pair.is_untouched()


def test_the_price_and_the_limits_are_shown_before_and_nothing_is_bought(pair: Pair, vera: Browser) -> None:
    key = pair.key("images:10/day", "usd:0.001/day")
    page = vera.post(PATH, **BOAT, key=key.id)
    dry = httpx2.post(
        f"{pair.console.gateway.url}/images/generations",
        json={**BOAT, "n": 1},
        headers={"authorization": f"Bearer {key.text}", "x-gateway-dry-run": "true"},
    ).json()
    assert f"at most ${dry['cost_usd']['at_most']}" in page.text
    assert (page.text.count('<span class="badge ok">yes'), page.text.count('<span class="badge bad">no')) == (1, 1)
    assert dry["refusal"]["message"] in html.unescape(page.text)
    part = vera.client.post(
        PATH, data={**BOAT, "key": key.id}, headers={"sec-fetch-site": "same-origin", "hx-request": "true"}
    ).text
    assert ("<html" in part, "at most $" in part) == (False, True)
    wrong = html.unescape(vera.post(PATH, **{**BOAT, "size": "1000x1000"}, key=key.id).text)
    assert "The nearest valid size is '1008x1008'" in wrong
    assert ("snippet-curl" in page.text, "snippet-curl" in wrong) == (True, False)  # no program that would be refused
    assert "Write a prompt" in vera.post(PATH, key=key.id).text
    assert pair.is_untouched()


def test_without_a_key_there_is_no_playground_and_no_page_holds_a_secret(pair: Pair, vera: Browser) -> None:
    assert "You need a key of your own" in vera.get(PATH).text
    key = pair.key()
    page = vera.get(PATH).text
    assert (key.id in page, "<textarea" in page) == (True, True)
    secret = key.text.rpartition("-")[2]
    for text in (page, vera.post(PATH, **BOAT, key=key.id).text):
        assert secret not in text
        assert set(re.findall(r"sk-zg-[\w-]+", text)) <= {"sk-zg-YOUR-KEY"}


@each_sort_of_answer
def test_the_programs_shown_do_the_same(pair: Pair, vera: Browser, more: dict[str, str], tmp_path: Path) -> None:
    key = pair.key()
    page = vera.post(PATH, **{**BOAT, **more}, key=key.id).text
    kind = more.get("output_format", "png")
    files = [f"image.{kind}"] if more.get("n", "1") == "1" else [f"image-{number}.{kind}" for number in (1, 2)]
    saved = run_programs(page, key, tmp_path, files)
    for name, images in saved.items():
        for image in images:
            assert image.startswith(PNG) or (image[:4], image[8:12]) == (b"RIFF", b"WEBP"), name
    assert_bill_is_ledger(pair.console.gateway, pair.sandbox, len(saved))
    rows = pair.console.gateway.store.rows()
    assert {(row["size"], row["quality"], row["streamed"]) for row in rows} == {("1024x1024", "low", "stream" in more)}


def test_it_counts_as_an_image_request(pair: Pair, vera: Browser) -> None:
    vera.post(f"{PATH}/images", **BOAT, key=pair.key().id)
    pair.console.gateway.store.settled(1)
    counted = {"operation": "generation", "outcome": "completed"}
    assert pair.console.gateway.metric("zenmux_gateway_requests_total", **counted) == 1


def test_no_prompt_holds_the_loop(tmp_path: Path) -> None:
    """As programs, a quote becomes many letters."""
    with probed(tmp_path) as (gateway, _, browser):
        key = gateway.store.key(user="vera")
        quotes = urlencode({**BOAT, "key": key.id, "prompt": ""}) + "&prompt=" + "'" * 1_000_000
        headers = {**FROM_HERE, "hx-request": "true", "content-type": "application/x-www-form-urlencoded"}
        answers = []
        assert_no_stall(
            gateway.root, lambda: answers.append(browser.client.post(PATH, content=quotes, headers=headers).text)
        )
        assert "string too long" in answers[0]
