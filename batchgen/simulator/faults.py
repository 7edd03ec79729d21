"""What can go wrong on request: the names with one line each, and which request meets which.

Pure: the choice depends only on the settings, the request's ordinal and the prompt, never on time.
A fault belongs to one of four stages, and a request can meet one of each stage by chance: the answer,
the wire it comes over, the provider's task, the files that its links lead to.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

ANSWER: Mapping[str, str] = {
    # rates and saturation
    "rate_limit": "429 rate_limit_exceeded, the wait only in the words ('try again in 467ms')",
    "rate_limit_header": "429 with Retry-After: 1",
    "rate_limit_never": "429 whose Requested is above its Limit: it will never fit",
    "rate_limit_zero": "429 with a limit of 0: the account may not use this model",
    "gateway_rate_limit": "429 of a gateway's own limit per minutes, in Chinese",
    "token_concurrency": "429 token_concurrency_limit_reached",
    "empty_429": "429 with an empty body",
    "image_pool_empty": "429 'No available image quota', which is not our quota",
    "saturated": "429, the gateway's channels are full",
    "saturated_500": "the same words with 500",
    "saturated_502": "the same words with 502",
    "saturated_503": "the same words with 503",
    "saturated_stream": "the same words inside a reply of 200 (in the stream, where one was asked for)",
    "litellm": "429 as a LiteLLM proxy relays it",
    # keys and money
    "bad_key": "401, the key is wrong",
    "key_echo": "401 whose message repeats the whole key",
    "key_expired": "401, the key has expired",
    "key_quota": "401, the key's own quota is spent",
    "quota": "403 insufficient_user_quota",
    "pre_consume_failed": "403 pre_consume_token_quota_failed",
    "hidden_quota": "429 with the words of saturation, but of type insufficient_quota",
    "insufficient_quota": "429 insufficient_quota, as OpenAI says it",
    "billing_hard_limit": "400 billing_hard_limit_reached",
    "billing_not_active": "429 billing_not_active",
    "spend_limit": "429 organization_spend_limit_exceeded",
    "banned": "403, the user is banned",
    "ip_not_allowed": "403, this address is not on the key's list",
    # models and addresses
    "model_not_allowed": "403, this key may not use the model",
    "no_channel": "503, no channel for the model",
    "no_channel_model": "503 model_not_found (distributor): a spelling error or a short outage",
    "no_channel_retry": "500 get_channel_failed",
    "unknown_model": "404 model_not_found",
    "model_price_error": "500, the model has no price",
    "wrong_path": "404 Invalid URL",
    "not_implemented": "501 api_not_implemented",
    # the request itself
    "bad_request": "400 invalid_request",
    "bad_request_500": "the same with 500, as new gateways say it",
    "bad_parameter_429": "429 'quality must be one of ...'",
    "unknown_parameter": "400 unknown_parameter",
    "invalid_image": "400 invalid_image_file",
    "image_required": "400, the model wants a reference image",
    "reference_download": "400, the provider could not fetch the reference's URL; one that came as bytes is no trouble",
    "too_large_413": "413, an HTML page",
    # content policy
    "sensitive_words": "400 sensitive_words_detected, the gateway's own filter",
    "sensitive_words_500": "the same with 500",
    "prompt_blocked": "400 prompt_blocked",
    "refusal": "400 moderation_blocked",
    "content_policy": "400 content_policy_violation",
    "refusal_text": "200 whose text speaks of content policy",
    "refusal_short": "200 'I can’t assist with that request.'",
    "refusal_log": "200 with a log that ends in input_moderation",
    "refusal_output": "200 with a log that ends in output_moderation (images: 400, stage output)",
    "image_safety": "500 channel:image_generation_failed [IMAGE_SAFETY]",
    "channel_block": "500 of a reverse channel: no picture as expected, change the prompt",
    # the provider's side
    "server_error": "500 server_error",
    "processing_error": "500 without a code, as apiyi answers a failed 4K picture",
    "overloaded": "503, the engine is overloaded",
    "do_request_failed": "500 do_request_failed, the upstream was not reached",
    "bad_response_status": "500 bad_response_status_code with the real status in param",
    "empty_response": "502 empty_response of the upstream",
    "write_failed": "500 write_response_body_failed, the result was lost on its way",
    "error_string": '500 {"error": "text"}',
    "message_only": '500 {"message": "text"}',
    "cloudflare_502": "502, an HTML page",
    "gateway_504": "504 after the work was done: it was billed",
    "cloudflare_524": "524, an HTML page, after the work was done: it was billed",
    "stream_disconnected": "502 'stream disconnected before completion'; it was billed",
    # 200 without a picture
    "error_in_stream": "200 whose stream holds an error object",
    "grsai_envelope": '200 {"code": -1, "msg": "insufficient credits"}',
    "grsai_moderation": '200 {"code": 0} whose data say failed: output_moderation',
    "busy_text": "200 with text: many people are creating images right now",
    "tool_error_text": "200 with text: the image tool met an error",
    "rate_limit_text": "200 with text: there is a rate limit in place",
    "account_limit_text": "200 with text: the gateway's own account is at its plan limit",
    "no_image_text": "200 with friendly text and no picture",
    "empty_content": "200 with nothing in it",
    "html_200": "200 with an HTML page",
    "json_truncated": "200, complete on the wire, with half a JSON text",
    "async_only": "200 with links to a task and no picture; the task finishes later",
    "unfinished_cut": "200, a log that ends in the middle though the connection does not; the task goes on",
}

WIRE: Mapping[str, str] = {
    "refuse": "the connection is closed before the body is read",
    "close_before_headers": "the request is read, the work done, the connection closed",
    "reset_before_headers": "the same with a reset (RST)",
    "close_after_headers": "headers, then the connection is closed",
    "cut_body": "the connection is closed in the middle of the body",
    "cut_after_task_id": "the connection is closed right after the task id",
    "stall_before_headers": "the request is read, then nothing until the client leaves",
    "stall": "headers, then nothing until the client leaves",
    "drip": "the reply comes byte by byte",
    "split_utf8": "the reply is cut into pieces inside characters, ids and URLs",
    "ping": "': PING' comment lines between the events of a stream",
    "empty_choices": "events with an empty list of choices in a stream",
    "no_done": "a stream without its [DONE]",
}

TASK: Mapping[str, str] = {
    "task_unknown": "asked for the task, the provider answers 404",
    "task_failed": "asked for the task, the provider says that it failed",
}

FILE: Mapping[str, str] = {
    "file_404_first": "404 at the first download, then the file",
    "file_503": "503 at the first download, then the file",
    "file_truncated": "the first download (or the inline picture) is shorter than it says",
    "file_403": "always 403",
    "file_410": "always 410",
    "file_expired": "always 403, as an expired link answers",
    "file_html": "an HTML page with 200",
    "file_slow": "the file comes slowly, over a second",
    "file_redirect": "a redirect to the file",
    "file_redirect_loop": "redirects without end",
    "file_redirect_private": "a redirect to another private address",
    "not_image": "bytes that are no picture (inline too)",
}

FAULTS: Mapping[str, str] = {**ANSWER, **WIRE, **TASK, **FILE}
"""Every fault that can be asked for: in a manifest's `simulate`, or in a prompt as `simulate:NAME`."""

