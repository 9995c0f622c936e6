"""Edits in a real Chromium: images dropped, chosen and pasted, a mask painted by mouse, finger and keys; what the
sandbox gets of it, and what it bills.
"""

import asyncio
import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from PIL import Image
from playwright.async_api import BrowserContext, FileChooser, Page

from app.sandbox.answers.bodies import Answer
from app.sandbox.generations import Studio
from app.sandbox.images.editing import Sources
from app.sandbox.server import SandboxServer
from tests.console.browser.axe import axe_faults, needs_axe
from tests.console.browser.conftest import LOOKS, MORE, PHONE, Desk, Window
from tests.console.conftest import Console, console_settings
from tests.image_files import image_file, mask_file
from tests.servers import RunningGateway, assert_bill_is_ledger, wait_until
from tests.stores import copy_sqlite_store

PLAYGROUND = "/console/me/playground"
SIZE = (600, 400)
BOAT, SEA = image_file(SIZE, colour="#3377aa"), image_file((300, 500), "JPEG", "#aa7733")
_DROP = """async ([files, kind]) => {
  const transfer = new DataTransfer();
  for (const [name, base64] of files) {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type: name.endsWith("png") ? "image/png" : "image/jpeg" }));
  }
  const more = { bubbles: true, cancelable: true };
  const target = document.querySelector("[data-drop]");
  if (kind === "paste") return target.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, ...more }));
  for (const name of ["dragover", "drop"]) {
    target.dispatchEvent(new DragEvent(name, { dataTransfer: transfer, ...more }));
  }
}"""


@dataclass
class Studied:
    """What came to the sandbox: the files of each edit, byte by byte."""

    sandbox: SandboxServer
    images: list[list[bytes]] = field(default_factory=list)
    masks: list[Image.Image | None] = field(default_factory=list)

    def note(self, inputs: Sources) -> None:
        self.images.append([_bytes(file) for file in inputs.images])
        self.masks.append(Image.open(io.BytesIO(_bytes(inputs.mask))) if inputs.mask else None)

    @property
    def mask(self) -> Image.Image:
        """The last mask."""
        mask = self.masks[-1]
        assert mask is not None
        return mask


def _bytes(file: Any) -> bytes:
    file.seek(0)
    return bytes(file.read())


@pytest.fixture(scope="module")
def studied() -> Iterator[Studied]:
    with SandboxServer() as sandbox, pytest.MonkeyPatch.context() as patch:
        found, work = Studied(sandbox), Studio.work

        async def noted(studio: Studio, asked: Any, inputs: Sources, usage: Any) -> Answer:
            found.note(inputs)
            return await work(studio, asked, inputs, usage)

        patch.setattr(Studio, "work", noted)
        yield found


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory, studied: Studied) -> Iterator[Console]:
    """Without a week of use: the ledger is held against the sandbox's bill."""
    folder = tmp_path_factory.mktemp("edits")
    copy_sqlite_store(folder / "gateway.db")
    settings = console_settings(folder / "data", f"sqlite:///{folder / 'gateway.db'}", sandbox=True)
    with RunningGateway(settings.model_copy(update={"zenmux_base_url": studied.sandbox.url})) as gateway:
        yield Console(gateway, [])
        assert_bill_is_ledger(gateway, studied.sandbox)  # after all tests of this module


@pytest.fixture(autouse=True)
def key(week: Console) -> None:
    """Pia has one that works."""
    week.gateway.store.key(user="pia")


async def playground(desk: Desk, context: BrowserContext, **fields: str) -> Page:
    window: Window = await desk.sign_in(context, "pia", None)
    page = await window.open(PLAYGROUND)
    await page.get_by_label("Prompt").fill(fields.get("prompt", "A paper boat"))
    await page.get_by_label("Quality").select_option("low")
    return page


async def bring(page: Page, *files: tuple[str, bytes], kind: str = "drop") -> None:
    """Drops or pastes files; returns once the page shows them, or says why not."""
    before = await page.locator(".thumb").count()
    await page.evaluate(_DROP, [[[name, base64.b64encode(file).decode()] for name, file in files], kind])
    await page.wait_for_function(
        "([count]) => document.querySelectorAll('.thumb').length === count"
        " || document.querySelector('[data-input-fault]').textContent",
        arg=[before + len(files)],
    )


