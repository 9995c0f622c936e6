"""The gallery of this browser: what it keeps, for whom, how much, and how it goes."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.console.browser.axe import axe_faults, needs_axe
from tests.console.browser.conftest import LOOKS, MORE, PHONE, Desk, Window

PROMPT = "Ein Papierboot ⛵ </script> نور"
PNG = b"\x89PNG\r\n\x1a\n"
_STORE = "await import('/console/static/js/store.js')"
_KEEP_SMALL = f"""async (count) => {{
    const store = {_STORE}, blob = new Blob(["x"], {{type: "image/png"}});
    for (let number = 0; number < count; number += 1) {{
        await store.keep({{at: new Date(0).toISOString(), prompt: `${{number}}`, usage: {{}}, blob, thumbnail: blob}});
    }}
    return (await store.list()).map((each) => each.prompt);
}}"""


async def make_image(window: Window, prompt: str = PROMPT, **boxes: bool) -> Page:
    """An image of the playground, and what the page says of its keeping."""
    page = await window.open("/console/me/playground")
    await page.get_by_label("Prompt").fill(prompt)
    await page.get_by_label("Quality").select_option("low")
    await page.get_by_text("More", exact=True).click()
    for name, is_checked in boxes.items():
        await page.locator(f"[name={name}]").set_checked(is_checked)
    await page.get_by_role("button", name="Make image").click()
    await page.wait_for_selector("text=Done after", timeout=30_000)
    return page


async def kept_image(window: Window, prompt: str = PROMPT, **boxes: bool) -> None:
    page = await make_image(window, prompt, **boxes)
    await page.wait_for_selector("text=Kept in your gallery, in this browser.")


async def count_of(window: Window) -> int:
    """How many images the gallery shows."""
    page = await window.open("/console/me/gallery")
    await page.wait_for_selector("text=of 200 images")
    return await page.locator("[data-gallery] figure").count()


async def test_an_image_is_kept_opened_downloaded_and_deleted(desk: Desk) -> None:
    desk.console.gateway.store.key(user="gil")
    async with desk.context() as context:
        window = await desk.sign_in(context, "gil", None)
        await kept_image(window)
        assert await count_of(window) == 1
        page = window.page
        small = page.locator("[data-gallery] figure img")
        await small.evaluate("(image) => image.decode()")
        assert await small.evaluate("(image) => image.naturalWidth") == 320
        await page.get_by_role("button", name="Open the image of").click()
        dialog = page.get_by_role("dialog")
        assert await dialog.locator("img").evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 1024
        facts = await dialog.locator("dl").inner_text()
        [row] = [each for each in desk.console.gateway.store.rows() if each["id"] in facts]
        assert row["user_id"] == await page.locator("[data-user]").get_attribute("data-user")
        for text in (PROMPT, "gpt-image-2", "1024x1024", "low", " for the request", "at most $"):
            assert text in facts
        async with page.expect_download() as saved:
            await dialog.get_by_role("button", name="Download").click()
        download = await saved.value
        assert download.suggested_filename.endswith(".png")
        assert (await download.path()).read_bytes().startswith(PNG)
        page.once("dialog", lambda asked: asked.accept())
        await dialog.get_by_role("button", name="Delete").click()
        await page.wait_for_selector("text=There is no image yet.")
        assert await count_of(window) == 0


async def test_all_are_exported_as_one_file_and_deleted_when_that_is_confirmed(desk: Desk) -> None:
    desk.console.gateway.store.key(user="hana")
    async with desk.context() as context:
        window = await desk.sign_in(context, "hana", None)
        await kept_image(window)
        await kept_image(window, "another", keep=True, stream=False)  # behind a link
        await kept_image(window, "streamed", stream=True)
        assert await count_of(window) == 3
        page = window.page
        async with page.expect_download() as saved:
            await page.get_by_role("button", name="Download all").click()
        assert_archive(await (await saved.value).path())
        page.once("dialog", lambda asked: asked.dismiss())
        await page.get_by_role("button", name="Delete all").click()
        assert await count_of(window) == 3
        page.once("dialog", lambda asked: asked.accept())
        await page.get_by_role("button", name="Delete all").click()
        await page.wait_for_selector("text=There is no image yet.")
        assert await count_of(window) == 0


def assert_archive(path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        assert archive.testzip() is None
        records = json.loads(archive.read("images.json"))
        assert [record["prompt"] for record in records] == ["streamed", "another", PROMPT]
        assert archive.namelist() == [*(record["file"] for record in records), "images.json"]
        for record in records:
            content = archive.read(record["file"])
            assert content.startswith(PNG)
            assert (record["bytes"], record["type"], record["size"]) == (len(content), "image/png", "1024x1024")
            assert record["operation"] == "generation"
            assert record["request_id"].startswith("req_")
            assert record["usage"]["total_tokens"] > 0
            assert float(record["cost_usd_at_most"]) > 0


async def test_each_user_of_a_browser_sees_the_own_images_alone(desk: Desk) -> None:
    for user in ("ines", "jin"):
        desk.console.gateway.store.key(user=user)
    async with desk.context() as context:
        window = await desk.sign_in(context, "ines", None)
        await kept_image(window)
        await window.page.get_by_role("button", name="Sign out").click()
        await window.page.wait_for_url("**/console/sign-in**")
        window = await desk.sign_in(context, "jin", None)
        assert await count_of(window) == 0
        await kept_image(window, "of jin")
        assert await count_of(window) == 1
        window = await desk.sign_in(context, "ines", None)
        assert await count_of(window) == 1
        assert await window.page.locator("[data-gallery] figure bdi").all_inner_texts() == [PROMPT]


@MORE
async def test_nothing_is_kept_where_somebody_switched_it_off(desk: Desk) -> None:
    desk.console.gateway.store.key(user="kim")
    async with desk.context() as context:
        window = await desk.sign_in(context, "kim", None)
        assert await count_of(window) == 0
        await window.page.get_by_role("checkbox", name="Keep new images").uncheck()
        page = await make_image(window)
        assert await page.locator("[data-kept]").inner_text() == ""
        assert await count_of(window) == 0
        assert not await window.page.get_by_role("checkbox", name="Keep new images").is_checked()
        await window.page.get_by_role("checkbox", name="Keep new images").check()
        await kept_image(window, "the second")
        await count_of(window)
        assert await window.page.locator("[data-gallery] figure bdi").all_inner_texts() == ["the second"]


@MORE
async def test_signing_out_deletes_them_where_somebody_chose_that(desk: Desk) -> None:
    desk.console.gateway.store.key(user="lea")
    async with desk.context() as context:
        window = await desk.sign_in(context, "lea", None)
        await kept_image(window)
        assert await count_of(window) == 1
        await window.page.get_by_role("checkbox", name="Delete all of them when I sign out").check()
        await window.open("/console/me/keys")
        await window.page.get_by_role("button", name="Sign out").click()
        await window.page.wait_for_url("**/console/sign-in**")
        assert await window.page.evaluate("async () => (await indexedDB.databases()).length") == 0
        window = await desk.sign_in(context, "lea", None)
        assert await count_of(window) == 0


async def test_the_oldest_make_room(desk: Desk) -> None:
    """By their number, in the browser's own database; by their size, as the rule says."""
    async with desk.context() as context:
        window = await desk.sign_in(context, "mia", None)
        page = await window.open("/console/me/keys")
        kept = await page.evaluate(_KEEP_SMALL, 203)
        assert (len(kept), kept[0], kept[-1]) == (200, "202", "3")
        surplus = f"""async (sizes) => ({_STORE}).surplus(
            sizes.slice(1).map((size, id) => ({{id, blob: {{size: size * 1024 * 1024}}}})), sizes[0] * 1024 * 1024,
        ).map((each) => each.id)"""
        for new, old, gone in ((100, [100, 300], []), (101, [100, 300], [0]), (400, [1, 100, 300], [0, 1, 2])):
            assert await page.evaluate(surplus, [new, *old]) == gone


