"""What counts as this machine's own: only what says so, in every part of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.callers.local import (
    APP_SCHEMES,
    FORWARDED,
    FORWARDED_PREFIXES,
    UNKNOWN,
    Home,
    address_in,
    address_of,
    host_named,
    is_loopback,
    origin_named,
)

HOME = Home()
DECLARED = Home(
    names=frozenset({"host.docker.internal", "gateway.lan"}),
    origins=frozenset({"https://chat.example", "file://"}),
)

LOCAL_HOSTS = (
    "", "localhost", "LOCALHOST:4000", "localhost.:4000", "app.localhost:1", "127.0.0.1:4000",
    "127.9.8.7", "[::1]", "[::1]:4000", "0.0.0.0:4000", "[::ffff:127.0.0.1]:4000",
)  # fmt: skip
FOREIGN_HOSTS = (
    "evil.example", "localhost.evil.example", "notlocalhost", "127.0.0.1.evil.example", "10.0.0.1",
    "127.0.0.256", "127.999.1.1", "[::2]", "[::1", "localhost, evil.example", "localhost:port",
    "user@localhost", "localhost/x", "host.docker.internal:4000", "٠.0.0.0", "a" * 70_000,
)  # fmt: skip
LOCAL_ORIGINS = (
    "http://localhost", "https://localhost:5173", "http://127.0.0.1:8080", "http://[::1]:3000",
    "http://0.0.0.0:3000", "http://tauri.localhost", "app://obsidian.md", "vscode-webview://1a2b",
    "tauri://localhost", "capacitor://localhost",
    "chrome-extension://abcdefghijklmnopabcdefghijklmnop", "app://",
)  # fmt: skip
FOREIGN_ORIGINS = (
    "null", "http://evil.example", "https://localhost.evil.example", "http://localhost@evil.example",
    "file://", "http://localhost:3000, http://evil.example", "app.evil://x", "ftp://localhost",
    "http://192.168.1.7:3000", "http://localhost:3000/page", "app://a b", "data://x", "NULL",
    "http://host.docker.internal:3000", "https://chat.example",
)  # fmt: skip


@pytest.mark.parametrize("host", LOCAL_HOSTS)
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.1.2.3"])
def test_a_name_of_this_machine_from_this_machine_is_local(host, address):
    assert HOME.objection({"host": host}, address) == ""


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_any_other_name_is_not_and_the_objection_names_it_and_the_setting(host):
    told = HOME.objection({"host": host}, "127.0.0.1")
    assert "own_names" in told
    assert host[:20].encode("ascii", "backslashreplace").decode()[:20] in told or "٠" in told
    assert len(told) < 400


@pytest.mark.parametrize("address", ["10.0.0.9", "172.17.0.1", "::2", UNKNOWN, "localhost", ""])
def test_another_machines_address_is_not_local_whatever_it_calls_us(address):
    assert HOME.objection({"host": "localhost"}, address)


@pytest.mark.parametrize("origin", LOCAL_ORIGINS)
@pytest.mark.parametrize("site", ["", "same-origin", "same-site", "cross-site"])
def test_a_page_or_app_of_this_machine_is_local_however_near_its_browser_finds_it(origin, site):
    headers = {"host": "127.0.0.1:4000", "origin": origin}
    assert HOME.objection(headers | ({"sec-fetch-site": site} if site else {}), "::1") == ""
    assert HOME.admits(origin)


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
@pytest.mark.parametrize("site", ["none", "same-origin", "cross-site"])
def test_any_other_page_is_not_whatever_its_browser_says(origin, site):
    headers = {"host": "localhost", "origin": origin, "sec-fetch-site": site}
    assert "allowed_origins" in HOME.objection(headers, "127.0.0.1")
    assert not HOME.admits(origin)


@pytest.mark.parametrize(
    ("site", "host", "local"),
    [
        ("none", "localhost", True), ("same-origin", "localhost", True),
        ("same-site", "localhost", True), ("same-site", "gateway.lan", False),
        ("cross-site", "localhost", False), ("new-word", "localhost", False),
    ],
)  # fmt: skip
def test_without_an_origin_the_site_tells(site, host, local):
    told = DECLARED.objection({"host": host, "sec-fetch-site": site}, "127.0.0.1")
    assert (told == "") is local


ADDED = [*sorted(FORWARDED), *(prefix + "x" for prefix in FORWARDED_PREFIXES), "x-forwarded-for"]


@pytest.mark.parametrize("name", ADDED)
@pytest.mark.parametrize("value", ["127.0.0.1", "for=localhost", "1.1 proxy", ""])
def test_what_was_forwarded_is_not_local_whatever_it_says(name, value):
    told = HOME.objection({"host": "localhost", name: value}, "127.0.0.1")
    assert name in told
    assert "trust_forwarded" in told


@pytest.mark.parametrize(
    ("headers", "local"),
    [
        ({"x-forwarded-for": "127.0.0.1"}, True),
        ({"x-forwarded-for": "9.9.9.9, [::1]:50", "via": "1.1 x"}, True),
        ({"x-forwarded-for": "127.0.0.1, 9.9.9.9"}, False),
        ({"x-forwarded-for": ""}, False),
        ({"x-forwarded-for": "127.0.0.1, unknown"}, False),
        ({"via": "1.1 x"}, False),
        ({}, True),
    ],
)
def test_a_trusted_proxys_caller_is_local_only_where_the_proxy_says_so(headers, local):
    home = Home(trust_forwarded=True)
    address = address_of("127.0.0.1", headers, trust_forwarded=True)
    assert (home.objection({"host": "localhost"} | headers, address) == "") is local


def test_declared_names_and_origins_are_local_and_no_others():
    for host in ("host.docker.internal:4000", "GATEWAY.lan"):
        assert DECLARED.objection({"host": host}, "127.0.0.1") == ""
    for origin in (
        "https://chat.example",
        "http://gateway.lan:3000",
        "file://",
        "HTTPS://chat.example",
    ):
        assert DECLARED.objection({"host": "localhost", "origin": origin}, "127.0.0.1") == ""
    for origin in (
        "https://chat.example:8443",
        "http://chat.example",
        "https://x.chat.example",
        "null",
    ):
        assert DECLARED.objection({"host": "localhost", "origin": origin}, "127.0.0.1")
    assert DECLARED.objection({"host": "x.gateway.lan"}, "127.0.0.1")


def test_no_scheme_of_an_app_is_one_that_a_browser_opens_pages_under():
    assert not {"http", "https", "file", "data", "blob", "about", "ftp"} & set(APP_SCHEMES)


@pytest.mark.parametrize("text", ["*", "http://x", "x:80", "", "a/b", "a b"])
def test_a_name_that_no_request_could_bear_is_refused(text):
    with pytest.raises(ValueError, match="host"):
        host_named(text)


@pytest.mark.parametrize("text", ["*", "null", "https://*", "chat.example", "https://x/y", ""])
def test_an_origin_that_no_browser_could_send_is_refused(text):
    with pytest.raises(ValueError, match="origin"):
        origin_named(text)


def test_origins_are_kept_as_browsers_send_them():
    assert origin_named(" HTTPS://Chat.example/ ") == "https://chat.example"
    assert origin_named("file://") == "file://"


@given(st.ip_addresses(), st.integers(0, 65535))
def test_an_address_is_the_same_with_a_port_brackets_or_quotes_beside_it(ip, port):
    text = str(ip)
    whole = address_in(text)
    beside = f"[{text}]" if ip.version == 6 else text
    assert whole is not None
    assert {address_in(f"{beside}:{port}"), address_in(f' "{beside}:{port}" ')} == {whole}
    assert address_in(text.upper()) == whole


@given(st.text(max_size=60))
def test_any_text_is_read_as_an_address_or_none(text):
    found = address_in(text)
    assert found is None or address_in(found) == found
    assert is_loopback(text) in (True, False)
    assert HOME.admits(text) in (True, False)


@given(st.dictionaries(st.sampled_from(["host", "origin", "sec-fetch-site"]), st.text(max_size=40)))
def test_whatever_a_request_says_is_judged_without_failing(headers):
    assert isinstance(DECLARED.objection(headers, "127.0.0.1"), str)