async def names(page: Page) -> list[str]:
    return await page.locator(".thumb bdi").all_inner_texts()


async def stroke(page: Page, *points: tuple[float, float]) -> None:
    """With the mouse, along points of the image in shares of its size."""
    box = await page.locator("canvas").bounding_box()
    assert box is not None
    for number, (x, y) in enumerate(points):
        await page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
        if number == 0:
            await page.mouse.down()
    await page.mouse.up()


async def send(page: Page) -> None:
    await page.get_by_role("button", name="Edit image").click()
    await page.wait_for_selector("text=Done after", timeout=30_000)


def alpha(mask: Image.Image, x: float, y: float) -> int:
    """Of the mask at a point in shares of its size."""
    pixel = mask.convert("RGBA").getpixel((int(x * mask.width), int(y * mask.height)))
    assert isinstance(pixel, tuple)
    return int(pixel[3])


async def test_an_edit_of_two_dropped_images_and_a_painted_mask(desk: Desk, studied: Studied) -> None:
    async with desk.context() as context:
        page = await playground(desk, context)
        await bring(page, ("boat.png", BOAT), ("sea.jpg", SEA))
        await page.wait_for_selector("text=An edit of 2 images")
        assert desk.console.gateway.store.rows() == []  # the price reserves nothing
        await page.get_by_role("button", name="Paint a mask").click()
        await stroke(page, (0.2, 0.5), (0.6, 0.5))
        await page.get_by_role("button", name="Use this mask").click()
        await page.get_by_role("link", name="mask.png, 600x400").wait_for()
        await page.wait_for_function("() => document.querySelector('#snippet-curl').textContent.includes('mask=@')")
        await send(page)
        assert await page.evaluate(
            "() => [...document.querySelectorAll('.images img')].map((e) => e.naturalWidth)"
        ) == [1024]
        await page.wait_for_selector("text=Kept in your gallery")
        store = "(await import('/console/static/js/store.js'))"
        assert await page.evaluate(f"async () => (await {store}.list()).map((each) => each.operation)") == ["edit"]
    assert studied.images[-1] == [BOAT, SEA]
    mask = studied.mask
    assert (mask.format, mask.mode, mask.size) == ("PNG", "RGBA", SIZE)
    assert [alpha(mask, x, 0.5) for x in (0.2, 0.4, 0.6)] == [0, 0, 0]
    assert [alpha(mask, x, y) for x, y in ((0.4, 0.1), (0.9, 0.5), (0, 0), (0.4, 0.9))] == [255] * 4
    [row] = desk.console.gateway.store.settled(1)
    assert (row["operation"], row["input_images"], row["outcome"]) == ("edit", 2, "completed")
    assert_bill_is_ledger(desk.console.gateway, studied.sandbox, 1)


async def test_a_streamed_edit_whose_image_is_edited_again(desk: Desk, studied: Studied) -> None:
    async with desk.context() as context:
        page = await playground(desk, context)
        await bring(page, ("boat.png", BOAT))
        await page.get_by_text("More", exact=True).click()
        await page.get_by_role("checkbox", name="Stream").check()
        await page.get_by_role("combobox", name="Partial images").select_option("2")
        await page.evaluate("""() => { window.phases = []; new MutationObserver((records) => records.forEach(
            (record) => record.addedNodes.forEach((node) => phases.push(node.data.split(' after')[0])))).observe(
            document.querySelector('[data-phase]'), {childList: true}) }""")
        await send(page)
        assert (await page.evaluate("() => window.phases"))[1:] == ["Partial image 1", "Partial image 2", "Done"]
        assert studied.images[-1] == [BOAT]
        assert studied.masks[-1] is None
        async with page.expect_download() as saved:
            await page.get_by_role("link", name="Download").click()
        made = await (await saved.value).path()
        await page.get_by_role("button", name="Edit this image").click()
        await page.wait_for_selector(".thumb >> text=image-1.png")
        assert await names(page) == ["image-1.png", "boat.png"]
        assert await page.evaluate("() => document.activeElement.name") == "prompt"
        await page.get_by_role("button", name="Remove: boat.png").click()
        await send(page)
        assert studied.images[-1] == [await asyncio.to_thread(made.read_bytes)]


