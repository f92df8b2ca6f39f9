"""How often an anonymous caller may ask: meters on the block of addresses that it comes from."""

from __future__ import annotations

import ipaddress
from typing import Final

from router.callers.local import address_in
from router.callers.meters import Charge, Meter, Period, Resource

LISTINGS_PER_HOUR: Final = 3600
"""Times an hour that one address may list models without a key: a picker asks at its start and
every few minutes, and many may sit behind one address.  Listing calls no model."""


def asking(address: str, per_hour: int) -> Charge:
    """Return what a request without a key is charged."""
    meter = Meter(Resource.REQUESTS, Period.HOUR, per_hour)
    return Charge(f"address:{block_of(address)}", meter)


def listing(address: str) -> Charge:
    """Return what looking at the models without a key is charged: an account of its own."""
    meter = Meter(Resource.REQUESTS, Period.HOUR, LISTINGS_PER_HOUR)
    return Charge(f"lists:{block_of(address)}", meter)


def block_of(address: str) -> str:
    """Return the part of an address that one caller holds: all of IPv4, a /64 of IPv6.

    A port beside it is not part of it.
    """
    found = address_in(address)
    if found is None:
        return address
    if ":" not in found:
        return found
    return str(ipaddress.ip_network((found, 64), strict=False))
