"""A prompt cache as providers have: what a model was sent lately costs less to send again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import orjson
from cachetools import TTLCache

from router.values import Interface
from router.wire.format import FORMATS

BYTES_PER_TOKEN: Final = 4
CACHE_S: Final = 300.0
MIN_CACHED_TOKENS: Final = 1024
"""How long a cached prompt lives, and the shortest that is: Anthropic's and OpenAI's rules."""

CACHED_PREFIXES: Final = 100_000


class PromptCache:
    """What each model was sent lately, as digests of every beginning of every request."""

    def __init__(self) -> None:
        """Begin with nothing cached."""
        self._seen: TTLCache[bytes, None] = TTLCache(CACHED_PREFIXES, CACHE_S)

    def read(self, fields: Mapping[str, Any], interface: Interface) -> int:
        """Return how many tokens of a request are cached, and cache all of it."""
        name = FORMATS[interface].ITEMS
        items = fields.get(name)
        head = [fields.get(key) for key in ("model", "system", "instructions", "tools")]
        parts = [head, *(items if isinstance(items, list) else [items])]
        digest, size, cached, all_seen = b"", 0, 0, True
        for part in parts:
            try:
                text = orjson.dumps(part, option=orjson.OPT_SORT_KEYS)
            except orjson.JSONEncodeError:  # nested more deeply than can be written
                return 0
            digest = hashlib.blake2b(digest + text, digest_size=16).digest()
            size += len(text)
            all_seen = all_seen and digest in self._seen
            cached = size if all_seen else cached
            self._seen[digest] = None
        return cached // BYTES_PER_TOKEN if cached >= MIN_CACHED_TOKENS * BYTES_PER_TOKEN else 0
