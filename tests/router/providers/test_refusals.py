"""What an upstream's refusal is taken to speak of, and how it is told."""

from __future__ import annotations

import base64
import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.providers.refusals import (
    QUOTED,
    TAGS,
    applies_to,
    fault_of,
    in_dialect,
    masked,
    read,
    window_of,
)
from router.providers.wordings import CODES, ODD, RATES, STATUSES, WINDOWS, WORDS
from router.values import Fault, Interface
from router.wire.format import FORMATS
from tests.growth import assert_linear


def error(message: str, **more) -> bytes:
    return json.dumps({"error": {"message": message, **more}}).encode()


def fault(status: int, body: bytes | str) -> Fault:
    return fault_of(status, read(body if isinstance(body, bytes) else error(body))).fault


LONG = [
    (400, error("This model's maximum context length is 8192 tokens. However, your messages resulted in 9100 tokens. Please reduce the length of the messages.", code="context_length_exceeded")),
    (400, "Your input exceeds the context window of this model. Please adjust your input and try again."),
    (400, '{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}'),
    (400, "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length or `max_tokens` and try again"),
    (400, '[{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}]'),
    (400, "This model's maximum prompt length is 131072 but the request contains 537812 tokens."),
    (400, "Please reduce the length of the messages or completion."),
    (400, "Prompt contains 34000 tokens and 0 draft tokens, too large for model with 32768 maximum context length"),
    (400, "This endpoint's maximum context length is 131072 tokens. However, you requested about 134615 tokens"),
    (400, "Provider returned error"),
    (400, "the request exceeds the available context size, try increasing it"),
    (500, "the request exceeds the available context size, try increasing it"),
    (400, '{"object":"error","message":"The input (134615 tokens) is longer than the model\'s context length (131072 tokens).","code":400}'),
    (400, "This model's maximum context length is 262144 tokens. However, you requested 0 output tokens and your prompt contains at least 262145 input tokens"),
    (400, "'max_tokens' or 'max_completion_tokens' is too large: 100000. This model's maximum context length is 32768 tokens and your request has 20 input tokens"),
    (500, "the prompt is too long; it has 9000 tokens and the context is 4096"),
    (400, "ollama: context length exceeded for llama3"),
    (400, "total tokens exceeds the model's max of 4096"),
    (400, '{"message":"Input is too long for requested model."}'),
    (400, "ValidationException: Input exceeds the max input token limit"),
    (400, "Requested token count exceeds the model's maximum context length of 131072 tokens."),
    (503, "litellm.APIConnectionError: Requested token count exceeds the model's maximum context length of 131072 tokens."),
    (400, "Input length 131393 exceeds the maximum allowed input length of 131040 tokens."),
    (400, "Input length (265330) exceeds model's maximum context length (262144)."),
    (400, "invalid params, context window exceeds limit (2013)"),
    (400, "Your request exceeded model token limit: 262144 (requested: 300000)"),
    (400, "prompt token count of 140000 exceeds the limit of 128000"),
    (400, "Trying to keep the first 9000 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens"),
    (422, "inputs tokens + max_new_tokens must be <= 8192: the conversation is too long for this model"),
    (413, b""),
    (413, "Payload Too Large"),
    (400, "The total length of all messages is too long."),
    (400, "Too many input tokens: 130000, at most 128000"),
    (400, "decoder prompt (length 9000) is longer than the maximum model length of 8192"),
    (400, "Range of input length should be [1, 129024]: the input is too long"),
]  # fmt: skip
LONG[9] = (
    400,
    error(
        "Provider returned error",
        code=400,
        metadata={"raw": error("prompt is too long: 210000 tokens > 200000 maximum").decode()},
    ),
)


@pytest.mark.parametrize(("status", "body"), LONG)
def test_every_vendors_words_for_a_context_that_is_too_long_are_known(status, body):
    assert (
        fault(status, body.encode() if str(body).startswith(("{", "[")) else body) is Fault.WINDOW
    )


