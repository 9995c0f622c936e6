"""The gallery shows what is kept of the visitor's own images, and nothing of anybody else; on both engines."""

import base64
import html
import re

import httpx2

from tests.console.conftest import Browser
from tests.console.member.conftest import Pair
from tests.servers import Key, assert_bill_is_ledger

PATH = "/console/me/gallery"
SECRET_PROMPT = "a paper boat that nobody writes down"
PNG = b"\x89PNG\r\n\x1a\n"


def ask(pair: Pair, key: Key, prefer: str | None = None, **fields: object) -> httpx2.Response:
    headers = {"authorization": f"Bearer {key.text}", **({"prefer": prefer} if prefer else {})}
    wanted = {"prompt": SECRET_PROMPT, "model": "gpt-image-2", "size": "1024x1024", "quality": "low", **fields}
    return httpx2.post(f"{pair.console.gateway.url}/images/generations", json=wanted, headers=headers, timeout=30)


def links(page: str) -> list[str]:
    return [html.unescape(each) for each in re.findall(r'<img src="(/files/[^"]+)"', page)]


def test_images_behind_links_are_shown_with_their_cost_and_end(pair: Pair, vera: Browser) -> None:
    assert "Nothing of the last day is kept" in vera.get(PATH).text
    key = pair.key()
    assert ask(pair, key, response_format="url", n=2).status_code == 200
    assert ask(pair, key).status_code == 200  # base64: nothing is kept of it
    rows = pair.console.gateway.store.settled(2)
    page = vera.get(PATH).text
    assert [row["id"] in page for row in rows] == [True, False]
    assert (len(links(page)), "ends <time" in page, SECRET_PROMPT in page) == (2, True, False)
    for link in links(page):
        assert vera.get(link).content.startswith(PNG)
    assert f"<strong>${rows[0]['charged_nanousd'] / 10**9:.4f}</strong>" in page
    assert links(pair.console.signed_in("otto").get(PATH).text) == []
    assert links(pair.console.signed_in("ada", "admin").get(PATH).text) == []
    assert_bill_is_ledger(pair.console.gateway, pair.sandbox)


def test_the_playground_keeps_an_image_there(pair: Pair, vera: Browser) -> None:
    form = {"prompt": SECRET_PROMPT, "model": "gpt-image-2", "quality": "low", "keep": "true", "key": pair.key().id}
    assert "url" in vera.post("/console/me/playground/images", **form).json()["data"][0]
    assert len(links(vera.get(PATH).text)) == 1
    assert "response_format" not in vera.post("/console/me/playground", **form).text


def test_jobs_are_listed_and_their_answers_are_for_their_user_alone(pair: Pair, vera: Browser) -> None:
    done = ask(pair, pair.key(), "respond-async, wait=30")
    assert done.status_code == 200
    refused = ask(pair, pair.key("images:0/day"), "respond-async, wait=30")
    assert refused.status_code == 429
    (row,) = pair.console.gateway.store.settled(1)
    job_id = row["id"].replace("req_", "job_")
    page = vera.get(PATH).text
    assert (job_id in page, "completed" in page, SECRET_PROMPT in page) == (True, True, False)
    answer = vera.get(f"{PATH}/jobs/{job_id}")
    assert base64.b64decode(answer.json()["data"][0]["b64_json"]).startswith(PNG)
    assert answer.headers["cache-control"] == "no-store"
    for other in (pair.console.signed_in("otto"), pair.console.signed_in("ada", "admin")):
        refused = other.get(f"{PATH}/jobs/{job_id}")
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "job_not_found")


def test_what_is_kept_is_deleted_by_its_user_alone(pair: Pair, vera: Browser) -> None:
    key = pair.key()
    ask(pair, key, response_format="url")
    ask(pair, key, "respond-async, wait=30")
    rows = pair.console.gateway.store.settled(2)
    (link,) = links(vera.get(PATH).text)
    for row in rows:
        pair.console.signed_in("otto").post(f"{PATH}/delete", request=row["id"])
    assert (vera.get(link).status_code, vera.get(PATH).text.count("data-confirm")) == (200, 2)
    for row in rows:
        assert vera.post(f"{PATH}/delete", request=row["id"]).headers["location"].endswith("done=image-deleted")
    assert vera.get(link).status_code == 410
    assert "Nothing of the last day is kept" in vera.get(PATH).text
    assert_bill_is_ledger(pair.console.gateway, pair.sandbox, 2)