async def test_a_kept_image_is_edited_again(desk: Desk, studied: Studied) -> None:
    """It comes behind a link, and no byte of it in the answer."""
    async with desk.context() as context:
        page = await playground(desk, context)
        await page.get_by_text("More", exact=True).click()
        await page.get_by_role("checkbox", name="Keep it at the gateway too").check()
        await page.get_by_role("button", name="Make image").click()
        await page.get_by_role("button", name="Edit this image").click()
        await page.wait_for_selector(".thumb >> text=image-1.png")
        await send(page)
        [sent] = studied.images[-1]
        assert Image.open(io.BytesIO(sent)).size == (1024, 1024)


@MORE
async def test_images_are_pasted_ordered_and_removed(desk: Desk, studied: Studied) -> None:
    async with desk.context() as context:
        page = await playground(desk, context)
        await bring(page, ("image.png", BOAT), kind="paste")
        await bring(page, ("image.png", image_file((10, 10))), ("sea.jpg", SEA), kind="paste")
        assert await names(page) == ["image.png", "image-2.png", "sea.jpg"]
        earlier = page.get_by_role("button", name="Move earlier: sea.jpg")
        await earlier.click()
        assert await names(page) == ["image.png", "sea.jpg", "image-2.png"]
        assert await page.evaluate("() => document.activeElement.getAttribute('aria-label')") == "Move earlier: sea.jpg"
        await earlier.click()
        assert await names(page) == ["sea.jpg", "image.png", "image-2.png"]
        await page.get_by_role("button", name="Remove: image-2.png").click()
        await page.wait_for_selector("text=An edit of 2 images")
        await send(page)
        assert studied.images[-1] == [SEA, BOAT]
        await page.get_by_role("button", name="Remove all").click()
        assert await page.get_by_role("button", name="Make image").is_visible()
        assert not await page.get_by_text("Paint a mask").is_visible()


@MORE
async def test_a_mask_belongs_to_its_image(desk: Desk, studied: Studied) -> None:
    """The one of the first image is sent, whichever that is."""
    async with desk.context() as context:
        page = await playground(desk, context)
        await bring(page, ("boat.png", BOAT), ("sea.jpg", SEA))
        await page.get_by_role("button", name="Paint a mask").click()
        await stroke(page, (0.5, 0.5), (0.6, 0.5))
        await page.get_by_role("button", name="Use this mask").click()
        await page.get_by_role("button", name="Change the mask").wait_for()
        await page.get_by_role("button", name="Move later: boat.png").click()
        assert await page.get_by_text("Without one, all of it may change.").is_visible()
        await send(page)
        assert (studied.images[-1], studied.masks[-1]) == ([SEA, BOAT], None)
        await page.get_by_role("button", name="Move earlier: boat.png").click()
        await send(page)
        assert studied.mask.size == SIZE
        await page.get_by_role("button", name="Remove mask").click()
        await send(page)
        assert studied.masks[-1] is None


@MORE
async def test_strokes_are_erased_undone_and_cleared(desk: Desk, studied: Studied) -> None:
    async with desk.context() as context:
        page = await playground(desk, context)
        await bring(page, ("boat.png", BOAT))
        await page.get_by_role("button", name="Paint a mask").click()
        button = {name: page.get_by_role("button", name=name) for name in ("Erase", "Undo", "Clear", "Use this mask")}
        assert await button["Undo"].is_disabled()
        await page.get_by_label("Size", exact=True).last.fill("30")
        await stroke(page, (0.1, 0.2), (0.9, 0.2))
        await stroke(page, (0.1, 0.8), (0.9, 0.8))
        assert await page.get_by_text("2 strokes").is_visible()
        await button["Clear"].click()
        assert await page.get_by_text("2 strokes").is_visible()
        await button["Undo"].click()  # the clearing
        await button["Undo"].click()  # the second stroke
        await button["Erase"].click()
        await stroke(page, (0.5, 0.2), (0.5, 0.2))
        await button["Use this mask"].click()
        await send(page)
        points = ((0.2, 0.2), (0.5, 0.2), (0.8, 0.2), (0.5, 0.8))
        assert [alpha(studied.mask, x, y) for x, y in points] == [0, 255, 0, 255]
        # What was painted is there again, and what is left blank is no mask.
        await page.get_by_role("button", name="Change the mask").click()
        assert await page.get_by_text("2 strokes").is_visible()
        await button["Clear"].click()
        await page.keyboard.press("Escape")
        assert await page.get_by_role("link", name="mask.png, 600x400").is_visible()
        await page.get_by_role("button", name="Change the mask").click()
        await button["Clear"].click()
        await button["Use this mask"].click()
        await page.get_by_text("Without one, all of it may change.").wait_for()