@pytest.mark.parametrize(
    ("words", "window"),
    [
        ("maximum context length is 131072 tokens. However, you requested about 134615", 131072),
        ("prompt is too long: 210000 tokens > 200000 maximum", 200000),
        ("The input (134615 tokens) is longer than the context length (131,072 tokens)", 131072),
        (
            "input token count (1200000) exceeds the maximum number of tokens allowed (1048576)",
            1048576,
        ),
        ("188240 + 21333 > 200000", 200000),
        ("please reduce the length of the messages", None),
        ("at most 100 messages, the maximum is 100", None),
    ],
)
def test_the_window_is_read_where_it_is_named(words, window):
    assert window_of(read(error(words))) == window


MODEL = [
    (404, error("The model `x` does not exist or you do not have access to it.", code="model_not_found")),
    (404, b'{"type":"error","error":{"type":"not_found_error","message":"model: claude-x"}}'),
    (404, b"<html><head><title>404 Not Found</title></head><body>nginx</body></html>"),
    (404, b""),
    (404, '{"detail":"Not Found"}'),
    (404, "model 'llama9' not found, try pulling it first"),
    (404, "No endpoints found for openai/x."),
    (404, "models/gemini-x is not found for API version v1beta, or is not supported for generateContent."),
    (404, error("The API deployment for this resource does not exist.", code="DeploymentNotFound")),
    (410, "model retired"),
    (400, error("The model `x` has been decommissioned and is no longer supported.", code="model_decommissioned")),
    (400, "x is not a valid model ID"),
    (400, '{"object":"error","message":"Invalid model: x","type":"invalid_model","param":null,"code":"1500"}'),
    (400, "Model Not Exist"),
    (400, "Model x has been deprecated and removed. Use y."),
    (422, "Unknown model: x"),
    (403, "this model is not available in your region"),
    (403, "Project `proj` does not have access to model `gpt-x`"),
    (403, '{"message":"You don\'t have access to the model with the specified model ID."}'),
    (403, b"<!doctype html><title>Attention required</title>"),
    (405, b"Method Not Allowed"),
    (451, "unavailable for legal reasons"),
]  # fmt: skip

ACCOUNT = [
    (429, error("You exceeded your current quota, please check your plan and billing details.", code="insufficient_quota")),
    (429, "you (me) have reached your weekly usage limit, upgrade for higher limits"),
    (402, error("Insufficient credits. Add more using https://openrouter.ai/credits", code=402)),
    (402, "Insufficient Balance"),
    (402, b""),
    (400, '{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}'),
    (400, "You have reached your specified API usage limits. You will regain access next month."),
    (403, error("Country, region, or territory not supported", code="unsupported_country_region_territory")),
    (400, '[{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}]'),
    (400, '{"code":"Arrearage","message":"Access denied, please make sure your account is in good standing."}'),
    (403, "Your account has been suspended"),
]  # fmt: skip

KEY = [
    (401, b""),
    (401, "Incorrect API key provided: sk-…"),
    (401, error("your quota is insufficient", code="whatever")),
    (400, '[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}]'),
    (400, '{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xa***pp."}'),
    (403, '{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}'),
]  # fmt: skip

