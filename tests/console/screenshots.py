"""Images of the console's main pages, from the sandbox with invented people and a week of plausible use:
`make screenshots`. Needs a Chromium; asks nobody outside this machine.
"""

import os
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, ViewportSize, sync_playwright

from app.main import utc_now
from app.sandbox.server import SandboxServer
from tests.console.browser.conftest import ADMIN, CHROMIUM
from tests.console.conftest import Console, console_settings
from tests.console.week import fill_week
from tests.servers import RunningGateway

PAGES = {
    "now": "/console/now",
    "usage": "/console/usage?span=7d",
    "limits": "/console/limits",
    "people": "/console/people",
    "requests": "/console/requests",
    "playground": "/console/me/playground",
    "edit": "/console/me/playground",
}
THEMES = {"light": tuple(PAGES), "dark": ("now",)}
VIEW = ViewportSize(width=1280, height=860)
COLOURS = 256  # a page has few, so a palette makes its file small


def main(folder: Path) -> None:
    """Writes console-NAME.png for every page, and console-NAME-dark.png for some."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["SSL_CERT_FILE"] = str(Path(__file__).parents[1] / "nobody.pem")
    with tempfile.TemporaryDirectory() as data, SandboxServer() as sandbox:
        settings = console_settings(Path(data), f"sqlite:///{data}/gateway.db", sandbox=True)
        with RunningGateway(settings.model_copy(update={"zenmux_base_url": sandbox.url})) as gateway:
            fill_week(gateway.store.engine, utc_now())
            links = {theme: Console(gateway, []).link(ADMIN, "admin") for theme in THEMES}
            with sync_playwright() as playwright:
                chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
                for theme, names in THEMES.items():
                    page = chromium.new_page(viewport=VIEW, color_scheme="dark" if theme == "dark" else "light")
                    page.goto(f"{gateway.root}{links[theme]}")
                    page.get_by_role("button", name="Sign in").click()
                    for name in names:
                        page.goto(f"{gateway.root}{PAGES[name]}")
                        if name in ("playground", "edit"):
                            _make_image(page)
                        if name == "edit":
                            _paint_mask(page)
                        _save(page, folder / f"console-{name}{'-dark' if theme == 'dark' else ''}.png")
                chromium.close()


def _make_image(page: Page) -> None:
    page.get_by_label("Prompt").fill("A paper boat on a calm sea at dawn, watercolour")
    page.get_by_label("Quality").select_option("low")
    page.get_by_role("button", name="Make image").click()
    page.get_by_text("Done after").wait_for()
    page.get_by_text("at most $").wait_for()


def _paint_mask(page: Page) -> None:
    """Over the image that was made."""
    page.get_by_role("button", name="Edit this image").click()
    page.get_by_role("button", name="Paint a mask").click()
    box = page.locator("canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.35 * box["height"])
    page.mouse.down()
    for across, down in ((0.45, 0.3), (0.6, 0.4), (0.7, 0.35)):
        page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"], steps=8)
    page.mouse.up()


def _save(page: Page, file: Path) -> None:
    page.screenshot(path=file)
    with Image.open(file) as image:
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