@MORE
async def test_a_browser_without_room_is_told_in_words_and_the_image_is_shown(desk: Desk) -> None:
    desk.console.gateway.store.key(user="nils")
    async with desk.context() as context:
        window = await desk.sign_in(context, "nils", None)
        devtools = await context.new_cdp_session(window.page)
        await devtools.send("Storage.overrideQuotaForOrigin", {"origin": window.root, "quotaSize": 1000})
        page = await make_image(window)
        await page.wait_for_selector("text=Not kept in your gallery. This browser has no more room for this site.")
        assert await page.evaluate("() => [...document.images].map((each) => each.naturalWidth)") == [1024]
        assert await page.locator("[data-failure]").is_hidden()
        assert await count_of(window) == 0


async def test_without_scripts_it_says_what_it_needs(desk: Desk) -> None:
    async with desk.context(java_script_enabled=False) as context:
        window = await desk.sign_in(context, "olga", None)
        page = await window.open("/console/me/gallery")
        assert await page.get_by_text("This part needs JavaScript.").is_visible()
        assert await page.get_by_role("checkbox").count() == 0
        assert await page.get_by_text("Nothing of the last day is kept.").is_visible()


@needs_axe
@pytest.mark.parametrize(("viewport", "theme"), LOOKS)
async def test_axe_finds_nothing_in_a_gallery_with_images(desk: Desk, theme: str, viewport: str) -> None:
    desk.console.gateway.store.key(user="pau")
    options = {"viewport": PHONE} if viewport == "phone" else {}
    async with desk.context(color_scheme=theme, **options) as context:
        window = await desk.sign_in(context, "pau", None)
        await kept_image(window)
        assert await count_of(window) == 1
        page = window.page
        wide = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await page.evaluate(wide) <= 0
        found = await axe_faults(page)
        await page.get_by_role("button", name="Open the image of").click()
        await page.get_by_role("dialog").locator("img").evaluate("(image) => image.decode()")
        assert await page.evaluate(wide) <= 0
        assert [*found, *await axe_faults(page)] == []
