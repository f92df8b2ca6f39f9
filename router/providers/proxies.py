"""Outbound proxies, as the environment names them: ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY``, ``NO_PROXY``.

The names as curl, requests and Go read them: lower case wins, ``ALL_PROXY`` stands in for a scheme
without its own, and ``NO_PROXY`` lists hosts (with what lies below them), addresses and networks that
are reached directly; ``*`` is all.  What runs on this machine is never asked of a proxy.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import unquote, urlsplit

import httpx

from router.errors import BadArtefact

log = logging.getLogger(__name__)

DEFAULT_PORTS: Final = {"http": 80, "socks5": 1080}
"""Kinds of proxy that can be used → the port where the address names none."""

SAME: Final = {"socks5h": "socks5", "socks": "socks5", "": "http"}
"""Other names of them: names are always resolved by the proxy."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and the variable that names it."""

    scheme: str
    host: str
    port: int
    variable: str
    user: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port} ({self.variable})"

    def failed(self, what: str) -> httpx.ProxyError:
        """Return an error that names the variable only: what fails where is for the log alone.

        Whoever asks reads the error, and need not know the network that the gateway stands in.
        """
        log.warning("the outbound proxy %s failed: %s", self, what)
        return httpx.ProxyError(f"the outbound proxy failed ({self.variable})")

    def asked_in_full(self, scheme: str) -> bool:
        """Say whether it is sent requests itself, with whole addresses, rather than asked for a tunnel."""
        return scheme == "http" and self.scheme == "http"

    @classmethod
    def read(cls, url: str, variable: str) -> Self:
        """Read the address of a proxy; raises BadArtefact naming its variable, never its password."""
        parts = urlsplit(url if "://" in url else f"//{url}")
        scheme = SAME.get(parts.scheme, parts.scheme)
        try:
            port = parts.port or DEFAULT_PORTS.get(scheme)
        except ValueError:
            port = None
        if port is None or scheme not in DEFAULT_PORTS or not parts.hostname:
            raise BadArtefact(
                f"{variable} names no proxy that can be used: write http://HOST:PORT or "
                "socks5://HOST:PORT, or unset it"
            )
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(scheme, parts.hostname, port, variable, user, password)


@dataclass(frozen=True, slots=True)
class Proxies:
    """Which proxy leads where."""

    by_scheme: Mapping[str, Proxy] = field(default_factory=dict)
    """Scheme of an upstream → its proxy."""
    exempt: tuple[str, ...] = ()
    """Hosts, addresses and networks that are reached directly; in lower case."""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """Read the environment; raises BadArtefact."""
        found: dict[str, Proxy] = {}
        for scheme in ("https", "http"):
            for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"):
                if url := environ.get(name, "").strip():
                    found[scheme] = Proxy.read(url, name)
                    break
        listed = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
        return cls(found, tuple(re.split(r"[,\s]+", listed.strip().lower())) if listed else ())

    def to(self, scheme: str, host: str, port: int) -> Proxy | None:
        """Return the proxy that leads to a server; None for the direct way."""
        proxy = self.by_scheme.get(scheme)
        if proxy is None or _is_here(host) or any(_names(e, host, port) for e in self.exempt):
            return None
        return proxy

    def __str__(self) -> str:
        ways = [f"{scheme} by {proxy}" for scheme, proxy in self.by_scheme.items()]
        direct = ", ".join(entry for entry in self.exempt if entry)
        return "; ".join(ways) + (f"; directly: {direct}" if ways and direct else "")


def _is_here(host: str) -> bool:
    address = _address(host)
    return address.is_loopback if address else host == "localhost" or host.endswith(".localhost")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _names(entry: str, host: str, port: int) -> bool:
    """Say whether an entry of ``NO_PROXY`` means a server."""
    if entry == "*":
        return True
    if address := _address(host):
        try:
            return address in ipaddress.ip_network(entry.strip("[]"), strict=False)
        except ValueError:
            pass
    name, _, only = entry.rpartition(":") if re.search(r":\d+$", entry) else (entry, "", "")
    name = name.removeprefix("*").lstrip(".").strip("[]")
    return bool(name) and only in ("", str(port)) and (host == name or host.endswith("." + name))
