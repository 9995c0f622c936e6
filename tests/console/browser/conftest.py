"""A real Chromium in front of a gateway with a week of use. A violation of the policy, an error of a script or a
request to another host fails the test. Skipped, with the reason, where no browser can be had.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Error, Page, async_playwright

from app.main import utc_now
from app.sandbox.server import SandboxServer
from tests.console.conftest import Console, console_settings
from tests.console.week import fill_week
from tests.servers import RunningGateway
from tests.stores import copy_sqlite_store

MORE = pytest.mark.long("a browser for ten seconds and more; every run walks the main ways")
LOOKS = [
    ("desk", "light"),
    *(pytest.param(*each, marks=MORE) for each in (("desk", "dark"), ("phone", "light"), ("phone", "dark"))),
]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
ADMIN = "Mara Lindqvist"
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and CHROMIUM is None:
            item.add_marker(pytest.mark.skip(reason="Chromium is not here: `make browser` installs Debian's"))


@dataclass
class Window:
    """One tab, and what went wrong in it."""

    page: Page
    root: str
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("request", lambda request: self._check(request.url))

    async def open(self, path: str) -> Page:
        """Goes to a path of the gateway."""
        await self.page.goto(f"{self.root}{path}")
        return self.page

    async def heading(self) -> str:
        return (await self.page.locator("h1").inner_text()).strip()

    def _note(self, kind: str, text: str) -> None:
        # Chromium itself reports answers of 4xx, which a test may want.
        if kind in ("error", "warning") and "Failed to load resource" not in text:
            self.faults.append(f"{kind}: {text}")

    def _check(self, url: str) -> None:
        if not url.startswith((self.root, "blob:", "data:")):
            self.faults.append(f"left the origin: {url}")


@dataclass
class Desk:
    """A gateway, and windows on its console."""

    console: Console
    chromium: Browser
    windows: list[Window] = field(default_factory=list)

    @asynccontextmanager
    async def context(self, **options: Any) -> AsyncIterator[BrowserContext]:
        """A browser of its own: cookies, theme and size."""
        context = await self.chromium.new_context(viewport=options.pop("viewport", DESK), **options)
        try:
            yield context
        finally:
            await context.close()

    async def window(self, context: BrowserContext) -> Window:
        """A tab in it, which must stay without a fault."""
        self.windows.append(Window(await context.new_page(), self.console.gateway.root))
        return self.windows[-1]

    async def sign_in(self, context: BrowserContext, user: str = ADMIN, role: str | None = "admin") -> Window:
        """A tab in which the user is signed in, by the button behind a link."""
        window = await self.window(context)
        await window.open(await asyncio.to_thread(self.console.link, user, role))
        await window.page.get_by_role("button", name="Sign in").click()
        await window.page.wait_for_url("**/console/**")
        return window


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """One gateway for all tests of a module, on SQLite: what a browser shows is the same on both engines."""
    folder = tmp_path_factory.mktemp("week")
    copy_sqlite_store(folder / "gateway.db")
    url = f"sqlite:///{folder / 'gateway.db'}"
    settings = console_settings(folder / "data", url, sandbox=True)
    with (
        SandboxServer() as sandbox,
        RunningGateway(settings.model_copy(update={"zenmux_base_url": sandbox.url})) as gateway,
    ):
        fill_week(gateway.store.engine, utc_now(), per_day=25)
        yield Console(gateway, [])


@pytest.fixture(scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        try:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        except Error as error:
            pytest.skip(f"Chromium does not start here: {error.message.splitlines()[0]}")
        yield browser
        await browser.close()


@pytest.fixture
async def desk(week: Console, chromium: Browser) -> AsyncIterator[Desk]:
    found = Desk(week, chromium)
    yield found
    assert chromium.contexts == []
    assert [fault for window in found.windows for fault in window.faults] == []
