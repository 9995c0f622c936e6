"""What people do from one page to the next: hand out a key and use it, set a limit and see it refuse, ask why, and meet
the walls of their role.
"""

import asyncio
import shutil
import sys
from pathlib import Path

import httpx2
import pytest

from app.admin.users import create_user
from tests.console.browser.conftest import MORE, Desk
from tests.console.member.shown_programs import run_program
from tests.servers import Key

PNG = b"\x89PNG\r\n\x1a\n"
NODE, SCRIPTS = shutil.which("node"), Path(__file__).parents[2] / "node"
BODY = {"model": "gpt-image-2", "prompt": "a boat", "size": "1024x1024", "quality": "low"}
WALL = "Not for your role"


def ask(desk: Desk, key: Key) -> httpx2.Response:
    headers = {"authorization": f"Bearer {key.text}"}
    return httpx2.post(f"{desk.console.gateway.url}/images/generations", json=BODY, headers=headers, timeout=60)


async def test_a_key_is_made_and_each_snippet_beside_it_buys_an_image(desk: Desk, tmp_path: Path) -> None:
    """As they are copied by the button, run by a shell, by Python and by Node."""
    user = (await asyncio.to_thread(create_user, desk.console.operator, "rosa")).user
    commands = {"curl": ["sh", "-c"], "Python": [sys.executable, "-c"]}
    if NODE is not None and (SCRIPTS / "node_modules" / "openai").is_dir():
        commands["JavaScript"] = [NODE, "--input-type=module", "-e"]
        (tmp_path / "node_modules").symlink_to(SCRIPTS / "node_modules")
    async with desk.context(permissions=["clipboard-read", "clipboard-write"]) as context:
        window = await desk.sign_in(context)
        page = await window.open(f"/console/people/{user.id}")
        await page.get_by_label("New key's name").fill("laptop")
        await page.get_by_role("button", name="Make key").click()
        dialog = page.get_by_role("dialog")
        for name, command in commands.items():
            shown = dialog.locator(f"#snippet-{name.lower()}")
            await dialog.locator(f"[data-copy=snippet-{name.lower()}]").click()
            program = await page.evaluate("() => navigator.clipboard.readText()")
            assert program == (await shown.text_content() or "").strip()
            done = await asyncio.to_thread(run_program, [*command, program], tmp_path)
            assert (done.returncode, done.stdout.strip()) == (0, "saved boat.png"), done.stderr
            assert (tmp_path / "boat.png").read_bytes().startswith(PNG), name
            (tmp_path / "boat.png").unlink()
    rows = [row for row in desk.console.gateway.store.rows() if row["user_id"] == user.id]
    assert len(rows) == len(commands)


async def test_a_limit_that_is_set_refuses_the_next_request_and_that_is_seen(desk: Desk) -> None:
    key = desk.console.gateway.store.key(user="sven")
    assert (await asyncio.to_thread(ask, desk, key)).status_code == 200
    async with desk.context() as context:
        window = await desk.sign_in(context)
        page = await window.open("/console/limits")
        await page.get_by_label("Name, or key id").fill("sven")
        await page.get_by_role("textbox", name="Amount").fill("1")
        await page.get_by_role("combobox", name="Unit").select_option("images")
        await page.get_by_role("button", name="Set limit").click()
        await page.wait_for_selector("text=The limit is set.")
        refused = await asyncio.to_thread(ask, desk, key)
        error = refused.json()["error"]
        assert (refused.status_code, error["code"]) == (429, "insufficient_quota")
        assert "images:1/day" in error["message"]
        await window.open("/console/limits")
        nearest = page.get_by_role("region", name="Nearest to their amount").locator("li", has_text="sven")
        assert "100%" in await nearest.inner_text()
        await window.open("/console/now")  # which refreshes itself until the refusal is counted
        await page.wait_for_selector("section:has(h2:text('Refused')) >> text=insufficient_quota", timeout=40_000)
        await window.open("/console/limits/explain")
        await page.get_by_label("Name, or key id").fill("sven")
        await page.get_by_role("button", name="Explain").click()
        assert "images:1/day" in await page.locator(".note.bad").inner_text()
        assert await page.get_by_role("row", name="images:1/day").get_by_text("no", exact=True).is_visible()


@pytest.mark.parametrize(
    ("role", "open_to", "closed_to"),
    [
        pytest.param("auditor", ("now", "limits", "people", "changes", "system", "me/keys"), (), marks=MORE),
        pytest.param(
            "lead", ("requests", "limits", "people", "me/keys"), ("now", "usage", "accounts", "system"), marks=MORE
        ),
        (None, ("me/usage", "me/keys", "me/gallery"), ("now", "requests", "limits", "people", "changes", "system")),
    ],
)
async def test_a_role_sees_its_pages_and_meets_a_wall_before_the_others(
    desk: Desk, role: str | None, open_to: tuple[str, ...], closed_to: tuple[str, ...]
) -> None:
    async with desk.context() as context:
        window = await desk.sign_in(context, role=role)  # who has a team
        links = window.page.get_by_role("navigation", name="Pages").get_by_role("link")
        paths = {await each.get_attribute("href") for each in await links.all()}
        for path in open_to:
            assert f"/console/{path}" in paths
            await window.open(f"/console/{path}")
            assert await window.heading() != WALL
            # Who only reads is offered nothing that changes others.
            if not path.startswith("me/") and role != "lead":
                assert await window.page.locator("main form[method=post]").count() == 0, path
        for path in closed_to:
            assert f"/console/{path}" not in paths
            await window.open(f"/console/{path}")
            assert await window.heading() == WALL