async def test_no_two_files_of_an_edit_have_one_name(desk: Desk) -> None:
    """The programs read all of them from one folder."""
    async with desk.context() as context:
        page = await playground(desk, context)
        await bring(page, ("mask.png", BOAT))
        for button in ("Paint a mask", "Change the mask"):
            await page.get_by_role("button", name=button).click()
            await stroke(page, (0.2, 0.5), (0.6, 0.5))
            await page.get_by_role("button", name="Use this mask").click()
            await page.get_by_role("link", name="mask-2.png, 600x400").wait_for()
        await bring(page, ("mask-2.png", BOAT))
        assert await names(page) == ["mask.png", "mask-2-2.png"]
        await page.locator("#snippet-curl", has_text="mask-2-2.png").wait_for()


@MORE
async def test_a_mask_is_painted_with_a_finger(desk: Desk, studied: Studied) -> None:
    async with desk.context(viewport=PHONE, has_touch=True, is_mobile=True) as context:
        page = await playground(desk, context)
        await bring(page, ("boat.png", BOAT))
        await page.get_by_role("button", name="Paint a mask").click()
        box = await page.locator("canvas").bounding_box()
        assert box is not None
        finger = await context.new_cdp_session(page)
        y = box["y"] + 0.5 * box["height"]
        for kind, share in (("touchStart", 0.3), ("touchMove", 0.5), ("touchMove", 0.7), ("touchEnd", None)):
            points = [] if share is None else [{"x": box["x"] + share * box["width"], "y": y}]
            await finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        await page.wait_for_selector("text=1 stroke")
        await page.get_by_role("button", name="Use this mask").click()
        await send(page)
        assert studied.mask.size == SIZE
        assert [alpha(studied.mask, x, 0.5) for x in (0.3, 0.5, 0.7, 0.9)] == [0, 0, 0, 255]


@MORE
async def test_everything_goes_by_keyboard(desk: Desk, studied: Studied) -> None:
    focused = "() => document.activeElement.textContent.trim() || document.activeElement.tagName"
    chosen: asyncio.Future[FileChooser] = asyncio.get_running_loop().create_future()

    def choose(chooser: FileChooser) -> None:
        chosen.set_result(chooser)

    async with desk.context() as context:
        page = await playground(desk, context)
        page.once("filechooser", choose)
        await page.get_by_label("Prompt").focus()
        await page.keyboard.press("Tab")
        assert await page.evaluate(focused) == "Choose images"
        await page.keyboard.press("Enter")
        await (await chosen).set_files({"name": "boat.png", "mimeType": "image/png", "buffer": BOAT})
        await page.wait_for_selector(".thumb")
        while await page.evaluate(focused) != "Paint a mask":
            await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        assert await page.evaluate(focused) == "CANVAS"
        await page.keyboard.press("]")
        await page.keyboard.down(" ")
        for _ in range(4):
            await page.keyboard.press("ArrowRight")
        await page.keyboard.up(" ")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("g")  # the page's own keys lead nowhere from here
        await page.keyboard.press("k")
        await page.keyboard.press("e")
        assert await page.get_by_role("button", name="Erase").get_attribute("aria-pressed") == "true"
        await page.keyboard.press(" ")
        assert await page.get_by_text("2 strokes").is_visible()
        await page.keyboard.press("Control+z")
        assert await page.get_by_text("1 stroke", exact=True).is_visible()
        while await page.evaluate(focused) != "Use this mask":
            await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Change the mask").wait_for()
        assert await page.evaluate(focused) == "Change the mask"
        await send(page)
        assert [alpha(studied.mask, x, 0.5) for x in (0.5, 0.55, 0.2)] == [0, 0, 255]
        await page.get_by_role("button", name="Remove: boat.png").press("Enter")
        assert await page.evaluate(focused) == "Choose images"


