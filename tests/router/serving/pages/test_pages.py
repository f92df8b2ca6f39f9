"""Pages say what the gateway did, for its owner only, and run nothing that a client wrote."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from sqlalchemy import insert

from benchmarks.speed import books as filler
from router.books import queries, rollups
from router.decision.engine import Engine
from router.serving.pages.html import PLACES, STATIC, loaded
from router.storage.database import writing
from router.storage.schema import GROUPS, changes, requests
from tests.gateway_rig import fake_upstream, gateway, replies
from tests.pages_rig import CHAT, HTML, shown
from tests.services import postgres_server, soon

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 777*7 }}&lt;"


class Seen(HTMLParser):
    """The tags of a page, and what of it would run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    @property
    def inline(self):
        """Scripts without an address, styles, and attributes that run or style."""
        return [
            (tag, attrs)
            for tag, attrs in self.tags
            if (tag == "script" and not attrs.get("src"))
            or tag == "style"
            or any(name.startswith("on") or name == "style" for name in attrs)
        ]


async def test_every_page_is_there_with_its_title_and_runs_only_our_files(tmp_path):
    async with shown(tmp_path) as gateway:
        for name, path in gateway.pages.items():
            page = await gateway.html(path)
            assert page.status_code == 200, name
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            assert page.headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in page.headers["content-security-policy"]
            assert "unsafe" not in page.headers["content-security-policy"]
            assert page.headers["cache-control"] == "no-store"
            seen = Seen(page.text)
            assert seen.inline == []
            assert page.text.count("<h1") == 1
            linked = [a["href"] for tag, a in seen.tags if tag == "a"]
            assert {place.path for place in PLACES} <= set(linked)
            loads = [a["src"] for tag, a in seen.tags if tag == "script"]
            loads += [a["href"] for tag, a in seen.tags if a.get("rel") == "stylesheet"]
            assert all(address.startswith("/static/") for address in loads)


async def test_every_page_is_there_with_books_in_postgresql_too(tmp_path):
    with postgres_server() as server:
        async with shown(tmp_path, history=300, database=server.url) as gateway:
            pages = [*gateway.pages.values()]
            pages += [f"/?span={span}&by={by}" for span in queries.SPANS for by in GROUPS]
            for path in pages:
                assert (await gateway.html(path)).status_code == 200, path
            for path in ("/decisions/%00", "/sessions/%00", "/decisions?caller=%00"):
                assert (await gateway.html(path)).status_code == 404, path


async def test_a_number_that_no_row_has_is_refused_with_its_reason(tmp_path):
    async with shown(tmp_path) as gateway:
        for path in ("/decisions?before=", "/sessions?before=", "/decisions/newer?after="):
            page = await gateway.html(path + "9" * 30)
            assert page.status_code == 400
            assert "less than or equal" in page.text


async def test_every_link_of_every_page_leads_somewhere(tmp_path):
    async with shown(tmp_path, history=300) as gateway:
        seen, waiting = set(), list(gateway.pages.values())
        while waiting and len(seen) < 150:
            path = waiting.pop()
            if path in seen:
                continue
            seen.add(path)
            page = await gateway.html(path)
            assert page.status_code == 200, path
            if page.headers["content-type"].startswith("text/html") and path != "/docs":
                links = [a.get("href") or "" for tag, a in Seen(page.text).tags if tag == "a"]
                waiting += [link.partition("#")[0] for link in links if link.startswith("/")]


async def test_files_are_kept_by_browsers_as_long_as_their_address_names_their_content(tmp_path):
    async with gateway() as client:
        for name in STATIC:
            kept = await client.get(loaded(name))
            assert "immutable" in kept.headers["cache-control"]
            assert (await client.get(f"/static/{name}")).headers["cache-control"] == "no-cache"
        assert (await client.get("/static/../html.py")).status_code == 404
        assert (await client.get("/static/README.md")).status_code == 404


