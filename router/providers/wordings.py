"""How providers word their refusals: codes, then words, then statuses, as tables.

Codes are compared whole, in lower case.  Words are regular expressions, searched in what a person
is told, in lower case, in the order of the rows: what is certain stands before what is vague, and
what shows a client's own mistake before what is vaguer still.  A wording that no row knows is read
by its status.

``of`` says which later requests a refusal counts against, so that one caller's odd request does not
shut a model for others: ``ALL``, ``CALLERS`` (those of the same caller), ``FIELDS`` (those that have
the field it names), an ability of ``Needs`` (those that need it), or ``NONE``.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from router.values import Fault

HELD_S: Final = {Fault.MODEL: 600.0, Fault.FIT: 600.0, Fault.ACCOUNT: 300.0, Fault.KEY: 60.0}
"""How long a refusal is remembered, in seconds.  It costs one more refused call to find out that it
still holds, and a refused call costs no tokens: minutes, so that who pays a bill, renews a key or
renames a model need not restart us."""

VAGUE_S: Final = 60.0
"""The same where only one caller's requests are known to be refused, and not why."""

ALL: Final = "all"
CALLERS: Final = "caller"
FIELDS: Final = "field"
NONE: Final = ""


class Wording(NamedTuple):
    """One way to refuse, and what it means."""

    fault: Fault
    of: str
    said: str
    """Codes, separated by spaces, or a regular expression."""
    source: str
    """Who says so, and where it can be read."""


OPENAI: Final = "OpenAI, https://platform.openai.com/docs/guides/error-codes"
AZURE: Final = "Azure, https://learn.microsoft.com/azure/ai-foundry/openai/how-to/content-filters"
ANTHROPIC: Final = "Anthropic, https://docs.anthropic.com/en/api/errors"
GOOGLE: Final = "Google, https://ai.google.dev/gemini-api/docs/troubleshooting"
GOOGLE_RPC: Final = (
    "Google, https://github.com/googleapis/googleapis google/rpc/error_details.proto"
)
OPENROUTER: Final = "OpenRouter, https://openrouter.ai/docs/api/reference/errors-and-debugging"
BEDROCK: Final = "Bedrock, https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html"
MISTRAL: Final = (
    "Mistral, Fireworks and others that validate with pydantic, https://docs.pydantic.dev"
)
GROQ: Final = "Groq, https://console.groq.com/docs/errors"
DEEPSEEK: Final = "DeepSeek, https://api-docs.deepseek.com/quick_start/error_codes"
ALIBABA: Final = "Alibaba, https://www.alibabacloud.com/help/en/model-studio/error-code"
MOONSHOT: Final = "Moonshot, https://platform.moonshot.ai/docs/api/errors"
XAI: Final = "xAI, https://github.com/BerriAI/litellm/pull/16265"
LLAMA: Final = "llama.cpp, https://github.com/ggml-org/llama.cpp/tree/master/tools/server"
VLLM: Final = "vLLM, https://github.com/earendil-works/pi/pull/5929"
OVERFLOWS: Final = "fourteen providers, tried, https://github.com/earendil-works/pi/issues/129"
OVERFLOWS_TOO: Final = "Bedrock, Ollama, Cohere, https://github.com/openclaw/openclaw/issues/58839"
TOOLS_404: Final = "OpenRouter, https://github.com/Routstr/routstr-core/issues/554"
TOOL_LIMITS: Final = "OpenAI, Google, OpenCode, https://github.com/anomalyco/opencode/issues/43378"
SCHEMAS: Final = "Google, https://github.com/bethington/ghidra-mcp/issues/440"
RETIRED: Final = "Groq, https://github.com/crewAIInc/crewAI/issues/1976"
TEMPLATES: Final = "llama.cpp, vLLM and Mistral, from the chat templates of models"
LIMITS: Final = "Ollama, https://github.com/perminder-klair/subwave/issues/438"
STATUS: Final = "the status's meaning, RFC 9110"

