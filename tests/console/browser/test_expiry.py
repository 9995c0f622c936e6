"""A session that ends while somebody fills in a form: nothing is done, nothing that was typed is lost, and the page
says what to do.
"""

import asyncio

import pytest
from playwright.async_api import BrowserContext, Page
from sqlalchemy import text

from app.admin.limits import list_limits
from app.database.engine import writing
from app.quotas.rules.limits import format_limit
from tests.console.browser.axe import axe_faults, needs_axe
from tests.console.browser.conftest import ADMIN, MORE, PHONE, Desk

SIGNED_OUT = "Your session ended before the form was sent, so nothing was done."
PUT_BACK = "Your session had ended, so this form was not sent."


def end_sessions(desk: Desk) -> None:
    """As if nobody had used any for nine hours."""
    with writing(desk.console.gateway.store.engine) as connection:
        connection.execute(text(f"UPDATE sessions SET seen_at_ms = seen_at_ms - {9 * 3_600_000}"))


def limits_of(desk: Desk, user: str) -> list[str]:
    return [format_limit(each.limit) for each in list_limits(desk.console.operator) if each.name == user]


async def fill_in_limit(page: Page, owner: str, amount: str) -> None:
    await page.get_by_label("Name, or key id").fill(owner)
    await page.get_by_role("textbox", name="Amount").fill(amount)
    await page.get_by_role("combobox", name="Unit").select_option("images")
    await page.get_by_label("In each").select_option("hour")
    await page.get_by_label("Shadow limit").check()


async def send_too_late(desk: Desk, context: BrowserContext, owner: str) -> Page:
    """A form for a limit of this owner, sent after the session."""
    window = await desk.sign_in(context)
    page = await window.open("/console/limits")
    await fill_in_limit(page, owner, "7")
    await asyncio.to_thread(end_sessions, desk)
    await page.get_by_role("button", name="Set limit").click()
    await page.wait_for_selector(f"text={SIGNED_OUT}")
    assert await page.get_by_text("What you typed is in it then.").is_visible()
    return page


async def test_a_form_that_came_too_late_is_filled_in_again_and_not_sent_by_itself(desk: Desk) -> None:
    before = limits_of(desk, "newsletter-bot")
    async with desk.context() as context:
        page = await send_too_late(desk, context, "newsletter-bot")
        await desk.sign_in(context)  # in another tab, with a link
        await page.get_by_role("link", name="Sign in").click()
        await page.wait_for_url("**/console/limits")
        form = page.locator("form", has_text=PUT_BACK)
        assert await form.get_by_label("Name, or key id").input_value() == "newsletter-bot"
        assert await form.get_by_role("textbox", name="Amount").input_value() == "7"
        assert await form.get_by_label("In each").input_value() == "hour"
        assert await form.get_by_label("Shadow limit").is_checked()
        assert limits_of(desk, "newsletter-bot") == before
        await form.get_by_role("button", name="Set limit").click()
        await page.wait_for_selector("text=The limit is set.")
        assert sorted(limits_of(desk, "newsletter-bot")) == sorted([*before, "images:7/hour"])
        assert await page.get_by_text(PUT_BACK).count() == 0
        assert await page.evaluate("() => sessionStorage.length") == 0


@needs_axe
@MORE
@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_the_pages_that_say_so_are_accessible_and_fit_a_phone(desk: Desk, theme: str) -> None:
    wide = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    async with desk.context(color_scheme=theme, viewport=PHONE) as context:
        page = await send_too_late(desk, context, "newsletter-bot")
        found = [await page.evaluate(wide), *await axe_faults(page)]
        await desk.sign_in(context)
        await page.get_by_role("link", name="Sign in").click()
        await page.wait_for_selector(f"text={PUT_BACK}")
        assert [*found, await page.evaluate(wide), *await axe_faults(page)] == [0, 0]


@MORE
async def test_a_second_key_that_came_too_late_is_filled_in_again(desk: Desk) -> None:
    """The page that shows the first key is the answer to a form: nobody can come back to its address."""
    async with desk.context() as context:
        window = await desk.sign_in(context)
        page = await window.open("/console/people")
        await page.get_by_role("link", name="newsletter-bot").first.click()
        name = page.get_by_label("New key's name")
        await name.fill("first")
        await page.get_by_role("button", name="Make key").click()
        await page.get_by_role("link", name="I have copied it").click()
        await name.fill("second")
        await asyncio.to_thread(end_sessions, desk)
        await page.get_by_role("button", name="Make key").click()
        await page.wait_for_selector(f"text={SIGNED_OUT}")
        await desk.sign_in(context)
        await page.get_by_role("link", name="Sign in").click()
        await page.locator("form", has_text=PUT_BACK).wait_for()
        assert await name.input_value() == "second"
        assert await page.evaluate("() => sessionStorage.length") == 0


@MORE
async def test_somebody_else_does_not_see_what_was_typed(desk: Desk) -> None:
    async with desk.context() as context:
        page = await send_too_late(desk, context, ADMIN)
        await desk.sign_in(context, "otto", "admin")
        await page.get_by_role("link", name="Sign in").click()
        await page.wait_for_url("**/console/limits")
        assert await page.get_by_role("textbox", name="Amount").input_value() == ""
        assert await page.get_by_text(PUT_BACK).count() == 0
        assert await page.evaluate("() => sessionStorage.length") == 0


async def test_the_playground_keeps_the_prompt_and_goes_on(desk: Desk) -> None:
    key = desk.console.gateway.store.key(user="quin")
    async with desk.context() as context:
        window = await desk.sign_in(context, "quin", None)
        page = await window.open("/console/me/playground")
        await page.get_by_label("Prompt").fill("A paper boat")
        await page.wait_for_selector("text=at most $")
        await asyncio.to_thread(end_sessions, desk)
        await page.get_by_label("Prompt").press_sequentially(" at sea")
        await page.wait_for_selector("#foreseen >> text=Your session has ended.")
        await page.get_by_role("button", name="Make image").click()
        await page.wait_for_selector("[data-failure] >> text=Your session has ended, so nothing was done.")
        assert [row for row in desk.console.gateway.store.rows() if row["key_id"] == key.id] == []
        async with context.expect_page() as opened:
            await page.get_by_role("link", name="sign in in another tab").click()
        other = await opened.value
        await other.wait_for_url("**/console/sign-in")
        await other.close()
        await desk.sign_in(context, "quin", None)
        assert await page.get_by_label("Prompt").input_value() == "A paper boat at sea"
        await page.get_by_label("Quality").select_option("low")
        await page.wait_for_selector("text=at most $")
        await page.get_by_role("button", name="Make image").click()
        await page.wait_for_selector("text=Done after", timeout=30_000)
        assert await page.locator("[data-failure]").is_hidden()
