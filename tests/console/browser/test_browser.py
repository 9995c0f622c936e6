"""What only a browser shows: htmx under the policy, dialogs, keys, themes, a phone, and what axe finds."""

import asyncio

import httpx2
import pytest

from app.admin.users import list_users
from tests.console.browser.axe import axe_faults, needs_axe
from tests.console.browser.conftest import LOOKS, MORE, PHONE, Desk

PAGES = (
    *("/console/requests", "/console/reservations", "/console/now"),
    *(
        "/console/usage",
        "/console/limits",
        "/console/limits/explain?owner=newsletter-bot",
        "/console/people",
        "/console/accounts",
        "/console/changes",
        "/console/system",
    ),
    *("/console/me/playground", "/console/me/gallery", "/console/me/keys", "/console/me/usage", "/console/me/sessions"),
)
WIDE_PAGES = ("/console/requests", "/console/usage", "/console/limits/explain?owner=newsletter-bot")
_ANSWERED = "() => new Promise((done) => document.addEventListener('htmx:after:swap', () => done(true), {once: true}))"


async def test_htmx_works_under_the_policy(desk: Desk) -> None:
    """It refreshes the part of Now by itself and leaves the rest; the fixture fails on any violation."""
    async with desk.context() as context:
        window = await desk.sign_in(context)
        page = await window.open("/console/now")
        await page.evaluate("() => { document.querySelector('h1').dataset.mine = 'kept' }")
        assert await page.evaluate("() => typeof htmx") == "object"
        async with page.expect_response(lambda response: response.request.headers.get("hx-request") == "true") as part:
            pass
        assert "<html" not in await (await part.value).text()
        assert await page.locator("h1").get_attribute("data-mine") == "kept"
        await page.wait_for_selector("text=refreshed every 5 seconds")
        assert await page.evaluate("() => document.querySelectorAll('style').length") == 0


async def test_an_inline_script_would_not_run(desk: Desk) -> None:
    """The policy is what stops it, not only that none is there: the fault that it reports is expected here."""
    async with desk.context() as context:
        window = await desk.sign_in(context)
        page = await window.open("/console/now")
        script = "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s)"
        await page.evaluate(f"() => {{ {script} }}")
        assert await page.evaluate("() => window.ran") is None
        assert any("Content Security Policy" in fault for fault in window.faults)
        window.faults.clear()


async def test_a_new_key_is_shown_once_in_a_dialog_that_keeps_the_focus(desk: Desk) -> None:
    async with desk.context(permissions=["clipboard-read", "clipboard-write"]) as context:
        window = await desk.sign_in(context)
        user = (await asyncio.to_thread(list_users, desk.console.operator))[0].user
        page = await window.open(f"/console/people/{user.id}")
        await page.get_by_label("New key's name").fill("from the browser")
        await page.get_by_role("button", name="Make key").click()
        dialog = page.get_by_role("dialog")
        await dialog.wait_for()
        key = await page.locator("#minted-key").inner_text()
        assert key.startswith("sk-zg-")
        assert await page.evaluate("() => document.querySelector('dialog').matches(':modal')")
        await dialog.get_by_role("button", name="Copy").first.click()
        assert await page.evaluate("() => navigator.clipboard.readText()") == key
        for _ in range(12):
            await page.keyboard.press("Tab")
            inside = "() => document.activeElement === document.body || !!document.activeElement.closest('dialog')"
            assert await page.evaluate(inside)
        await dialog.get_by_role("link", name="I have copied it").click()
        assert not await dialog.is_visible()
        await page.reload()  # of a page that answered a form: Chromium asks, playwright sends it again
        await page.goto(f"{window.root}/console/people/{user.id}")
        assert key not in await page.content()
        assert key not in await page.evaluate("() => JSON.stringify([{...localStorage}, {...sessionStorage}])")


async def test_the_playground_shows_a_price_partial_images_in_order_and_the_image(desk: Desk) -> None:
    """Then what the gateway refuses, in its words; the key is nowhere in the page."""
    key = desk.console.gateway.store.key("images:1/day", user="pia")
    async with desk.context() as context:
        window = await desk.sign_in(context, "pia", None)
        page = await window.open("/console/me/playground")
        await page.get_by_label("Prompt").fill("A paper boat")
        await page.get_by_label("Quality").select_option("low")
        await page.wait_for_selector("text=at most $")
        await page.get_by_text("More", exact=True).click()
        await page.get_by_role("checkbox", name="Stream").check()
        await page.get_by_role("combobox", name="Partial images").select_option("2")
        await page.evaluate("""() => { window.phases = []; new MutationObserver((records) => records.forEach(
            (record) => record.addedNodes.forEach((node) => phases.push(node.data.split(' after')[0])))).observe(
            document.querySelector('[data-phase]'), {childList: true}) }""")
        await page.get_by_role("button", name="Make image").click()
        await page.wait_for_selector("text=Done after", timeout=30_000)
        phases = [
            "Asked. An image takes from ten seconds to two minutes.",
            "Partial image 1",
            "Partial image 2",
            "Done",
        ]
        assert await page.evaluate("() => window.phases") == phases
        assert await page.evaluate("() => [...document.images].map((each) => each.naturalWidth)") == [1024]
        async with page.expect_download() as saved:
            await page.get_by_role("link", name="Download").click()
        assert (await (await saved.value).path()).read_bytes().startswith(b"\x89PNG")
        await page.wait_for_selector("td >> text=no")  # the limit is used up, and the page says so by itself
        await page.get_by_role("button", name="Make image").click()
        await page.wait_for_selector("[data-failure] >> text=images:1/day")
        assert key.text.rpartition("-")[2] not in await page.content()