FIT = [
    (404, "No allowed providers are available for the selected model."),
    (404, "No endpoints found that support tool use. Try disabling \"x\"."),
    (404, "No endpoints found that support image input"),
    (404, "No endpoints found that support the provided 'tool_choice' value."),
    (403, error("x requires moderation; your input was flagged", code=403, metadata={"reasons": ["violence"]})),
    (400, "Content Exists Risk"),
    (400, error("The response was filtered due to the prompt triggering our policy", code="content_filter")),
    (402, "This request requires more credits, or fewer max_tokens. You requested up to 32000 tokens, but can only afford 3000"),
    (413, error("Request too large for model on tokens per minute (TPM): Limit 8000", code="rate_limit_exceeded", type="tokens")),
    (429, "Request too large for gpt-x in organization o on tokens per min (TPM): Limit 10000, Requested 22000."),
    (422, "Extra inputs are not permitted: verbosity"),
    (422, '{"detail":[{"type":"extra_forbidden","loc":["body","verbosity"],"msg":"Extra inputs are not permitted","input":"low"}]}'),
    (400, error("Unsupported parameter: 'max_tokens' is not supported with this model.", code="unsupported_parameter", param="max_tokens")),
    (400, error("Unsupported value: 'temperature' does not support 0.2 with this model.", code="unsupported_value", param="temperature")),
    (400, error("Function tools with reasoning_effort are not supported for gpt-x in /v1/chat/completions.", param="reasoning_effort")),
    (400, '{"code":"invalid-argument","error":"Model grok-x does not support parameter reasoningEffort."}'),
    (400, "`reasoning_effort` must be one of `none` or `default`"),
    (400, "property 'reasoning_content' is unsupported"),
    (400, "Unrecognized request argument supplied: foo"),
    (400, "Invalid JSON payload received. Unknown name \"foo\": Cannot find field."),
    (400, error("Invalid 'tools': array too long. Expected an array with maximum length 128, but got 325.", code="array_above_max_length", param="tools")),
    (400, "The GenerateContentRequest proto is invalid: tools[0].function_declarations: At most 512 function declarations can be specified."),
    (400, "Error from provider: [unsupported_tool_schema] The tool schema is not supported (tool_count_limit)."),
    (400, error("Invalid schema for function 'f': In context=(), 'oneOf' is not permitted.", code="invalid_function_parameters")),
    (400, "tools.0.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level"),
    (400, "Error from provider: Request is missing x-session and cannot be routed"),
    (400, "max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens for claude-x"),
    (400, "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"),
    (400, "max_tokens is too large: 50000. This model supports at most 16384 completion tokens"),
    (400, "registry.ollama.ai/library/x does not support tools"),
    (400, "\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set"),
    (400, "x is not a multimodal model"),
    (500, "image input is not supported - hint: you may need to provide the mmproj"),
    (400, "This model does not support assistant message prefill. The conversation must end with a user message."),
    (400, "Reasoning is mandatory for this endpoint and cannot be disabled."),
    (400, "Tool call id was call_x but must be a-z, A-Z, 0-9, with a length of 9."),
    (400, "Conversation roles must alternate user/assistant/user/assistant/..."),
    (400, "Function call is missing a thought_signature in functionCall parts."),
    (400, "This response_format type is unavailable now"),
    (400, "Request contains an invalid argument."),
    (406, b""), (415, b""), (418, b""), (426, b""), (431, b"<h1>431</h1>"),
]  # fmt: skip
FIT = [row for row in FIT if row[0] < 500]

REQUEST = [
    (400, '{"type":"error","error":{"type":"invalid_request_error","message":"messages: field required"}}'),
    (422, '{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required","input":{"a":"the context length is exceeded, unsupported"}}]}'),
    (400, error("Missing required parameter: 'messages'.", code="missing_required_parameter", param="messages")),
    (400, error("Invalid value: 'foo'. Supported values are: 'system', 'assistant', and 'user'.", code="invalid_value", param="messages[0].role")),
    (400, "Invalid role: foo"),
    (400, "messages: Unexpected role \"foo\". Allowed roles are \"user\" or \"assistant\""),
    (400, "messages: at least one message is required"),
    (400, "messages.0.content: text content blocks must be non-empty"),
    (400, "all messages must have non-empty content except for the optional final assistant message"),
    (400, "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'."),
    (400, "Invalid parameter: messages with role 'tool' must be a response to a preceding message with 'tool_calls'."),
    (400, "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1."),
    (400, error("Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 9.", code="decimal_above_max_value", param="temperature")),
    (400, "max_tokens: Input should be greater than or equal to 1"),
    (400, "max_tokens: Field required"),
    (400, "We could not parse the JSON body of your request."),
    (400, "Failed to deserialize the JSON body into the target type: missing field `messages` at line 1"),
    (400, error("Previous response with id 'resp_x' not found.", code="previous_response_not_found")),
    (404, "Item with id 'rs_1' not found. Items are not persisted when `store` is set to false."),
    (404, "File not found: file_1"),
    (400, error("no", type="x", code="y")),
    (400, b""), (422, b"<html>bad</html>"),
    (400, error("Provider returned error", metadata={"raw": error("messages: field required").decode()})),
]  # fmt: skip