async def test_pages_are_the_owners(tmp_path):
    key = {"name": "anna", "sha256": "0" * 64}
    async with gateway(callers=[key], state_dir=tmp_path) as client:
        for place in PLACES:
            page = await client.get(place.path, headers=HTML)
            assert (page.status_code, page.headers["location"]) == (303, "/login"), place.path
        assert "scope read or admin" in (await client.get("/login", headers=HTML)).text
        assert (await client.post("/playground", content="text=x", headers=HTML)).status_code == 401
    foreign = HTML | {"origin": "https://evil.example"}
    async with gateway(state_dir=tmp_path) as client:
        assert (await client.get("/", headers=foreign)).status_code == 401
        assert (
            await client.post("/playground", content="text=x", headers=foreign)
        ).status_code == 401


async def test_programs_find_what_they_always_found():
    async with gateway() as client:
        assert (await client.get("/")).json()["service"] == "auto-efficient"
        assert (await client.get("/models")).json()["object"] == "list"
        assert (await client.get("/changelog")).json()["object"] == "list"


async def test_without_books_pages_say_how_to_keep_them():
    async with gateway(load_engine=Engine.load) as client:
        for path in ("/", "/decisions", "/decisions/x", "/sessions", "/sessions/x"):
            page = await client.get(path, headers=HTML)
            assert page.status_code == 200
            assert "state_dir" in page.text
        for path in ("/table", "/models", "/changelog", "/playground"):
            assert (await client.get(path, headers=HTML)).status_code == 200
        assert (await client.get("/decisions/newer?after=0", headers=HTML)).status_code == 404


async def test_before_the_first_request_pages_say_how_to_make_one(tmp_path):
    async with gateway(load_engine=Engine.load, state_dir=tmp_path) as client:
        for path in ("/", "/decisions", "/sessions"):
            assert f"curl {client.base_url}/v1/chat" in (await client.get(path, headers=HTML)).text


async def test_what_clients_write_is_text(tmp_path):
    row = next(filler.rows_of(1, 0, 1, 0.0)) | dict.fromkeys(
        ("caller", "team", "asked_model", "mode", "agent", "tier", "task", "why", "error")
        + ("model", "effort", "provider", "served_model", "failures", "end", "move"),
        HOSTILE[:60],
    )
    row |= {"decision_id": "<b>'\"x", "session": "<i>'\"y", "why": HOSTILE, "evidence": "prior"}
    async with gateway(load_engine=Engine.load, state_dir=tmp_path) as client:
        database = client.app.state.gateway.books.database
        with writing(database) as connection:
            connection.execute(insert(requests), [row])
            rollups.add(connection, [row])
            connection.execute(insert(changes), [{"at_s": 1.0, "said": HOSTILE}])
        paths = ["/decisions", "/sessions", "/changelog", f"/decisions?caller={HOSTILE}"]
        paths += ["/decisions/%3Cb%3E'%22x", "/sessions/%3Ci%3E'%22y", "/decisions/newer?after=0"]
        paths += [f"/?by={by}&span=90d&baseline={HOSTILE}" for by in GROUPS]
        paths += [f"/table?task={HOSTILE}&dial={HOSTILE}", f"/decisions?before={HOSTILE}"]
        paths += [f"/{HOSTILE}", f"/sessions/{HOSTILE}"]
        for path in paths:
            page = await client.get(path, headers=HTML)
            assert page.status_code < 500, path
            if not page.headers["content-type"].startswith("text/html"):
                continue
            seen = Seen(page.text)
            assert seen.inline == []
            assert "img" not in [tag for tag, _ in seen.tags]
            assert "5439" not in page.text
        page = await client.get("/decisions/%3Cb%3E'%22x", headers=HTML)
        assert page.status_code == 200
        assert HOSTILE in Seen(page.text).text
        played = await client.post("/playground", data={"text": HOSTILE, "model": HOSTILE})
        assert Seen(played.text).inline == []
        assert HOSTILE in Seen(played.text).text


async def test_a_decision_is_opened_with_what_it_was_made_from(tmp_path):
    async with shown(tmp_path, history=0) as gateway:
        page = await gateway.html(f"/decisions/{gateway.decision}")
        text = " ".join(Seen(page.text).text.split())
        for told in ("Candidates", "lower bound", "Read as", "Difficulty", "Made under", "<15 min"):
            assert told in text
        assert "Made again against today's table: the same" in text
        for told in ("dial quality", "dial economy", "one level easier", "one level harder"):
            assert told in text


