"""What would serve a request that a person writes into a form: decided as a client's would be, not sent."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qs

import orjson
from fastapi import Request

from router.callers.directory import Member
from router.callers.wishes import PREFIX
from router.errors import BadRequest, RouterError, TooLarge
from router.serving.asgi import Message
from router.serving.gateway import Gateway, must_reach
from router.serving.passage import Routed
from router.values import Interface
from router.wire.format import FORMATS

FIELDS: Final = (
    "text",
    "model",
    "format",
    "dial",
    "max-cost",
    "min-quality",
    "allow",
    "deny",
    "tools",
)
WISHED: Final = ("dial", "max-cost", "min-quality", "allow", "deny")
"""Fields that are headers of a request."""

MAX_BYTES: Final = 256 << 10
"""Of a form: a long ask has some kilobytes."""

TOOL: Final = {
    "name": "run_command",
    "description": "Run a command in the project's folder.",
    "schema": {"type": "object", "properties": {"command": {"type": "string"}}},
}
"""What an agent can do at the least: with it a request is work, not a question."""


async def tried(
    gateway: Gateway, request: Request, member: Member
) -> tuple[dict[str, str], Routed | None, str]:
    """Return what was written, what it was decided to be served by, or what is wrong with it."""
    fields = {}
    try:
        fields = await _fields(request)
        return fields, await _decided(gateway, request, fields, member), ""
    except RouterError as error:
        return fields, None, str(error)


async def _fields(request: Request) -> dict[str, str]:
    """Read a form; raises TooLarge or BadRequest."""
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > MAX_BYTES:
            raise TooLarge(f"a form has at most {MAX_BYTES >> 10} KB; write less")
    try:
        found = parse_qs(data.decode(), max_num_fields=32)
    except ValueError:
        raise BadRequest("that is no form") from None
    return {name: values[0] for name, values in found.items() if name in FIELDS}


async def _decided(
    gateway: Gateway, request: Request, fields: dict[str, str], member: Member
) -> Routed:
    """Decide as for a client that asks in a format; raises RouterError."""
    try:
        interface = Interface(fields.get("format", Interface.CHAT))
    except ValueError:
        raise BadRequest(f"format: one of {', '.join(Interface)}") from None
    if not fields.get("text", "").strip():
        raise BadRequest("write what is asked for")
    body = orjson.dumps(_body(interface, fields))
    sent = (b"content-type", b"content-length", b"content-encoding")
    headers = [row for row in request.scope["headers"] if row[0] not in sent]
    headers += [
        (f"{PREFIX}{name}".encode(), value.encode())
        for name in WISHED
        if (value := " ".join(fields.get(name, "").split()))
    ]
    headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        raise AssertionError("the page sends the reply")

    scope = {**request.scope, "headers": headers, "path": FORMATS[interface].PATHS[0]}
    call = gateway.call_of(interface, scope, receive, send)
    share = gateway.share()
    try:
        inbound = await gateway.read(call, member, share)
    finally:
        share.give_back()
    routed = await gateway.choose(inbound)
    must_reach(routed, gateway.providers)
    return routed


def _body(interface: Interface, fields: dict[str, str]) -> dict[str, Any]:
    """Write a request in a format."""
    said = [{"role": "user", "content": fields["text"]}]
    name, schema = {"name": TOOL["name"], "description": TOOL["description"]}, TOOL["schema"]
    if interface is Interface.RESPONSES:
        body: dict[str, Any] = {"input": said}
        tool = {"type": "function", **name, "parameters": schema}
    elif interface is Interface.MESSAGES:
        body = {"messages": said, "max_tokens": 4096}
        tool = {**name, "input_schema": schema}
    else:
        body = {"messages": said}
        tool = {"type": "function", "function": {**name, "parameters": schema}}
    body["model"] = fields.get("model", "")
    return body | ({"tools": [tool]} if fields.get("tools") else {})
