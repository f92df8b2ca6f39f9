"""Pages in a real browser: nothing is refused or broken, narrow and wide, light and dark, by keys alone."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from playwright.async_api import async_playwright, expect

from router.books import queries
from tests.pages_rig import CHAT, arguments, chromium, shown
from tests.services import soon

WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}

CONTRASTS = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, below) => top.slice(0, 3).map((c, i) => c * top[3] + below[i] * (1 - top[3]));
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest(".hide, script")) continue;
    const style = getComputedStyle(element), below = behind(element);
    const ink = style.fill !== "rgb(0, 0, 0)" && element.closest("svg") ? style.fill : style.color;
    const [one, two] = [light(over(rgba(ink), below)), light(below)].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (two + 0.05), size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push(`${ratio.toFixed(2)} ${element.tagName}.${element.className.baseVal ?? element.className} ${walker.currentNode.data.trim().slice(0, 40)}`);
  }
  return found;
}"""
"""Finds text whose contrast to what is painted behind it is under WCAG's 4.5, or 3 where it is large."""


@asynccontextmanager
async def browsing(**options):
    """Open a browser's page; it collects what its console says against the page."""
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=chromium(), args=arguments())
        context = await browser.new_context(**options)
        page = await context.new_page()
        page.problems = []
        page.on("console", lambda said: _note(page, said))
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        try:
            yield page
        finally:
            await browser.close()


def _note(page, said):
    if said.type in ("error", "warning"):
        page.problems.append(said.text)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_every_page_is_whole_and_legible(tmp_path, size, scheme):
    chromium()
    async with shown(tmp_path) as gateway, browsing(viewport=size, color_scheme=scheme) as page:
        for name, path in gateway.pages.items():
            await page.goto(gateway.url + path)
            await page.wait_for_load_state("load")
            assert page.problems == [], name
            wide = await page.evaluate("document.documentElement.scrollWidth")
            assert wide <= size["width"], name
            await page.evaluate(
                "for (const d of document.querySelectorAll('details')) d.open = true"
            )
            assert await page.evaluate(CONTRASTS) == [], name
            unnamed = "[...document.querySelectorAll('input, select, textarea')].filter(f => !f.labels.length).length"
            assert await page.evaluate(unnamed) == 0, name


async def test_everything_is_reached_by_keys_alone(tmp_path):
    chromium()
    async with shown(tmp_path, history=60) as gateway, browsing(viewport=WIDE) as page:
        for name, path in gateway.pages.items():
            await page.goto(gateway.url + path)
            await page.wait_for_load_state("load")
            wanted = await page.evaluate(
                "[...document.querySelectorAll('a[href], button, input, select, textarea, summary')]"
                ".filter(e => e.checkVisibility()).map((e, i) => e.dataset.reached = String(i))"
            )
            reached = set()
            for _ in range(2 * len(wanted) + 20):
                await page.keyboard.press("Tab")
                at = await page.evaluate("document.activeElement.dataset.reached ?? null")
                reached |= {at}
                if len(reached - {None}) == len(wanted):
                    break
            assert reached >= set(wanted), name


