"""The tables behind faults.py: machine codes, error types, statuses and phrases, each with its leaf.

Data only. Origins: source and issues of one-api and new-api, documents of apiyi and OpenAI, replies
seen on the wire; status alone is wrong on these gateways, so it comes last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

from batchgen.codecs.phrases import POLICY
from batchgen.errors import (
    BadKey,
    BadReference,
    BadRequest,
    Interrupted,
    JobError,
    NoChannel,
    NotAllowed,
    QuotaSpent,
    RateLimited,
    ReferenceUnread,
    Refused,
    Saturated,
    ServerError,
    UnknownModel,
    WrongAddress,
)

Leaf: TypeAlias = type[JobError]
Phrase: TypeAlias = tuple[Leaf, re.Pattern[str], frozenset[int]]
"""A leaf, the words that mean it, and the statuses under which they do (none named: under any)."""


def _rows(*rows: tuple[Leaf, str]) -> dict[str, Leaf]:
    return {word: leaf for leaf, words in rows for word in words.split()}


CODES = _rows(
    (
        BadKey,
        "invalid_api_key invalidapikey no_db_connection authentication_error unauthenticated account_deactivated",
    ),
    (
        QuotaSpent,
        "insufficient_user_quota insufficient_quota pre_consume_token_quota_failed billing_hard_limit_reached "
        "billing_not_active organization_spend_limit_exceeded project_spend_limit_exceeded insufficient_credits "
        "insufficient_balance arrearage accountoverdueerror payment_required",
    ),
    (RateLimited, "rate_limit_exceeded token_concurrency_limit_reached too_many_requests toomanyrequests"),
    (Saturated, "overloaded_error engine_overloaded serveroverloaded server_overloaded slow_down"),
    (NoChannel, "get_channel_failed"),
    (UnknownModel, "model_not_found model_price_error deploymentnotfound modelnotopen model_not_supported"),
    (WrongAddress, "api_not_implemented unknown_url"),
    (
        Refused,
        "sensitive_words_detected prompt_blocked moderation_blocked content_policy_violation input_moderation "
        "output_moderation image_content_policy_violation content_filter responsibleaipolicyviolation "
        "datainspectionfailed data_inspection_failed content_moderation_failed",
    ),
    (
        BadReference,
        "invalid_image_file invalid_image invalid_image_format invalid_image_mode invalid_base64_image "
        "image_too_large image_too_small image_parse_error image_file_too_large "
        "unsupported_image_media_type empty_image_file image_file_not_found",
    ),
    (ReferenceUnread, "invalid_image_url failed_to_download_image"),
    (
        BadRequest,
        "invalid_request invalid_text_request invalid_image_request convert_request_failed invalid_value "
        "unknown_parameter read_request_body_failed missing_required_parameter unsupported_parameter "
        "unsupported_value invalid_type invalid_size string_above_max_length integer_above_max_value "
        "integer_below_min_value invalid_json invalidparameter invalid_parameter",
    ),
    (
        ServerError,
        "do_request_failed bad_response bad_response_body empty_response server_error internal_server_error "
        "internalservererror write_response_body_failed read_response_body_failed",
    ),
)
"""`error.code`, lower case. Some senders put the same words into `error.type`."""

CODE_PREFIXES: tuple[tuple[str, Leaf], ...] = (
    ("violation_fee", Refused),
    ("safety_check", Refused),
    ("channel:", ServerError),
    ("throttling", RateLimited),
)
CODE_SUFFIXES: tuple[tuple[str, Leaf], ...] = (
    ("sensitivecontentdetected", Refused),
    ("_quota_failed", QuotaSpent),
)

TYPES = _rows(
    (RateLimited, "rate_limit_error throttling_error requests tokens input-images images resource_exhausted"),
    (Saturated, "overloaded_error unavailable"),
    (NotAllowed, "permission_error permission_denied"),
    (UnknownModel, "not_found_error"),
    (BadRequest, "image_generation_user_error invalid_argument failed_precondition"),
    (ServerError, "server_error api_error internal"),
    (Interrupted, "deadline_exceeded"),
)
"""`error.type` (or Google's `status`) where the code says nothing. `invalid_request_error` is left to the status."""

STATUSES: dict[int, Leaf] = {
    400: BadRequest,
    401: BadKey,
    402: QuotaSpent,
    403: NotAllowed,
    404: WrongAddress,
    405: WrongAddress,
    # The gateway or its upstream gave up waiting: the work may go on and be billed.
    408: Interrupted,
    499: Interrupted,
    504: Interrupted,
    524: Interrupted,
    409: ServerError,
    425: Saturated,
    429: RateLimited,
    451: Refused,
    501: WrongAddress,
    503: Saturated,
    529: Saturated,
}


def of_status(status: int) -> Leaf:
    """The leaf of a bare HTTP status; an error told inside a 200 counts as the server's."""
    if leaf := STATUSES.get(status):
        return leaf
    if 300 <= status < 400:
        return WrongAddress
    return BadRequest if 400 <= status < 500 else ServerError


def _phrase(leaf: Leaf, words: str, statuses: Iterable[int] = ()) -> Phrase:
    return leaf, re.compile(words, re.IGNORECASE), frozenset(statuses)


_BLAMED_ON_US = range(400, 500)

BEFORE_CODES: tuple[Phrase, ...] = (
    _phrase(Interrupted, r"stream disconnected before completion"),
    # LiteLLM answers 500 after the upstream has billed, when a usage object lacks this field.
    _phrase(Interrupted, r"litellm.{0,400}image_tokens|image_tokens.{0,200}field required"),
)
"""Phrases that count more than any code: the outcome is not known."""

PHRASES: tuple[Phrase, ...] = (
    _phrase(Saturated, r"no available image quota"),
    _phrase(
        QuotaSpent,
        r"额度已用尽|额度不足|余额不足|已欠费|预扣费额度失败"
        r"|quota (?:\[[^\]]{0,40}\] )?is not enough|quota insufficient"
        r"|insufficient (?:user |account |token )?(?:quota|credits?|balance|funds)|exceeded your current quota"
        r"|pre-?consumed quota (?:failed|\[)|not enough credits|credit balance is too low|spend(?:ing)? limit"
        r"|billing hard limit|preConsumedQuota.{0,80}not enough",
    ),
    _phrase(
        BadKey,
        r"无效的令牌|未提供令牌|令牌验证失败|令牌已过期|令牌状态不可用|(?:incorrect|invalid) api[ _-]?key"
        r"|api[ _-]?key (?:is )?(?:not valid|invalid|expired)",
    ),
    _phrase(BadKey, r"invalid (?:access )?token|token (?:has )?expired|not provided.{0,20}token", (400, 401, 403)),
    _phrase(
        NotAllowed,
        r"用户已被封禁|只能在指定网段使用|不在令牌允许访问的列表|user (?:has been |is )?(?:banned|disabled)"
        r"|ip (?:address )?.{0,60}not (?:allowed|in the)|country, region, or territory not supported",
    ),
    _phrase(
        UnknownModel,
        r"无权(?:使用|访问)模型|no access to model|not available for this api key|model not support"
        r"|the model .{0,80}does not exist|model .{0,80}not found|模型.{0,40}不存在|模型.{0,40}(?:价格|倍率)未配置",
    ),
    _phrase(NoChannel, r"无可用渠道|可用渠道失败|可用渠道不存在|no available channel"),
    _phrase(WrongAddress, r"invalid url \("),
    _phrase(RateLimited, r"已达到(?:总)?请求数限制|rate limit (?:reached|exceeded)|too many requests|请求过于频繁"),
    _phrase(Saturated, r"负载已饱和|overloaded|at capacity|(?:系统|服务器?)(?:当前)?繁忙"),
    (Refused, POLICY, frozenset()),
    _phrase(Refused, r"sexual content|nsfw"),
    _phrase(
        ReferenceUnread,
        r"error while downloading file|(?:failed|unable) to (?:download|fetch|load).{0,40}(?:image|file|url)",
    ),
    _phrase(
        BadReference,
        r"invalid image file|image is required"
        r"|could not (?:process|decode) image|unsupported image",
    ),
    _phrase(BadRequest, r"must be one of|unknown parameter"),
    _phrase(BadRequest, r"不支持|invalid|unsupported|not support", _BLAMED_ON_US),
)
"""In order; a phrase with statuses counts only under those. Looked for in the message without its quotes."""

SHARPER: frozenset[Leaf] = frozenset({Refused, BadReference, ReferenceUnread, UnknownModel})
"""What a phrase may make of a code that only says `bad request` or `server error`."""