CODES: Final = (
    Wording(Fault.WINDOW, NONE, "context_length_exceeded context_window_exceeded", OPENAI),
    Wording(Fault.WINDOW, NONE, "model_context_window_exceeded prompt_too_long", ANTHROPIC),
    Wording(Fault.WINDOW, NONE, "exceed_context_size_error", LLAMA),
    Wording(Fault.WINDOW, NONE, "token_limit_exceeded", OPENROUTER),
    Wording(Fault.FIT, CALLERS, "max_tokens_exceeded string_too_long image_too_large", OPENROUTER),
    Wording(
        Fault.ACCOUNT,
        ALL,
        "insufficient_quota billing_hard_limit_reached billing_not_active account_deactivated "
        "unsupported_country_region_territory",
        OPENAI,
    ),
    Wording(Fault.ACCOUNT, ALL, "billing_error", ANTHROPIC),
    Wording(Fault.ACCOUNT, ALL, "exceeded_current_quota_error", MOONSHOT),
    Wording(Fault.ACCOUNT, ALL, "arrearage", ALIBABA),
    Wording(Fault.KEY, ALL, "invalid_api_key api_key_expired", OPENAI),
    Wording(Fault.KEY, ALL, "authentication_error", ANTHROPIC),
    Wording(Fault.KEY, ALL, "api_key_invalid unauthenticated", GOOGLE_RPC),
    Wording(Fault.KEY, ALL, "invalid_authentication_error incorrect_api_key_error", MOONSHOT),
    Wording(
        Fault.FIT,
        NONE,
        "content_filter content_policy_violation moderation_blocked invalid_prompt",
        OPENAI,
    ),
    Wording(Fault.FIT, NONE, "responsibleaipolicyviolation", AZURE),
    Wording(Fault.FIT, NONE, "datainspectionfailed data_inspection_failed", ALIBABA),
    Wording(Fault.REQUEST, NONE, "previous_response_not_found", OPENAI),
    Wording(Fault.FIT, FIELDS, "unsupported_parameter unknown_parameter unsupported_value", OPENAI),
    Wording(Fault.FIT, FIELDS, "extra_forbidden unexpected_keyword_argument", MISTRAL),
    Wording(
        Fault.FIT,
        CALLERS,
        "array_above_max_length string_above_max_length invalid_function_parameters "
        "invalid_json_schema",
        OPENAI,
    ),
    Wording(Fault.MODEL, ALL, "model_not_found model_not_available unsupported_model", OPENAI),
    Wording(Fault.MODEL, ALL, "model_decommissioned model_terms_required", GROQ),
    Wording(Fault.MODEL, ALL, "invalid_model", MISTRAL),
    Wording(Fault.MODEL, ALL, "modelnotfound model_not_supported", ALIBABA),
    Wording(Fault.MODEL, ALL, "deploymentnotfound operationnotsupported", AZURE),
    Wording(Fault.MODEL, ALL, "resourcenotfoundexception accessdeniedexception", BEDROCK),
)
"""What structured fields say, whatever the status; generic ones, as ``invalid_request_error``, say
nothing and are not here."""

