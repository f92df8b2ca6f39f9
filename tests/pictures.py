"""Walk the pages in a real browser: ``python -m tests.pictures`` writes the pictures of docs/pages.md.

Each picture shows a page at two widths in both colours.  With ``--database URL`` the pages of that
database are walked instead, as one that ``python -m benchmarks.speed.books`` filled; no picture is written,
and how long each page took is printed beside what the browser's console said of it.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.async_api import Browser, async_playwright

from router.books import queries
from router.decision.engine import Engine
from tests.conftest import ROOT
from tests.gateway_rig import gateway
from tests.pages_rig import Shown, arguments, chromium, shown

WIDE, PHONE, HEIGHT = 1060, 390, 720
COLOURS = 48
"""Of a picture's palette: flat pages need no more, and a picture then has some 100 KB."""
SCHEMES = ("light", "dark")


async def sheet(browser: Browser, url: str) -> Image.Image:
    """Return a page at two widths, in both colours."""
    drawn = Image.new("RGB", (WIDE + PHONE, HEIGHT * len(SCHEMES)))
    for row, scheme in enumerate(SCHEMES):
        for left, width in ((0, WIDE), (WIDE, PHONE)):
            page = await browser.new_page(
                viewport={"width": width, "height": HEIGHT}, color_scheme=scheme
            )
            await page.goto(url)
            await page.wait_for_load_state("load")
            drawn.paste(Image.open(io.BytesIO(await page.screenshot())), (left, row * HEIGHT))
            await page.close()
    return drawn.quantize(COLOURS)


async def taken(folder: Path) -> None:
    """Take the pictures."""
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=chromium(), args=arguments())
        with tempfile.TemporaryDirectory() as books:
            async with shown(Path(books)) as pages:
                for name, path in pages.pages.items():
                    picture = await sheet(browser, pages.url + path)
                    picture.save(folder / f"{name}.png", optimize=True)
        await browser.close()


async def walked(database: str) -> None:
    """Walk every page of a database, and print how long each took."""
    async with (
        async_playwright() as play,
        gateway(load_engine=Engine.load, database=database, reload_s=60) as client,
    ):
        browser = await play.chromium.launch(executable_path=chromium(), args=arguments())
        page = await browser.new_page(viewport={"width": WIDE, "height": HEIGHT})
        said: list[str] = []
        page.on("console", lambda told: said.append(told.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        books = client.app.state.gateway.books.database
        row = queries.page(books, queries.Filter()).rows[0]
        seen = Shown(client, str(client.base_url), row["decision_id"], row["session"])
        paths = {**seen.pages, **{f"overview {span}": f"/?span={span}" for span in queries.SPANS}}
        for name, path in paths.items():
            began = time.perf_counter()
            await page.goto(seen.url + path)
            await page.wait_for_load_state("load")
            took_s = time.perf_counter() - began
            sys.stdout.write(f"{name:16} {took_s:6.2f} s  {'; '.join(said) or 'nothing said'}\n")
            said.clear()
        await browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", help="URL of a database whose pages are walked")
    given = parser.parse_args()
    asyncio.run(walked(given.database) if given.database else taken(ROOT / "docs" / "pages"))