MOMENT = [
    (429, "Rate limit reached for requests per min. Please try again in 20s."),
    (429, b""),
    (429, '[{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"RetryInfo","retryDelay":"36s"}]}}]'),
    (429, "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day"),
    (500, "model does not exist"), (502, b"<html>"), (503, b""), (529, "Overloaded"), (408, b""), (409, b""),
    (425, b""), (499, b""), (599, b""), (999, b"Request denied"),
    (429, "Too many tokens, please wait before trying again."),
]  # fmt: skip

KINDS = [
    *((Fault.MODEL, *row) for row in MODEL),
    *((Fault.ACCOUNT, *row) for row in ACCOUNT),
    *((Fault.KEY, *row) for row in KEY),
    *((Fault.FIT, *row) for row in FIT),
    *((Fault.REQUEST, *row) for row in REQUEST),
    *((Fault.MOMENT, *row) for row in MOMENT),
]


UNHEARD = {
    Fault.WINDOW: [
        "Prompt exceeds maximum length",
        "input too large for model's context",
        "The request exceeds the token limit",
        "conversation too long",
        "The context window has been exceeded",
        "Token limit exceeded",
        "too many tokens in prompt",
        "This request has 200000 tokens; the model supports a maximum of 131072 tokens",
        "slot unavailable, n_ctx too small",
        "input tokens exceed the configured limit",
        "Your messages resulted in 9100 tokens, which exceeds the limit",
        "Input validation error: `inputs` must have less than 4096 tokens. Given: 5000",
        "The prompt is longer than the model can handle",
        "context overflow",
        "Input exceeds model limit of 128k tokens",
        "Message length exceeds the maximum",
        "input is too large to process. increase the physical batch size",
        "max_prompt_tokens exceeded",
        "Sequence length 9000 is greater than the max 8192",
        "Requested tokens (9000) exceed context window of 8192",
        "request (9000 tokens) exceeds the available context size (8192 tokens)",
        "The number of tokens in the prompt exceeds the model's maximum",
        "prompt length (9000) exceeds max_model_len",
        "Request too large: reduce your prompt",
        "The total number of tokens exceeds the maximum allowed",
        "Unable to submit request because the input token count is 40000 but model only supports up to 32768",
        "你的输入超过了最大上下文长度",
        "tokens to keep from initial prompt is greater than the context length",
        "messages too long",
        "the model's context window is full",
        "exceeds model's token capacity",
    ],
    Fault.MODEL: [
        "The requested model is not available",
        "Model x was not found on this server",
        "Deprecated model x",
        "No such model",
        "model_x is not a supported model",
        "There is no model named x",
        "The model `x` is currently not accessible with your plan",
        "You are not authorized to use this model",
        "This model requires approval",
        "The model x has been shut down",
        "Access to model denied",
        "model is disabled",
        "You must accept the terms for this model",
        "x is no longer available",
        "Model is not supported",
        "unsupported model: x",
        "This model has reached its end of life",
        "no healthy deployments for this model",
        "Invalid model name passed in model=x",
    ],
    Fault.FIT: [
        "Unknown parameter: 'foo'",
        "parallel_tool_calls is not supported",
        "stream_options not allowed",
        "top_k is not permitted",
        "Thinking is not supported by this model",
        "temperature and top_p cannot both be specified for this model",
        "This model only supports temperature=1",
        "`temperature` may only be set to 1 when thinking is enabled",
        "cache_control is not a recognized field",
        "n > 1 is not supported",
        "maximum of 64 tools",
        "Too many tools: 200 > 128",
        "input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12",
        "Unsupported role: developer",
        "role 'developer' is not supported",
        "logprobs is not supported",
        "json mode is not supported",
        "Your request was rejected by our safety system",
        "service_tier flex not available",
        "tool_choice required is unsupported",
        "Image inputs unsupported",
        "vision is not enabled for this model",
        "This endpoint requires stream=true",
        "unexpected keyword argument 'verbosity'",
        "anthropic-beta header required",
        "Only one tool is allowed",
        "parameters.properties: keyword $ref not allowed",
        "System messages are not supported by this model",
        "this model is not supported when using tools",
    ],
    Fault.REQUEST: [
        "messages is required",
        "'messages' is a required property",
        "[] is too short - 'messages'",
        "content must be a string",
        "Invalid type for 'messages': expected an array, got a string",
        "role must be one of user, assistant",
        "Input should be a valid list",
        "Expected object, received string",
        "invalid JSON",
        "Bad Request",
        "messages must not be empty",
        "max_tokens must be positive",
        "temperature must be between 0 and 2",
        "tool_call_id is missing",
        "invalid base64 image data",
        "Could not process image",
        "The image url could not be fetched",
        "discriminator property 'role' has invalid value",
        "unknown variant `foo`, expected one of `system`, `user`, `assistant`, `tool`",
        "value is not a valid enumeration member; permitted: 'user', 'assistant'",
        "prompt or messages must be provided",
        "you must provide a model parameter",
        "messages[0].content cannot be null",
        "Unexpected end of JSON input",
        "Supported tool_choice values are auto and none",
        "Unrecognized token in JSON",
        "tools[0].function.name is required",
        "duplicate tool name: x",
        "Each message must have a role",
    ],
}