STAGES: tuple[Mapping[str, str], ...] = (ANSWER, WIRE, TASK, FILE)

_ASKED = re.compile(r"simulate:([a-z0-9_]+)")


@dataclass(frozen=True, slots=True)
class Chance:
    """How often a fault happens: at a rate from 0 to 1, or an exact number of times."""

    rate: float = 0.0
    times: int | None = None

    @classmethod
    def parse(cls, text: object) -> Chance:
        """Read `5%`, `0.05` or `2x`. Raises ValueError for anything else."""
        words = str(text).strip().lower()
        if re.fullmatch(r"[0-9]{1,9}\s*x", words):
            return cls(times=int(words[:-1]))
        try:
            rate = float(words.removesuffix("%")) / (100 if words.endswith("%") else 1)
        except ValueError:
            rate = math.nan
        if isinstance(text, bool) or not 0 <= rate <= 1:
            raise ValueError(f"{text!r} is not a chance: write a rate (5%, 0.05) or a number of times (2x)")
        return cls(rate=rate)


def asked_for(prompt: str) -> frozenset[str]:
    """The faults that the prompt itself names as `simulate:NAME`; unknown names are no faults."""
    return frozenset(name for name in _ASKED.findall(prompt) if name in FAULTS)


def chosen(chances: Mapping[str, Chance], seed: int, ordinal: int) -> frozenset[str]:
    """The faults that the POST number `ordinal` (from 1) meets.

    Counted faults (`2x`) take every second POST, each its own, in the order of the mapping: the 2nd,
    4th, 6th and so on. All other POSTs draw for the rates, at most one fault of each stage.
    """
    counted = [name for name, chance in chances.items() for _ in range(chance.times or 0)]
    if ordinal % 2 == 0 and ordinal // 2 <= len(counted):
        return frozenset({counted[ordinal // 2 - 1]})
    met = set()
    for stage in STAGES:
        for name, chance in chances.items():
            if name in stage and _drawn(seed, name, ordinal) < chance.rate:
                met.add(name)
                break
    return frozenset(met)


def _drawn(seed: int, name: str, ordinal: int) -> float:
    """A number in [0, 1) that depends on nothing but its arguments."""
    digest = hashlib.blake2b(f"{seed}/{name}/{ordinal}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
