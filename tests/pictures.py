"""Write the pictures of docs/pages.md: ``python -m tests.pictures``."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from playwright.async_api import async_playwright

from tests.conftest import ROOT
from tests.pages_rig import arguments, chromium, shown

TAKEN = (
    ("overview", "overview", "light", (1060, 780)),
    ("decision", "decision", "light", (1060, 640)),
    ("session", "session", "light", (1060, 620)),
    ("table", "table", "light", (1060, 760)),
    ("overview", "phone", "dark", (390, 780)),
)
"""Page, name of the picture, colours, width and height."""


async def taken(folder: Path) -> None:
    """Take the pictures."""
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=chromium(), args=arguments())
        with tempfile.TemporaryDirectory() as books:
            async with shown(Path(books)) as gateway:
                for page, name, scheme, (width, height) in TAKEN:
                    opened = await browser.new_page(
                        viewport={"width": width, "height": height}, color_scheme=scheme
                    )
                    await opened.goto(gateway.url + gateway.pages[page])
                    await opened.wait_for_load_state("load")
                    await opened.screenshot(path=folder / f"{name}.png")
                    await opened.close()
        await browser.close()


if __name__ == "__main__":
    asyncio.run(taken(ROOT / "docs" / "pages"))