@pytest.mark.parametrize("kind", UNHEARD, ids=str)
def test_words_that_no_row_was_written_for_are_taken_for_what_they_say(kind):
    wrong = {words: fault(400, words) for words in UNHEARD[kind] if fault(400, words) is not kind}
    assert not wrong


@pytest.mark.parametrize(("kind", "status", "body"), KINDS)
def test_a_refusal_is_taken_for_what_it_speaks_of(kind, status, body):
    structured = isinstance(body, str) and body.startswith(("{", "["))
    assert fault(status, body.encode() if structured else body) is kind


@pytest.mark.parametrize(("kind", "status", "body"), KINDS)
def test_what_it_speaks_of_does_not_depend_on_its_shape(kind, status, body):
    """The same words as a page, as plain text, as XML, in a list."""
    said = read(
        body.encode()
        if isinstance(body, str) and body.startswith(("{", "["))
        else body
        if isinstance(body, bytes)
        else error(body)
    )
    if not said.words or said.codes:
        return
    for shaped in (
        f"<html><body><h1>{said.words}</h1></body></html>",
        f"<?xml version='1.0'?><Error><Message>{said.words}</Message></Error>",
        said.words,
        json.dumps([{"error": {"message": said.words}}]),
        json.dumps({"detail": said.words}),
        json.dumps({"errors": [{"message": said.words}]}),
        json.dumps(said.words),
        f"event: error\ndata: {json.dumps({'error': {'message': said.words}})}\n\n",
    ):
        assert fault(status, shaped.encode()) is kind, shaped