async def test_the_gallery_shows_the_images_of_a_job(desk: Desk) -> None:
    key = desk.console.gateway.store.key(user="rui")

    def submit() -> int:
        headers = {"authorization": f"Bearer {key.text}", "prefer": "respond-async, wait=30"}
        fields = {"model": "gpt-image-2", "prompt": "x", "size": "1024x1024", "quality": "low"}
        url = f"{desk.console.gateway.url}/images/generations"
        return httpx2.post(url, json=fields, headers=headers, timeout=60).status_code

    assert await asyncio.to_thread(submit) == 200
    async with desk.context() as context:
        window = await desk.sign_in(context, "rui", None)
        page = await window.open("/console/me/gallery")
        await page.get_by_role("button", name="Show images").click()
        await page.get_by_role("link", name="Download", exact=True).wait_for()
        assert await page.evaluate("() => [...document.images].map((each) => each.naturalWidth)") == [1024]


async def test_keys_jump(desk: Desk) -> None:
    async with desk.context() as context:
        window = await desk.sign_in(context)
        page = await window.open("/console/now")
        for letter, path in (("u", "usage"), ("l", "limits"), ("p", "people"), ("m", "me/usage")):
            await page.keyboard.press("g")
            await page.keyboard.press(letter)
            await page.wait_for_url(f"**/console/{path}")
        await window.open("/console/people")
        await page.keyboard.press("/")
        assert await page.evaluate("() => document.activeElement.id") == "q"
        await page.keyboard.type("gp/")
        assert await page.locator("#q").input_value() == "gp/"


async def test_the_theme_changes_without_a_reload_and_stays(desk: Desk) -> None:
    async with desk.context(color_scheme="light") as context:
        window = await desk.sign_in(context)
        page = await window.open("/console/now")
        background = "() => getComputedStyle(document.body).backgroundColor"
        light = await page.evaluate(background)
        async with page.expect_response("**/console/theme"):
            await page.get_by_role("button", name="Dark theme").click()
        assert await page.evaluate(background) != light
        await page.reload()
        assert await page.evaluate(background) != light
    async with desk.context(color_scheme="dark") as context:
        window = await desk.sign_in(context)
        await window.open("/console/now")
        assert await window.page.evaluate(background) != light


async def test_a_session_that_ended_sends_a_page_that_refreshes_itself_to_sign_in(desk: Desk) -> None:
    async with desk.context() as context:
        window = await desk.sign_in(context)
        await window.open("/console/now")
        await context.clear_cookies()
        await window.page.wait_for_url("**/console/sign-in?next=%2Fconsole%2Fnow", timeout=20_000)


async def test_it_works_without_scripts(desk: Desk) -> None:
    async with desk.context(java_script_enabled=False) as context:
        window = await desk.sign_in(context)
        page = await window.open("/console/people")
        await page.get_by_label("New user").fill("no script")
        await page.get_by_role("button", name="Make user").click()
        assert await window.heading() == "no script"
        await page.get_by_role("button", name="Sign out").click()
        assert await window.heading() == "Sign in"


@pytest.mark.parametrize("path", [path if path in WIDE_PAGES else pytest.param(path, marks=MORE) for path in PAGES])
async def test_a_phone_shows_everything_without_scrolling_sideways(desk: Desk, path: str) -> None:
    async with desk.context(viewport=PHONE) as context:
        window = await desk.sign_in(context)
        page = await window.open(path)
        wide = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await page.evaluate(wide) <= 0
        small = """() => [...document.querySelectorAll('a, button, input:not([type=hidden]), select, summary')]
            .filter((e) => e.checkVisibility() && !e.closest('p, td, th, .visually-hidden, .skip, .aside'))
            .map((e) => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()])
            .filter(([, box]) => box.width < 24 || box.height < 24).filter(([html]) => !html.includes('checkbox'))
            .map(([html, box]) => `${html} ${box.width}x${box.height}`)"""
        assert [each for each in await page.evaluate(small) if 'class="skip"' not in each] == []


@MORE
@needs_axe
@pytest.mark.parametrize(("viewport", "theme"), LOOKS)
async def test_axe_finds_nothing_on_any_page(desk: Desk, theme: str, viewport: str) -> None:
    options = {"viewport": PHONE} if viewport == "phone" else {}
    found = []
    async with desk.context(color_scheme=theme, **options) as context:
        window = await desk.window(context)
        signed_out = [await asyncio.to_thread(desk.console.link, "Mara Lindqvist"), "/console/sign-in"]
        user = (await asyncio.to_thread(list_users, desk.console.operator))[0].user
        paths = [*signed_out, "", *PAGES, f"/console/people/{user.id}", "/console/nothing"]
        for path in paths:
            if not path:
                window = await desk.sign_in(context)
                continue
            page = await window.open(path)
            found += [f"{path}: {fault}" for fault in await axe_faults(page)]
    assert found == [], "\n".join(found)