WINDOWS: Final = (
    Wording(
        Fault.WINDOW,
        NONE,
        r"(prompt|input|conversation|(request|messages?|context))s?\b.{0,50}\b"
        r"(is|are|was|were|be) (much |far )?too (long|large|big) for (the |this |requested )*model",
        OVERFLOWS_TOO,
    ),
    Wording(
        Fault.WINDOW, NONE, r"\b(prompt|input|conversation) (is |was )?too (long|large)", ANTHROPIC
    ),
    Wording(Fault.WINDOW, NONE, r"exceeds? (the )?context limit|maximum context", ANTHROPIC),
    Wording(
        Fault.WINDOW,
        NONE,
        r"context[ _-]?(length|window|size|limit)s?\b.{0,80}"
        r"(exceed|too (long|large|small)|longer|greater|larger|maximum|over|beyond|fit|only|reached)",
        OVERFLOWS,
    ),
    Wording(
        Fault.WINDOW,
        NONE,
        r"(exceed\w{0,4}|longer than|greater than|larger than|more than|over|beyond|fit\w{0,4}|out of|outside|"
        r"too (long|large|big|many)).{0,80}\bcontext\b",
        OVERFLOWS,
    ),
    Wording(Fault.WINDOW, NONE, r"too many (input |prompt |total )?tokens", BEDROCK),
    Wording(
        Fault.WINDOW,
        NONE,
        r"(input|prompt|request|requested|total|message)s?\b.{0,30}\btokens?( count)?\b.{0,60}"
        r"(exceed|over|greater|more than|larger|above|longer|maximum)",
        GOOGLE,
    ),
    Wording(
        Fault.WINDOW,
        NONE,
        r"(maximum|max|allowed|limit\w{0,4})( allowed)? (prompt|input|sequence|model)[ _]?(length|size|"
        r"tokens?)|maximum (number of )?(input|prompt) tokens|max_(model_len|seq_len|input_tokens)",
        XAI,
    ),
    Wording(
        Fault.WINDOW,
        NONE,
        r"reduce the (length|size|number) of (the |your )?(messages|prompt|input|context|conversation)|"
        r"total length of (all )?(the )?messages|(shorten|truncate|compact) (the |your )?"
        r"(prompt|input|messages|context|conversation)",
        GROQ,
    ),
    Wording(
        Fault.WINDOW,
        NONE,
        r"((?<!_)tokens|token count|input length|prompt length|length of the (prompt|input))\b.{0,60}"
        r"(exceed\w{0,4}|over|above|greater than|longer than) (the )?(model|limit|maximum|max|length)|"
        r"exceed\w{0,4} (the )?(model('s)? )?(token|length|input)[ _]limit|exceeds the limit of [\d,]+",
        MOONSHOT,
    ),
    Wording(
        Fault.WINDOW,
        NONE,
        r"\b(context|prompts?|inputs?|conversation|sequence|messages?|(?<!_)tokens?)\b(?! should).{0,60}\b"
        r"(exceed\w{0,4}|too (long|large|many|big)|(longer|greater|larger) than|overflow\w{0,4}|less than \d+ tokens|"
        r"(is|are) full|only supports? up to)|exceed\w{0,4}\b.{0,40}\b(token|context|prompt|input)s?\b|"
        r"(prompt|input)_tokens exceeded|reduce (the |your )?(prompt|input|context|messages)|n_ctx|"
        r"\u4e0a\u4e0b\u6587|\u8d85\u8fc7.{0,12}\u957f\u5ea6|\u8f93\u5165.{0,6}(\u8fc7\u957f|\u592a\u957f)",
        f"the same in words nobody has sent yet, and in Chinese; {OVERFLOWS}",
    ),
)
"""A context that is too long, in words: of any status, because some answer 500."""

RATES: Final = re.compile(
    r"per[ -](second|minute|min|hour|day|week)|\b[rt]p[smd]\b|rate[ _-]?limit|throttl"
)
"""Words of a rate: what is too much for a minute is no matter of windows."""