async def test_what_cannot_be_edited_is_refused_in_words_and_nothing_is_bought(desk: Desk, studied: Studied) -> None:
    before, small = len(studied.images), mask_file((64, 64))
    async with desk.context() as context:
        page = await playground(desk, context)
        await bring(page, ("notes.png", b"not an image at all"))
        fault = page.locator("[data-input-fault]")
        assert (
            await fault.inner_text() == "“notes.png” is not an image that can be read. Take a PNG, JPEG or WebP file."
        )
        await bring(page, ("moving.png", image_file(kind="GIF")))
        assert await fault.inner_text() == ""
        await page.wait_for_selector("#foreseen >> text=Invalid image file or mode for image 1")
        await page.get_by_role("button", name="Edit image").click()
        await page.wait_for_selector("[data-failure] >> text=Invalid image file or mode for image 1")
        await page.get_by_role("button", name="Remove: moving.png").click()
        await bring(page, ("boat.png", BOAT))
        await page.locator("[data-choose-mask-file]").set_input_files(
            {"name": "small.png", "mimeType": "image/png", "buffer": small}
        )
        words = "The mask is 64x64, the first image 600x400: both must be alike."
        await page.wait_for_selector(f"#foreseen >> text={words}")
        await page.get_by_role("button", name="Edit image").click()
        await page.wait_for_selector(f"[data-failure] >> text={words}")
        await bring(page, *[(f"{number}.png", BOAT) for number in range(16)])
        assert await fault.inner_text() == "At most 16 images can be edited at once: the rest was left out."
        assert await page.locator(".thumb").count() == 16
    assert len(studied.images) == before


async def test_stop_ends_the_waiting_and_the_image_is_still_billed(desk: Desk, studied: Studied) -> None:
    gateway = desk.console.gateway
    count = len(gateway.store.settled())
    async with desk.context() as context:
        page = await playground(desk, context, prompt="A paper boat [sandbox: delay=2s]")
        await bring(page, ("boat.png", BOAT))
        await page.get_by_role("button", name="Edit image").click()
        await asyncio.to_thread(wait_until, lambda: len(gateway.store.rows()) == count + 1, "the edit is under way")
        await page.get_by_role("button", name="Stop").click()
        await page.wait_for_selector("text=Stopped here. What was sent to ZenMux is still made, and charged.")
    row = (await asyncio.to_thread(gateway.store.settled, count + 1))[-1]
    assert (row["operation"], row["charged_images"]) == ("edit", 1)
    assert_bill_is_ledger(gateway, studied.sandbox, count + 1)


@needs_axe
@pytest.mark.parametrize(("viewport", "theme"), LOOKS)
async def test_it_is_accessible_and_fits_a_phone(desk: Desk, theme: str, viewport: str) -> None:
    options = {"viewport": PHONE} if viewport == "phone" else {}
    found = []
    async with desk.context(color_scheme=theme, **options) as context:
        page = await playground(desk, context)
        await bring(page, ("a boat with a rather long name.png", BOAT), ("sea.jpg", SEA), ("no.png", b"no"))
        await page.get_by_role("button", name="Paint a mask").click()
        await stroke(page, (0.5, 0.5), (0.6, 0.5))
        for step in ("dialog", "images"):
            if step == "images":
                await page.get_by_role("button", name="Use this mask").click()
                await page.wait_for_selector("text=An edit of 2 images")
            found += [f"{step}: {fault}" for fault in await axe_faults(page)]
            wide = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert await page.evaluate(wide) <= 0
            small = """() => [...document.querySelectorAll('.inputs :is(button, a), dialog :is(button, input)')]
                .filter((e) => e.checkVisibility()).map((e) => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()])
                .filter(([, box]) => box.width < 24 || box.height < 24).map(([html]) => html)"""
            assert [each for each in await page.evaluate(small) if "range" not in each] == []
    assert found == [], "\n".join(found)


async def test_without_scripts_the_form_is_that_of_a_generation(desk: Desk) -> None:
    async with desk.context(java_script_enabled=False) as context:
        page = await playground(desk, context)
        assert not await page.get_by_role("button", name="Choose images").is_visible()
        assert not await page.get_by_text("Images to edit").is_visible()
        await page.get_by_role("button", name="Show what it costs").click()
        assert await page.get_by_text("at most $").is_visible()
