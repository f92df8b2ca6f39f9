"""Whether a request is this machine's own: what must all be true of it before its owner is believed.

A keyless gateway on loopback serves whoever uses the machine.  Web pages reach loopback too, and
so does the internet where a proxy stands in between; both look like any local client but for a
few headers.  So nothing is taken for local that does not say so: the peer's address, the name in
``Host``, the page in ``Origin`` (or, without one, ``Sec-Fetch-Site``), and that nothing forwarded
the request.  A page cannot write these headers itself; its browser does.  Pure.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

APP_SCHEMES: Final = (
    *("app", "capacitor", "electron", "ionic", "tauri", "wails"),
    *("vscode-file", "vscode-webview"),
    *("chrome-extension", "moz-extension", "safari-web-extension"),
)
"""Schemes of origins that only a program of this machine has: what it draws from its own files.

A browser opens no web page under them, and no page can be redirected into one, so what sends such
an origin was installed by the machine's owner: a desktop app, an editor's panel, an extension's own
page (what an extension runs inside a web page has that page's origin).  Not here: ``file``, which
is any page that was downloaded and opened; such an origin can be allowed by name.
"""

FORWARDED: Final = frozenset(
    {
        *("forwarded", "via", "cdn-loop", "x-real-ip", "x-client-ip", "x-cluster-client-ip"),
        *("x-original-forwarded-for", "x-original-host", "x-proxyuser-ip", "true-client-ip"),
        *("fastly-client-ip", "fly-client-ip", "x-appengine-user-ip", "x-azure-clientip"),
        *("x-azure-ref", "x-arr-log-id", "x-amzn-trace-id", "x-amz-cf-id", "x-nginx-proxy"),
    }
)
FORWARDED_PREFIXES: Final = ("x-forwarded-", "cf-", "x-envoy-", "x-vercel-", "tailscale-")
"""Headers that proxies, tunnels and content networks add, whatever they say: nginx, Apache, Caddy,
HAProxy, Envoy, Cloudflare, CloudFront, Fastly, Fly, Azure, Vercel, ngrok, Tailscale."""

FORWARDED_FOR: Final = "x-forwarded-for"

UNKNOWN: Final = "unknown"
"""The address of who has none that can be read: one caller, whatever stands there."""

SEEN_CHARS: Final = 80
"""Longest quotation of what a request said."""

_BYTE = "(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
_PORT = "(?::[0-9]{1,5})?"
_LOOPBACK = (
    rf"(?:(?:[a-z0-9-]+\.)*localhost\.?|127(?:\.{_BYTE}){{3}}|0\.0\.0\.0"
    rf"|\[::1?\]|\[::ffff:127(?:\.{_BYTE}){{3}}\])"
)
"""This machine's names: no other machine answers to ``localhost`` or a name below it (RFC 6761),
127.0.0.0/8, ::1, or the unspecified address, under which a client reaches its own machine."""

_LOOPBACK_HOST = re.compile(_LOOPBACK + _PORT, re.I)
_LOCAL_ORIGIN = re.compile(
    rf"https?://{_LOOPBACK}{_PORT}|(?:{'|'.join(APP_SCHEMES)})://[a-z0-9._:\[\]-]*", re.I
)
_HOST = re.compile(rf"([a-z0-9._-]+|\[[0-9a-f:.]+\]){_PORT}", re.I)
_ORIGIN_HOST = re.compile(rf"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\]){_PORT}", re.I)


def host_named(text: str) -> str:
    """Return a declared name of the machine as requests have it; raises ValueError."""
    if re.fullmatch(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]", name := text.strip().lower()):
        return name
    raise ValueError(f"{seen(text)} is no host; it takes a name or address without port or path")


def origin_named(text: str) -> str:
    """Return a declared origin as browsers send it; raises ValueError."""
    name = text.strip().lower()
    name = name if name.endswith("://") else name.removesuffix("/")
    if re.fullmatch(r"[a-z][a-z0-9+.-]*://[a-z0-9._:\[\]-]*", name):
        return name
    raise ValueError(f"{seen(text)} is no origin; one is like https://chat.example:8080")


def address_in(text: str) -> str | None:
    """Return the address in ``1.2.3.4``, ``1.2.3.4:5``, ``::1``, ``[::1]:5``; None for none.

    One address has one spelling: a mapped IPv4 address is told as IPv4, a zone is left out.
    """
    plain = text.strip().strip('"')
    if plain.startswith("["):
        plain = plain[1:].partition("]")[0]
    elif plain.count(":") == 1:
        plain = plain.partition(":")[0]
    try:
        ip = ipaddress.ip_address(plain.partition("%")[0])
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ip)


def address_of(peer: str | None, headers: Mapping[str, str], *, trust_forwarded: bool) -> str:
    """Return the client's address; a proxy's word counts only when it is trusted.

    The last address of the header is the one that the trusted proxy itself saw.  One that cannot
    be read is nobody's: it must not be taken for the proxy's own.
    """
    if trust_forwarded and (told := headers.get(FORWARDED_FOR)) is not None:
        return address_in(told.rpartition(",")[2]) or UNKNOWN
    return peer or UNKNOWN


def is_loopback(address: str) -> bool:
    """Say whether an address is of the machine itself; one that cannot be read is not."""
    if address in ("127.0.0.1", "::1"):
        return True
    found = address_in(address)
    return found is not None and ipaddress.ip_address(found).is_loopback


@dataclass(frozen=True, slots=True)
class Home:
    """What counts as this machine's own, beside what always does."""

    names: frozenset[str] = frozenset()
    """Further names of the machine, in lower case and without a port."""
    origins: frozenset[str] = frozenset()
    """Origins of pages that may ask in the owner's stead, in lower case."""
    trust_forwarded: bool = False
    """The proxy in between is the owner's, and its word for the client's address is taken."""

    def admits(self, origin: str) -> bool:
        """Say whether a page of an origin may ask, and read the answer."""
        if len(origin) > 255:
            return False
        if _LOCAL_ORIGIN.fullmatch(origin) or origin.lower() in self.origins:
            return True
        named = _ORIGIN_HOST.fullmatch(origin) if self.names else None
        return named is not None and named[1].lower() in self.names

    def objection(self, headers: Mapping[str, str], address: str) -> str:
        """Return what speaks against a request's being this machine's own; nothing: "".

        ``headers`` have names in lower case; ``address`` is the client's.  The text says what was
        seen and what admits it.
        """
        return (
            self._forwarded(headers, address)
            or self._named(headers.get("host", ""))
            or self._sent_by(headers)
        )

    def _forwarded(self, headers: Mapping[str, str], address: str) -> str:
        if not (self.trust_forwarded and FORWARDED_FOR in headers):
            added = (n for n in headers if n in FORWARDED or n.startswith(FORWARDED_PREFIXES))
            if name := next(added, None):
                return (
                    f"it was forwarded ({name[:SEEN_CHARS]}), so it may come from anywhere; set up "
                    "[[callers]] with keys, or trust_forwarded where the proxy is yours and sends "
                    "X-Forwarded-For"
                )
        if is_loopback(address):
            return ""
        return f"its address is {seen(address)}, another machine's; set up [[callers]] with keys"

    def _named(self, host: str) -> str:
        """Object to a name that is not this machine's: it may be a foreign page's own."""
        if not host or (len(host) < 256 and _LOOPBACK_HOST.fullmatch(host)):
            return ""
        found = _HOST.fullmatch(host) if self.names else None
        if found and found[1].lower() in self.names:
            return ""
        return (
            f"it was sent to Host {seen(host)}, which is no name of this machine; ask for "
            "localhost, or add the name to own_names"
        )

    def _sent_by(self, headers: Mapping[str, str]) -> str:
        """Object to a page that is not of this machine.

        An origin says more than how its site lies to ours: to a local page on another port, or to
        a desktop app, this gateway is "cross-site" too.  Without an origin only a page of the same
        host can be ``same-site``, where the host is loopback and has no sibling domains.
        """
        if origin := headers.get("origin"):
            if self.admits(origin):
                return ""
            hidden = ", which hides whose page it is" if origin == "null" else ""
            return (
                f"it comes from a page of Origin {seen(origin)}{hidden}; serve the page from "
                "localhost, or add its origin to allowed_origins"
            )
        site = headers.get("sec-fetch-site", "none")
        at_loopback = _LOOPBACK_HOST.fullmatch(headers.get("host", "")) is not None
        if site in ("none", "same-origin") or (site == "same-site" and at_loopback):
            return ""
        return f"it comes from a page of another site (Sec-Fetch-Site {seen(site)})"


NO_MORE: Final = Home()
"""What counts as this machine's own where nothing is declared."""


def seen(text: str) -> str:
    """Quote what a request said, not at length."""
    return repr(text if len(text) <= SEEN_CHARS else text[:SEEN_CHARS] + "...")
