"""What axe says of a page."""

from pathlib import Path

import pytest
from playwright.async_api import Page

_AXE = Path(__file__).parents[2] / "node/node_modules/axe-core/axe.min.js"
_RULES = "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}"

needs_axe = pytest.mark.skipif(not _AXE.is_file(), reason="axe is not here: `make node` installs it with npm")


async def axe_faults(page: Page) -> list[str]:
    """What it finds wrong on a page as it is now."""
    await page.evaluate(_AXE.read_text(encoding="utf-8"))
    result = await page.evaluate(f"() => axe.run(document, {_RULES})")
    return [
        f"{each['id']}: {node['html'][:120]} {node['failureSummary'][:200]}"
        for each in result["violations"]
        for node in each["nodes"]
    ]
