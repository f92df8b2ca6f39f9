"""How long an attempt may take to its first word: longer for more to read and to think about.

A sign of life, such as a comment or a ping, begins the wait anew; a bound on all of it does not
move, because some servers say that they work for as long as one listens.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

from router.providers.endpoints import Timeouts

DOUBLING_TOKENS: Final = 120_000
"""Input tokens for which the wait doubles: at its default of 120 s that is 1,000 tokens/s, which
large models read on one accelerator of a workstation; hosted ones are several times as fast."""

THINKING: Final = {"medium": 0.5, "high": 1.0, "xhigh": 2.0, "max": 2.0}
"""Effort → waits added for thinking that is not shown.  OpenAI advises to leave 25,000 tokens for
it (https://platform.openai.com/docs/guides/reasoning): 250 s at 100 tokens/s, two default waits."""


def first_word_s(timeouts: Timeouts, input_tokens: int, effort: str | None) -> float:
    """Return the seconds of silence that a stream may begin with; never more than a whole reply's."""
    waits = 1 + input_tokens / DOUBLING_TOKENS + THINKING.get(effort or "", 0.0)
    return min(timeouts.first_byte_s * waits, timeouts.reply_s)


class Patience:
    """A time-out that signs of life renew, up to a bound."""

    def __init__(self, silence_s: float, total_s: float) -> None:
        """Wait ``silence_s`` for each sign of life, and ``total_s`` for the whole."""
        self.silence_s = silence_s
        self._total_s = total_s

    async def __aenter__(self) -> Patience:
        self._clock = asyncio.get_running_loop().time
        self._until = self._clock() + self._total_s
        self._timeout = asyncio.timeout(min(self.silence_s, self._total_s))
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._timeout.__aexit__(kind, error, trace)

    def heard(self) -> None:
        """Take a sign of life."""
        self._timeout.reschedule(min(self._clock() + self.silence_s, self._until))
