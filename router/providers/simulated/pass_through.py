"""What the simulated provider says to requests that pass through: vectors, and text that goes on."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import orjson

from router.providers.simulated.answer import LENGTH, answer_text, pieces
from router.providers.simulated.cache import BYTES_PER_TOKEN
from router.values import PassThrough
from router.wire import sse

DIMENSIONS: Final = 1536
"""Of OpenAI's text-embedding-3-small, where a request names none."""

MAX_DIMENSIONS: Final = 8192

MAX_INPUTS: Final = 2048
"""Inputs and prompts of a request, as OpenAI takes them."""

USUAL_TOKENS: Final = 16
"""How long a legacy completion is where a request does not say, by OpenAI's reference."""


class Replies(NamedTuple):
    """How an endpoint is answered."""

    needs: str
    """The field that a request must have."""
    whole: Callable[[Mapping[str, Any], int], dict[str, Any]]
    """Of a request's fields, and the time in seconds since 1970."""


def _inputs(value: object) -> list[Any]:
    """Return what is asked for, one by one: texts, or lists of tokens."""
    if isinstance(value, list) and value and not isinstance(value[0], int):
        return value[:MAX_INPUTS]
    return [value]


def _tokens(listed: list[Any]) -> int:
    return sum(
        len(x) if isinstance(x, list) else len(str(x)) // BYTES_PER_TOKEN + 1 for x in listed
    )


def vector_of(model: str, text: object, dimensions: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the vector of a text, float32 (dimensions,), of length 1; the same text has the same."""
    seed = hashlib.sha256(orjson.dumps([model, text])).digest()
    rng = np.random.default_rng(int.from_bytes(seed[:8], "big"))
    vector = rng.standard_normal(dimensions)
    return (vector / np.linalg.norm(vector)).astype("<f4")


def embeddings(fields: Mapping[str, Any], created: int) -> dict[str, Any]:
    """Answer with a vector for each input; a reply of vectors has no date."""
    model, asked = str(fields.get("model")), fields.get("dimensions")
    dimensions = min(asked, MAX_DIMENSIONS) if isinstance(asked, int) and asked > 0 else DIMENSIONS
    listed = _inputs(fields.get("input"))
    coded = fields.get("encoding_format") == "base64"
    data = []
    for i, text in enumerate(listed):
        vector = vector_of(model, text, dimensions)
        told = base64.b64encode(vector.tobytes()).decode() if coded else vector.tolist()
        data.append({"object": "embedding", "index": i, "embedding": told})
    n = _tokens(listed)
    usage = {"prompt_tokens": n, "total_tokens": n}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def completion(fields: Mapping[str, Any], created: int) -> dict[str, Any]:
    """Answer with a text for each prompt."""
    prompts, limit = _inputs(fields.get("prompt")), fields.get("max_tokens")
    most = limit if isinstance(limit, int) and limit > 0 else USUAL_TOKENS
    texts = [answer_text(str(prompt))[: most * BYTES_PER_TOKEN] for prompt in prompts]
    choices = [
        {"text": text, "index": i, "logprobs": None, "finish_reason": LENGTH}
        for i, text in enumerate(texts)
    ]
    asked, said = _tokens(prompts), len("".join(texts)) // BYTES_PER_TOKEN
    usage = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
    digest = hashlib.sha256(orjson.dumps([fields.get("model"), prompts])).hexdigest()
    head = {"id": f"cmpl-{digest[:24]}", "object": "text_completion", "created": created}
    return head | {"model": fields.get("model"), "choices": choices, "usage": usage}


def completion_events(fields: Mapping[str, Any], created: int) -> Iterator[bytes]:
    """Tell the same in pieces; the usage in the end, where a request asks for it."""
    whole = completion(fields, created)
    head = {name: whole[name] for name in ("id", "object", "created", "model")}
    for choice in whole["choices"]:
        told = [*pieces(choice["text"])]
        for at, piece in enumerate(told):
            end = choice["finish_reason"] if at == len(told) - 1 else None
            yield sse.event(
                orjson.dumps(head | {"choices": [choice | {"text": piece, "finish_reason": end}]})
            )
    options = fields.get("stream_options")
    if isinstance(options, Mapping) and options.get("include_usage"):
        yield sse.event(orjson.dumps(head | {"choices": [], "usage": whole["usage"]}))
    yield sse.event(b"[DONE]")


REPLIES: Final = {
    PassThrough.EMBEDDINGS: Replies("input", embeddings),
    PassThrough.COMPLETIONS: Replies("prompt", completion),
}


def asked_of(path: str) -> PassThrough | None:
    """Return what a path passes through; None for a conversation's."""
    ends = (kind for kind in PassThrough if path.endswith(kind.path))
    return None if path.endswith("/chat/completions") else next(ends, None)
