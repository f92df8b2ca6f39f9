"""How long an attempt may take to its first word."""

from __future__ import annotations

import asyncio

import pytest

from router.providers.endpoints import Timeouts
from router.providers.patience import Patience, first_word_s

TIMES = Timeouts(first_byte_s=120, reply_s=600)


def test_the_wait_grows_with_what_is_read_and_thought_and_has_an_end():
    assert first_word_s(TIMES, 0, None) == first_word_s(TIMES, 0, "low") == 120
    assert first_word_s(TIMES, 120_000, None) == 240
    assert first_word_s(TIMES, 0, "high") == 240
    assert first_word_s(TIMES, 60_000, "high") == 300
    assert first_word_s(TIMES, 10**6, "max") == 600


async def test_signs_of_life_renew_the_wait_and_its_bound_holds():
    heard = 0
    with pytest.raises(TimeoutError):
        async with Patience(0.4, 1.0) as patience:
            while True:
                await asyncio.sleep(0.05)
                patience.heard()
                heard += 1
    assert heard > 5


async def test_silence_ends_the_wait():
    with pytest.raises(TimeoutError):
        async with Patience(0.02, 100):
            await asyncio.sleep(100)