async def test_the_list_tells_only_what_came_since(tmp_path):
    async with shown(tmp_path, history=100) as gateway:
        page = await gateway.html("/decisions")
        after = int(re.search(r"/decisions/newer\?after=(\d+)", page.text)[1])
        assert (await gateway.html(f"/decisions/newer?after={after}")).status_code == 204
        said = {"model": "kilo-auto/small", "messages": [{"role": "user", "content": "hi"}]}
        await gateway.client.post(CHAT, json=said)
        database = gateway.client.app.state.gateway.books.database
        await soon(lambda: queries.newest(database) > after, 5)
        news = await gateway.html(f"/decisions/newer?after={after}")
        assert news.text.count("<tr>") == 1
        assert f"after={after + 1}" in news.text


async def test_a_list_goes_on_where_it_ended(tmp_path):
    async with shown(tmp_path, history=120) as gateway:
        walked, path = [], "/decisions"
        while path:
            page = Seen((await gateway.html(path)).text)
            walked += [a["href"] for tag, a in page.tags if tag == "a" and "data-item" in a]
            path = next((a["href"] for tag, a in page.tags if a.get("rel") == "next"), None)
        assert len(walked) == len(set(walked)) == 132


async def test_the_playground_decides_as_the_dry_run_does(tmp_path):
    ask = "Fix the crash when the PDF export meets an empty page"
    async with gateway(load_engine=Engine.load, state_dir=tmp_path) as client:
        before = len(client.records)
        for format, items in (
            ("chat", "messages"),
            ("messages", "messages"),
            ("responses", "input"),
        ):
            form = {
                "text": ask,
                "model": "kilo-auto/efficient",
                "format": format,
                "dial": "economy",
            }
            page = Seen((await client.post("/playground", data=form, headers=HTML)).text)
            body = {"model": form["model"], items: [{"role": "user", "content": ask}]}
            body |= {"max_tokens": 4096} if format == "messages" else {}
            told = await client.post(
                f"/v1/route?format={format}", json=body, headers={"x-auto-dial": "economy"}
            )
            assert told.json()["why"] in page.text
        assert len(client.records) == before
        form = {"text": ask, "model": "kilo-auto/efficient", "dial": "cheap"}
        page = await client.post("/playground", data=form, headers=HTML)
        assert "x-auto-dial" in page.text
        empty = await client.post("/playground", data={"model": "x"}, headers=HTML)
        assert "write what is asked for" in empty.text
        large = await client.post("/playground", content="text=" + "x" * 300_000, headers=HTML)
        assert "write less" in large.text


async def test_the_health_of_a_provider_is_told():
    async with fake_upstream() as fake, gateway(fake, load_engine=Engine.load) as client:
        fake.play = replies(429, b'{"error": {"message": "slow down"}}', "retry-after: 40")
        said = {"model": "openai/gpt-5.5", "messages": [{"role": "user", "content": "hi"}]}
        await client.post(CHAT, json=said)
        assert "asked to wait, " in (await client.get("/models", headers=HTML)).text


async def test_a_theme_that_was_chosen_is_in_the_page_at_once():
    async with gateway() as client:
        page = await client.get("/changelog", headers=HTML | {"cookie": "theme=dark"})
        assert '<html lang="en" data-theme="dark">' in page.text
        page = await client.get("/changelog", headers=HTML | {"cookie": 'theme="><b>'})
        assert '<html lang="en">' in page.text


async def test_a_database_that_is_away_is_told_on_the_page(tmp_path):
    async with gateway(load_engine=Engine.load, state_dir=tmp_path) as client:
        database = client.app.state.gateway.books.database
        with database.connect() as connection:
            connection.exec_driver_sql("DROP TABLE hours")
            connection.commit()
        page = await client.get("/", headers=HTML)
        assert page.status_code == 503
        assert "cannot be read" in page.text