async def test_keys_go_to_the_filter_through_the_list_and_to_help(tmp_path):
    chromium()
    focused = "document.activeElement.name ?? document.activeElement.getAttribute('href')"
    async with shown(tmp_path, history=60) as gateway, browsing(viewport=WIDE) as page:
        await page.goto(gateway.url + "/decisions")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "skip"
        await page.keyboard.press("/")
        assert await page.evaluate("document.activeElement.name") == "tier"
        await page.evaluate("document.activeElement.blur()")
        items = "[...document.querySelectorAll('[data-item]')].indexOf(document.activeElement)"
        for key, at in (("j", 0), ("j", 1), ("ArrowDown", 2), ("k", 1), ("ArrowUp", 0)):
            await page.keyboard.press(key)
            assert await page.evaluate(items) == at, focused
        await page.keyboard.press("?")
        assert await page.evaluate("document.getElementById('help').open")
        await page.keyboard.press("Escape")
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/decisions/*")
        assert page.problems == []


async def test_the_list_is_live_and_rests_when_told(tmp_path):
    chromium()
    said = {"model": "kilo-auto/small", "messages": [{"role": "user", "content": "hi"}]}
    rows = "table.list tbody tr"
    async with shown(tmp_path, history=20) as gateway, browsing(viewport=WIDE) as page:
        database = gateway.client.app.state.gateway.books.database
        await page.goto(gateway.url + "/decisions")
        before = await page.locator(rows).count()
        for n in (1, 2):
            await gateway.client.post(CHAT, json=said)
            await expect(page.locator(rows)).to_have_count(before + n, timeout=8000)
        top = await page.locator(rows).first.inner_text()
        assert "small" in top
        assert "UTC" not in top
        await page.uncheck("[data-live] input")
        seen = queries.newest(database)
        await gateway.client.post(CHAT, json=said)
        await soon(lambda: queries.newest(database) == seen + 1, 5)
        await page.wait_for_timeout(2500)
        assert await page.locator(rows).count() == before + 2
        assert page.problems == []


async def test_light_and_dark_are_chosen_and_kept(tmp_path):
    chromium()
    ground = "getComputedStyle(document.body).backgroundColor"
    async with shown(tmp_path, history=60) as gateway, browsing(color_scheme="light") as page:
        await page.goto(gateway.url + "/")
        light = await page.evaluate(ground)
        await page.click("[data-theme-toggle]")
        dark = await page.evaluate(ground)
        assert light != dark
        await page.goto(gateway.url + "/table")
        assert await page.evaluate(ground) == dark
        assert page.problems == []


async def test_series_are_drawn_from_their_tables(tmp_path):
    chromium()
    async with shown(tmp_path, history=600) as gateway, browsing(viewport=WIDE) as page:
        await page.goto(gateway.url + "/?span=7d")
        await page.wait_for_selector(".chart canvas")
        assert await page.locator(".chart canvas").count() == 3
        await page.set_viewport_size(NARROW)
        for _ in range(100):
            wide = await page.locator(".chart canvas").first.evaluate("c => c.clientWidth")
            if wide < NARROW["width"]:
                break
            await page.wait_for_timeout(20)
        assert wide < NARROW["width"]
        assert page.problems == []


async def test_without_scripts_everything_is_there(tmp_path):
    chromium()
    async with (
        shown(tmp_path, history=60) as gateway,
        browsing(java_script_enabled=False, viewport=NARROW) as page,
    ):
        for name, path in gateway.pages.items():
            await page.goto(gateway.url + path)
            assert await page.locator("h1").count() == 1, name
            assert await page.locator("button[data-help]").is_hidden()
        await page.goto(gateway.url + "/")
        await page.click("summary >> nth=0")
        assert await page.locator("#dollars").is_visible()
        await page.goto(gateway.url + "/decisions")
        assert "UTC" in await page.locator("table.list tbody tr").first.inner_text()
        await page.fill("[name=end]", "failed")
        await page.click("button:has-text('Filter')")
        assert "end=failed" in page.url
        await page.goto(gateway.url + "/playground")
        await page.fill("textarea", "Fix the crash in the parser")
        await page.click("button.main")
        assert await page.locator("section h2").first.inner_text() != ""
        assert "Expected quality" in await page.content()


async def test_a_first_key_is_made_and_signed_in_with_in_the_browser(tmp_path):
    """The whole way of one who sets up a gateway: a budget, a key of one's own, signing in and out."""
    chromium()
    async with shown(tmp_path, history=0) as gateway, browsing(viewport=WIDE) as page:
        await page.goto(gateway.url + "/keys/org")
        await page.get_by_label("Dollars a month").fill("200")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_label("Dollars a month")).to_have_value("200")
        await page.goto(gateway.url + "/keys")
        made = page.locator("form[action='/keys']")
        await made.get_by_label("Name").fill("boss")
        await expect(made.get_by_label("admin")).to_be_checked()
        await made.get_by_role("button", name="Create the key").click()
        key = await page.locator("pre").inner_text()
        assert key.startswith("sk-auto-")
        await page.goto(gateway.url + "/keys")
        assert page.url.endswith("/login")
        await page.get_by_label("A key").fill(key)
        await page.get_by_role("button", name="Sign in").click()
        await page.goto(gateway.url + "/keys")
        await expect(page.get_by_role("link", name="boss")).to_be_visible()
        assert key not in await page.content()
        await page.get_by_role("button", name="Sign out").click()
        await page.goto(gateway.url + "/keys")
        assert page.url.endswith("/login")
        assert page.problems == []