WORDS: Final = (
    Wording(
        Fault.FIT,
        CALLERS,
        r"(fewer|lower|reduce|decrease) .{0,20}(max_tokens|tokens).{0,80}afford|can only afford",
        OPENROUTER,
    ),
    Wording(
        Fault.ACCOUNT,
        ALL,
        r"credit balance|insufficient[ _](account )?(balance|credits?|funds|quota)|"
        r"(out of|no|not enough|more|purchase|buy) credits|payment required|overdue|arrears|"
        r"specified (api )?usage limits|(exceeded|reached) (your|the) (current |weekly |monthly |daily )?"
        r"(quota|usage limit|spend)|billing|(account|organi[sz]ation|project|workspace) (has been |is |was )"
        r"(suspended|deactivated|disabled|restricted|not active|inactive)",
        f"{ANTHROPIC}; {DEEPSEEK}; {LIMITS}",
    ),
    Wording(
        Fault.KEY,
        ALL,
        r"api[ _-]?key (is |was |has )?(not valid|invalid|expired|disabled|revoked|not found|missing)|"
        r"(incorrect|invalid|expired|missing|no|wrong) (api[ _-]?key|x-api-key|credentials|authentication|authorization|bearer)",
        f"{GOOGLE}; {XAI}",
    ),
    Wording(
        Fault.MODEL,
        ALL,
        r"model.{0,80}not (supported|available|allowed|offered|permitted|accessible) (in|from|for) "
        r"(your|this|the|that) (current )?(country|region|territory|location|jurisdiction)",
        BEDROCK,
    ),
    Wording(
        Fault.ACCOUNT,
        ALL,
        r"(country|region|territory|location|jurisdiction)\b.{0,60}(not|un)[ -]?"
        r"(supported|available|allowed|permitted)|not (supported|available|allowed|offered|accessible) "
        r"(in|from|for) (your|this|the) (current )?(country|region|territory|location|jurisdiction)",
        f"{OPENAI}; {GOOGLE}",
    ),
    Wording(
        Fault.FIT,
        NONE,
        r"moderation|flagged|content[ _-]?(policy|filter|management|exists risk|safety)|"
        r"(usage|safety|acceptable use) polic|safety system|violat\w{1,8} .{0,40}(polic|terms|guideline)|"
        r"(inappropriate|prohibited|sensitive|harmful|unsafe) (content|input|prompt|material)|"
        r"blocked (by|due to|for) .{0,30}(safety|filter|guardrail|policy)|guardrail",
        f"{OPENROUTER}; {AZURE}; {DEEPSEEK}",
    ),
    Wording(
        Fault.REQUEST,
        NONE,
        r"(previous response|item with id|no such file|file[ _-]?id|\b(file|container|batch|thread|"
        r"vector store)s?\b.{0,60}(was |were )?not found)",
        f"{OPENAI}; {ANTHROPIC}",
    ),
    Wording(
        Fault.FIT,
        FIELDS,
        r"(unsupported|unknown|unrecognized|unrecognised|unexpected|extra|additional|extraneous) "
        r"(request |keyword |query |body )?(parameter|argument|field|input|propert|keys?\b|name\b)|"
        r"(parameter|argument|field|propert(y|ies)|key)s? .{0,80}\b(not|un)[ -]?"
        r"(supported|permitted|allowed|recognized|recognised|available)|"
        r"\b(reasoning[ _.]?effort|verbosity|stream_options|include_usage|output_config)\b|"
        r"does(n't| not) (support|accept|allow) (the )?(parameter|argument|field|option)",
        f"{OPENAI}; {ANTHROPIC}; {XAI}; {GROQ}",
    ),
    Wording(
        Fault.FIT,
        "tools",
        r"(no endpoints found that|does(n't| not)|do not|not) support (any )?(tool|function)([ _-]?(use|call\w{0,4})|s\b)"
        r"|(tool|function)s?([ _-](use|call\w{0,4}))? (is |are )?(not|un)[ -]?(supported|enabled|available)|"
        r"enable-auto-tool-choice|tool-call-parser",
        f"{TOOLS_404}; {VLLM}",
    ),
    Wording(
        Fault.FIT,
        "images",
        r"(no endpoints found that|does(n't| not)|do not|not|can(not|'t)) (support|accept) (any )?"
        r"(image|vision|visual|multi-?modal)s?( input| content)?s?(?! (type|format|size|url))|"
        r"(image|vision|multi-?modal)([ _](url|input|content)s?){0,3} (is |are )?(not|un|only) ?(supported|available|"
        r"enabled|allowed)|not a (multi-?modal|vision) model|mmproj|unknown variant .?image",
        f"{OPENROUTER}; {VLLM}; {LLAMA}; {DEEPSEEK}",
    ),
    Wording(
        Fault.FIT,
        "audio",
        r"(no endpoints found that|does(n't| not)|do not|not) (support|accept) (any )?audios?(?! (type|format|size))|"
        r"audio( (input|content))?s? (is |are )?(not|un)[ -]?(supported|available)",
        OPENROUTER,
    ),
    Wording(
        Fault.FIT,
        "files",
        r"(no endpoints found that|does(n't| not)|do not|not) (support|accept) (any )?(pdf|file|document)s?(?! (type|format|size))|"
        r"(pdf|file|document)( (input|content))?s? (is |are )?(not|un)[ -]?(supported|available)",
        OPENROUTER,
    ),
    Wording(
        Fault.FIT,
        CALLERS,
        r"too many (tools|functions)|only (one|\d+) (tool|function)s?\b|(at most|maximum|more than|up to|limit of)\b.{0,30}(tools|functions|"
        r"function[ _]declarations)|tools.{0,30}too long|tool_count|number of tools",
        TOOL_LIMITS,
    ),
    Wording(
        Fault.FIT,
        CALLERS,
        r"invalid schema|(schema|oneof|anyof|allof|additionalproperties|\$ref|\$defs)\b.{0,80}(not|un)[ -]?"
        r"(supported|allowed|permitted)|does(n't| not) support (one|any|all)of|unsupported[ _](tool[ _])?schema|json schema is invalid|"
        r"schema.{0,60}(too (many|complex|large|deep)|constraint)|function_?declarations|too many states",
        SCHEMAS,
    ),
    Wording(
        Fault.FIT,
        "json_schema",
        r"response[ _]?format\b.{0,80}(not|un)[ -]?(supported|available)|(json_schema|structured outputs?)\b"
        r".{0,60}(not|un)[ -]?(supported|available)|does(n't| not) support .{0,30}(json|structured|schema)",
        f"{OPENAI}; {DEEPSEEK}",
    ),
    Wording(
        Fault.FIT,
        CALLERS,
        r"max_?(completion_|output_|new_)?tokens\b.{0,120}(exceed|too (large|high|big)|above|maximum|at most|"
        r"less than or equal|valid range|should be \[|> ?\d)|range of max_tokens|"
        r"max(imum)? (allowed )?(number of )?(output|completion) tokens",
        f"{OPENAI}; {ANTHROPIC}; {DEEPSEEK}; {ALIBABA}",
    ),
    Wording(
        Fault.REQUEST,
        NONE,
        r"field required|required field|missing (required )?(field|parameter|propert)|invalid (role|json|type)|"
        r"must (not )?be (empty|non-?empty|an? |followed|preceded|one of|at least|between|greater|positive)|"
        r"must be a response|(cannot|can't|may not) be (empty|blank|null)|should be a valid|not valid json|"
        r"(input|value) should be|malformed|(could not|cannot|failed to|unable to) (parse|deserialize|decode)|"
        r"without (a |corresponding )?.{0,20}(tool_result|tool_use|response)|did not have response|is required$",
        f"{OPENAI}; {ANTHROPIC}; {MISTRAL}",
    ),
    Wording(
        Fault.FIT,
        CALLERS,
        r"prefill|must end with a user|roles? must alternate|expected last role|jinja|chat template|"
        r"only (the )?(user|system)\b.{0,40}\broles?|system (message|role|prompt).{0,40}(beginning|first|support)|"
        r"tool[ _]call[ _]?id (was|must|is too|.{0,30}length)",
        f"{TEMPLATES}; {ANTHROPIC}",
    ),
    Wording(
        Fault.FIT,
        CALLERS,
        r"(reasoning|thinking)\b.{0,40}(mandatory|required|must|cannot be disabled)|reasoning_content|"
        r"thought_?signature|(thinking|redacted_thinking)[`'\"]? block|"
        r"(only|must|requires?)\b.{0,30}\bstream|matche?s?( the)? pattern|request is missing .{0,40}|cannot be routed",
        f"{OPENROUTER}; {GOOGLE}; {ANTHROPIC}; {ALIBABA}; {DEEPSEEK}",
    ),
    Wording(
        Fault.FIT,
        FIELDS,
        r"no (allowed|available|eligible|matching) providers|no endpoints? .{0,60}(tool_choice|match|requested|"
        r"provider|preference|polic|quantiz|parameter)",
        OPENROUTER,
    ),
    Wording(
        Fault.MODEL,
        ALL,
        r"models?\b.{0,120}\b(not (be )?found|(does|did)(n't| not) exist|not exist|no longer|deprecated|retired|"
        r"decommissioned|sunset|discontinued|removed|unavailable|not (currently )?(available|deployed|loaded|"
        r"hosted|served|accessible|enabled|permitted|allowed)|unknown|not (a )?valid|invalid|is not supported$)|"
        r"(unknown|invalid|unsupported|no such|no matching|non-?existent|unrecognized|deprecated) model|"
        r"no (endpoints?|available channels?|providers?) (are |is )?(found|available|for)|"
        r"(access|permission|subscri\w{1,8}|entitle\w{1,8}|approved?|allowed)\b.{0,60}\b(to|for|use) .{0,40}model|"
        r"not a (valid|supported|known) model|publisher model|try pulling it|no model (named|called)|"
        r"(not |un)authori[sz]ed to use|requires approval|shut ?down|model is (disabled|not active)|"
        r"accept the terms|no longer (available|supported|offered|exist)|end[ -]of[ -]life|no healthy deployment",
        f"{OPENAI}; {OPENROUTER}; {RETIRED}; {BEDROCK}",
    ),
    Wording(
        Fault.FIT,
        CALLERS,
        r"(does|do|did)(n't| not) (currently )?(support|allow|accept|permit)|(not|un)[ -]?supported|"
        r"not (enabled|available) (on|for|with|in) (this|the|your) |requires? .{0,40}(tier|plan|header|beta)|"
        r"(is|are) not (permitted|allowed|available|(a )?recogni[sz]ed)|not available$|may only be|only supports|"
        r"cannot (both|be used)|header required|no endpoints|error from provider|provider returned error|upstream request failed|"
        r"request contains an invalid argument",
        f"{OPENROUTER}; {GOOGLE}; {OPENAI}",
    ),
)
"""What words say, of statuses that refuse; in order."""

