"""Signing in with a real identity provider, in a real browser: its cookies and its policy are what is tested."""

import asyncio
from pathlib import Path

import pytest

from tests.console.browser.conftest import Desk
from tests.console.login.provider import NODE
from tests.console.login.test_oidc import company

pytestmark = pytest.mark.skipif(NODE is None, reason="there is no Node.js on this machine")


async def test_a_person_signs_in_sees_the_page_that_was_asked_for_and_signs_out_everywhere(
    desk: Desk, tmp_path: Path
) -> None:
    place = company(tmp_path, f"sqlite:///{tmp_path}/gateway.db")
    found = await asyncio.to_thread(place.__enter__)
    try:
        page = await desk.chromium.new_page()
        root = found.console.gateway.root
        await page.goto(f"{root}/console/me/usage")
        await page.get_by_role("link", name="Continue with Company login").click()
        await page.locator("input[name=login]").fill("sub-1")
        await page.locator("input[name=password]").fill("-")
        await page.locator("button[type=submit]").click()
        await page.get_by_role("button", name="Continue").click()
        await page.wait_for_url(f"{root}/console/me/usage")
        assert await page.get_by_text("alice").count() > 0
        [cookie] = [each for each in await page.context.cookies(root) if each["name"] == "zg_session"]
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
        await page.get_by_role("button", name="Sign out").click()
        await page.get_by_role("link", name="Sign out at Company login too").click()
        await page.get_by_role("button", name="Yes, sign me out").click()
        await page.goto(f"{root}/console/me/usage")
        await page.get_by_role("link", name="Continue with Company login").click()
        await page.locator("input[name=login]").wait_for()  # the provider asks again who it is
        await page.close()
    finally:
        await asyncio.to_thread(place.__exit__, None, None, None)