def test_what_a_refusal_counts_against_is_no_more_than_it_shows():
    def of(status, body, fields=("messages", "verbosity", "reasoning_effort")):
        said = read(error(*body) if isinstance(body, tuple) else error(body))
        return applies_to(fault_of(status, said), said, fields)

    assert of(404, "No endpoints found that support tool use") == "tools"
    assert of(404, "No endpoints found that support image input") == "images"
    assert of(404, "The model `x` does not exist") == "all"
    assert of(422, "verbosity: Extra inputs are not permitted") == "field verbosity"
    assert of(400, "Model x does not support parameter reasoningEffort") == "field reasoning_effort"
    assert of(400, "Unrecognized request argument supplied: not_sent") == "caller"
    assert of(403, "your input was flagged") == ""
    assert of(400, "prompt is too long: 9000 tokens > 8000 maximum") == ""
    assert of(403, "no") == "caller"


@pytest.mark.parametrize("rows", [CODES, WINDOWS, WORDS, tuple(STATUSES.values())])
def test_every_wording_says_where_it_comes_from(rows):
    for row in rows:
        assert row.source
        assert row.said


FOREIGN = [
    b"<html><head><style>x{}</style><title>502 Bad</title></head><body>not here</body></html>",
    b"<?xml version='1.0'?><Error><Code>NoSuchModel</Code><Message>not here</Message></Error>",
    b'{"detail": "not here"}',
    b'{"detail": [{"loc": ["body"], "msg": "not here", "type": "x"}]}',
    b'{"message": "not here"}',
    b'{"error": "not here"}',
    b'{"error": {"error": {"message": "not here"}}}',
    b'{"errors": ["not here"], "error": ["not here"]}',
    b'[{"error": {"code": 404, "message": "not here", "status": "NOT_FOUND"}}]',
    b'"not here"',
    b"not here",
    b'data: {"error": {"message": "not here"}}\n\n',
    b'{"error": {"message": "not here \\ud800"}}',
    b"\xff\xfe not here",
    b'{"object": "error", "message": "not here", "type": "NotFoundError", "code": 404}',
    b'{"error": "not here", "code": "gone"}',
]


@pytest.mark.parametrize("interface", list(Interface), ids=str)
@pytest.mark.parametrize("body", FOREIGN)
def test_a_foreign_error_is_told_in_the_clients_format_with_the_upstreams_words(interface, body):
    said = read(body)
    told = in_dialect(FORMATS[interface], 404, body, said, fault_of(404, said))
    fields = json.loads(told)
    assert FORMATS[interface].is_error(fields)
    assert "not here" in fields["error"]["message"]
    assert "<" not in fields["error"]["message"]


def test_a_code_of_the_upstreams_own_is_kept_and_a_context_gets_its_name():
    body = b'{"code": "invalid-argument", "error": "no such thing"}'
    said = read(body)
    chat = FORMATS[Interface.CHAT]
    told = json.loads(in_dialect(chat, 400, body, said, fault_of(400, said)))
    assert told["error"]["code"] == "invalid-argument"
    body = b'{"detail": "context length exceeded"}'
    said = read(body)
    told = json.loads(in_dialect(chat, 400, body, said, fault_of(400, said)))
    assert told["error"]["code"] == "context_length_exceeded"
    assert "prompt is too long" in told["error"]["message"]


@pytest.mark.parametrize("interface", list(Interface), ids=str)
def test_an_error_in_the_clients_own_format_is_left_as_it_is(interface):
    body = json.dumps(FORMATS[interface].error_body(404, "c", "m"), indent=3).encode()
    said = read(body)
    for sent in (body, b"\xef\xbb\xbf" + body):
        assert in_dialect(FORMATS[interface], 404, sent, said, fault_of(404, said)) == body


def test_an_error_without_a_word_says_so():
    told = in_dialect(FORMATS[Interface.CHAT], 418, b"", read(b""), fault_of(418, read(b"")))
    assert "418" in json.loads(told)["error"]["message"]