STATUSES: Final = {
    400: Wording(Fault.REQUEST, NONE, "bad request", STATUS),
    401: Wording(Fault.KEY, ALL, "key unknown", STATUS),
    402: Wording(Fault.ACCOUNT, ALL, "payment required", STATUS),
    403: Wording(Fault.MODEL, CALLERS, "not for us: a region, a plan, a filter", STATUS),
    404: Wording(Fault.MODEL, ALL, "no such model, or no such path", STATUS),
    405: Wording(Fault.MODEL, ALL, "no such path", STATUS),
    407: Wording(Fault.KEY, ALL, "a proxy wants credentials", STATUS),
    410: Wording(Fault.MODEL, ALL, "gone", STATUS),
    413: Wording(Fault.WINDOW, NONE, "too large; Cerebras and Mistral mean the context", OVERFLOWS),
    422: Wording(Fault.REQUEST, NONE, "not to be processed", STATUS),
    451: Wording(Fault.MODEL, CALLERS, "for legal reasons", STATUS),
}
"""What a status says where nothing else does."""

PASSING: Final = frozenset({408, 409, 425, 429, 499})
"""Statuses below 500 that speak of the moment; 499 is a proxy's whose own client went."""

ODD: Final = Wording(Fault.FIT, CALLERS, "a status that says little", STATUS)
"""Every other status from 400 to 499: a server's own rules (406, 415, 431), or no sense (418)."""

PASSES: Final = Wording(Fault.MOMENT, NONE, "a status that passes", STATUS)