def test_long_words_are_cut():
    body = b"<p>" + b"word " * 9000
    told = in_dialect(FORMATS[Interface.CHAT], 400, body, read(body), fault_of(400, read(body)))
    assert len(told) < 1000


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode), st.integers(400, 999))
def test_whatever_an_upstream_says_is_told_as_json_in_the_clients_format(body, status):
    said = read(body)
    wording = fault_of(status, said)
    for interface in Interface:
        told = in_dialect(FORMATS[interface], status, body, said, wording)
        assert FORMATS[interface].is_error(json.loads(told))


@pytest.mark.parametrize(
    "unit",
    [
        b"<",
        b"<a ",
        b"<!--",
        b"&lt;",
        b"[",
        b'{"error":',
        b"model ",
        b"context ",
        b"data: ",
        b"9m",
        b"> 1",
        b"<style>",
        b"<script></style>",
        b"<!-- -->",
        b"exceed",
        b"context exceed ",
        b"properties",
        b"reset",
        b"retry in 1",
        b"sk-abc123abc12 ",
    ],
)
def test_no_body_takes_long_to_read(unit):
    body = unit * (250_000 // len(unit))
    began = time.process_time()
    fault_of(400, read(body))
    masked(body, "sk-" + "abc123" * 10)
    assert time.process_time() - began < 1.0


PATTERNS = [*(row.said for row in (*WINDOWS, *WORDS)), RATES.pattern, TAGS.pattern, QUOTED.pattern]


@pytest.mark.parametrize("said", PATTERNS, ids=range(len(PATTERNS)))
def test_no_pattern_grows_with_more_than_what_it_reads(said):
    """A caller may have its own words echoed: those of the patterns themselves, over and over."""
    pattern = re.compile(said, re.DOTALL | re.I)
    pieces = {f"{word}{gap}" for word in re.findall(r"[a-z_<!-]{3,}", said) for gap in ("", " ")}
    for piece in sorted(pieces):
        assert_linear(pattern.search, lambda n, piece=piece: piece * (n // len(piece)), 400)


@pytest.mark.parametrize("shown", [0, 1])
def test_a_key_is_masked_in_time_that_grows_with_the_body_and_with_the_key(shown):
    secret = "".join(f"{n:x}" for n in range(10_000))
    body = f'{{"error": "{secret[:4000] * shown}"}}'.encode()
    assert_linear(lambda n: masked(body, secret[:n]), lambda n: n, 3_000)
    assert_linear(lambda n: masked(body * n, secret[:4_000]), lambda n: n, 8)


@pytest.mark.parametrize("inner", [r"\ud800", r"{\"raw\": \"\ud800\"}", r"\udfff{"])
def test_half_a_character_is_no_words_and_no_error(inner):
    for _ in range(3):
        body = f'{{"error": {{"message": "no", "raw": "{inner}"}}}}'
        told = in_dialect(FORMATS[Interface.CHAT], 400, body.encode(), read(body.encode()), ODD)
        assert json.loads(told)["error"]
        inner = json.dumps(body)[1:-1]


SECRET = "sk-proj-AbC1~?3+/xYz~?9qwErTy>>6uIoP"


@pytest.mark.parametrize(
    "shown",
    [
        SECRET,
        f"Bearer {SECRET}",
        SECRET[:20],
        SECRET[10:],
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(f"user:{SECRET}".encode()).decode(),
        base64.b64encode(f":{SECRET}".encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        SECRET.replace("+", "%2B").replace("/", "%2F").replace("?", "%3F").replace(">", "%3E"),
    ],
)
def test_a_key_is_masked_whole_in_part_and_encoded(shown):
    body = masked(error(f"the key {shown} is not known"), SECRET)
    assert shown.encode() not in body
    assert not any(shown[i : i + 14].encode() in body for i in range(len(shown) - 14))
    message = json.loads(body)["error"]["message"]
    assert message.startswith("the key")
    assert message.endswith("is not known")


def test_nothing_is_masked_where_nothing_is_shown():
    body = error("sk-proj- is how a key begins")
    assert masked(body, SECRET) == body
    assert masked(body, "") == body
    assert masked(body, "is") == body
