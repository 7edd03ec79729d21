"""Error replies of every gateway family, each with the one meaning it may be given."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from batchgen.codecs.faults import LONGEST_MESSAGE, classify, classify_error, tidy
from batchgen.codecs.redact import redact
from batchgen.codecs.waits import allowance
from batchgen.errors import (
    BadKey,
    BadReference,
    BadRequest,
    Interrupted,
    JobError,
    NoChannel,
    NoImage,
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
from batchgen.events import Allowance
from batchgen.model import Json

NOW = 1_760_000_000.0  # 2025-10-09T08:53:20Z
SATURATED = "当前分组上游负载已饱和，请稍后再试 (request id: 202506161710317451363346jPkQFY4)"


def _body(value: Json) -> bytes:
    return json.dumps(value).encode()


def _envelope(message: str, **fields: Json) -> bytes:
    return _body({"error": {"message": message, **fields}})


def _classified(status: int, body: bytes | str = b"", headers: Mapping[str, str] | None = None) -> JobError:
    data = body.encode() if isinstance(body, str) else body
    return classify(status, headers or {}, data, now=NOW)


GATEWAYS: list[tuple[int, bytes, type[JobError]]] = [
    # keys, users, addresses
    (401, _envelope("无效的令牌", type="new_api_error"), BadKey),
    (401, _envelope("未提供令牌", type="one_api_error"), BadKey),
    (401, _envelope("令牌验证失败", type="one_api_error"), BadKey),
    (401, _envelope("Invalid token", type="new_api_error"), BadKey),
    (401, _envelope("该令牌已过期", type="new_api_error"), BadKey),
    (401, _envelope("该令牌状态不可用", type="new_api_error"), BadKey),
    (403, _envelope("用户已被封禁", type="one_api_error"), NotAllowed),
    (403, _envelope("该令牌只能在指定网段使用：10.0.0.0/8，当前 ip：1.2.3.4"), NotAllowed),
    (403, _envelope("您的 IP 不在令牌允许访问的列表中"), NotAllowed),
    # money
    (401, _envelope("该令牌额度已用尽 TokenStatusExhausted[sk-abc***xyz]", type="new_api_error"), QuotaSpent),
    (401, _envelope("[sk-abc***xyz] 该令牌额度已用尽 !token.UnlimitedQuota && token.RemainQuota = 0"), QuotaSpent),
    (401, _envelope("令牌 night（#12）额度已用尽", type="one_api_error"), QuotaSpent),
    (403, _envelope("anything", code="insufficient_user_quota"), QuotaSpent),
    (403, _envelope("user quota is not enough", type="one_api_error"), QuotaSpent),
    (403, _envelope("image pre-consumed quota failed, user quota: $0.1, need quota: $0.2"), QuotaSpent),
    (403, _envelope("用户额度不足, 剩余额度: ＄0.01", type="new_api_error"), QuotaSpent),
    (403, _envelope("预扣费额度失败, 用户剩余额度: ＄0.01, 需要预扣费额度: ＄0.05"), QuotaSpent),
    (403, _envelope("subscription quota insufficient, need=5"), QuotaSpent),
    (
        403,
        _envelope(
            "user [12] quota [3] preConsumedQuota [500] is not enough",
            type="shell_api_error",
            localized_message="Insufficient user quota",
        ),
        QuotaSpent,
    ),
    (403, _envelope("x", code="pre_consume_token_quota_failed"), QuotaSpent),
    (429, _envelope(SATURATED, type="insufficient_quota"), QuotaSpent),
    (429, _envelope(SATURATED, type="new_api_error", code="insufficient_user_quota"), QuotaSpent),
    # models
    (403, _envelope("该令牌无权使用模型：gpt-image-1"), UnknownModel),
    (403, _envelope("该令牌无权访问模型 gpt-image-1"), UnknownModel),
    (403, _envelope("This token has no access to model gpt-image-1"), UnknownModel),
    (403, _envelope("model gpt-image-1 is not available for this API key"), UnknownModel),
    (400, _envelope("Model not support", type="rix_api_error"), UnknownModel),
    (404, _envelope("The model `x` does not exist", code="model_not_found"), UnknownModel),
    (500, _envelope("模型 x 倍率或价格未配置", code="model_price_error"), UnknownModel),
    (503, _envelope("当前分组 default 下对于模型 gpt-image-1 无可用渠道", type="one_api_error"), NoChannel),
    (503, _envelope("分组 default 下模型 x 无可用渠道（distributor）", code="model_not_found"), NoChannel),
    (503, _envelope("获取分组 default 下模型 x 的可用渠道失败（distributor）：…", code="model_not_found"), NoChannel),
    (500, _envelope("分组 default 下模型 x 的可用渠道不存在（retry）", code="get_channel_failed"), NoChannel),
    # saturation and rates
    (429, _envelope(SATURATED, type="upstream_error"), Saturated),
    (500, _envelope(SATURATED, type="new_api_error"), Saturated),
    (502, _envelope(SATURATED, type="upstream_error"), Saturated),
    (503, _envelope(SATURATED, type="new_api_error"), Saturated),
    (429, _envelope("您已达到请求数限制：5分钟内最多请求10次"), RateLimited),
    (429, _envelope("您已达到总请求数限制：1分钟内最多请求60次，包括失败次数，请检查您的请求是否正确"), RateLimited),
    (429, b"", RateLimited),
    (429, _envelope("busy", code="token_concurrency_limit_reached"), RateLimited),
    (429, _envelope("No available image quota. Please try again later."), Saturated),
    # what the request did wrong
    (429, _envelope("quality must be one of auto, low, medium, high"), BadRequest),
    (429, _envelope("该模型不支持参数 style"), BadRequest),
    (429, _envelope("invalid size"), BadRequest),
    (404, _envelope("Invalid URL (POST /v1/x)", type="invalid_request_error"), WrongAddress),
    (501, _envelope("API not implemented", code="api_not_implemented"), WrongAddress),
    (405, b"", WrongAddress),
    (400, _envelope("bad", code="invalid_request"), BadRequest),
    (500, _envelope("field prompt is required", code="invalid_text_request"), BadRequest),
    (500, _envelope("field size is wrong", code="invalid_image_request"), BadRequest),
    (422, _envelope("cannot convert", code="convert_request_failed"), BadRequest),
    (413, _envelope("http: request body too large", code="read_request_body_failed"), BadRequest),
    (413, b"<html><head><title>413 Request Entity Too Large</title></head></html>", BadRequest),
    (400, _envelope("Invalid image file or mode for image 1", code="invalid_image_file"), BadReference),
    (400, _envelope("image is required", type="shell_api_error"), BadReference),
    # content
    (400, _envelope("user sensitive words detected", code="sensitive_words_detected"), Refused),
    (500, _envelope("user sensitive words detected", code="sensitive_words_detected"), Refused),
    (400, _envelope("blocked", code="prompt_blocked"), Refused),
    (500, _envelope("charged", code="violation_fee.grok.csam"), Refused),
    (
        400,
        _envelope(
            "Your request was rejected by the safety system. safety_violations=[sexual].",
            type="image_generation_user_error",
            code="moderation_blocked",
        ),
        Refused,
    ),
    (
        400,
        _envelope(
            "Gemini image generation blocked [IMAGE_SAFETY]: no",
            type="channel_error",
            code="channel:image_generation_failed",
        ),
        Refused,
    ),
    (500, _envelope("Gemini made no image", code="channel:image_generation_failed"), NoImage),
    (
        500,
        _envelope(
            "沒有按照預期生成圖片，請重新調整提示詞後重試（traceid: 0a1b2c3d）",
            type="invalid_request_error",
            localized_message="Unknown error",
        ),
        Refused,
    ),
    # the gateway's own upstream
    (500, _envelope("An error occurred while processing your request, request ID x", code=None), ServerError),
    (500, _envelope("请求上游地址失败", code="do_request_failed"), ServerError),
    (500, _envelope("x", code="bad_response"), ServerError),
    (500, _envelope("x", code="bad_response_body"), ServerError),
    (500, _envelope("x", code="empty_response"), ServerError),
    (500, _envelope("x", code="channel:no_available_key"), ServerError),
    (500, _envelope("x", code="channel:invalid_key"), ServerError),
    (500, _envelope("x", code="channel:response_time_exceeded"), ServerError),
    (500, _envelope("bad response status code 400", code="bad_response_status_code", param="400"), BadRequest),
    (500, _envelope("bad response status code 401", code="bad_response_status_code", param="401"), ServerError),
    (500, _envelope("bad response status code 429", code="bad_response_status_code", param="429"), Saturated),
    (500, _envelope("bad response status code 502", code="bad_response_status_code", param="502"), ServerError),
    (500, _envelope("bad response status code 524", code="bad_response_status_code"), Interrupted),
    (500, _envelope("write tcp …: connection reset by peer", code="write_response_body_failed"), ServerError),
    (502, _envelope("stream disconnected before completion", code="internal_server_error"), Interrupted),
    # the front proxy
    (502, b"<html><title>502 Bad Gateway</title></html>", ServerError),
    (503, b"<html><title>Service Unavailable</title></html>", Saturated),
    (520, b"<html><title>x | 520: Web server is returning an unknown error</title></html>", ServerError),
    (504, b"<html><title>504 Gateway Time-out</title></html>", Interrupted),
    (524, b"<!DOCTYPE html><title>x | 524: A timeout occurred</title>", Interrupted),
    (408, b"", Interrupted),
    (500, b"", ServerError),
    (302, b"", WrongAddress),
    # other envelopes
    (
        500,
        _body({"message": "当前分组上游负载已饱和"}),
        Saturated,
    ),
    (500, b'{"error": "insufficient credits"}', QuotaSpent),
    (200, b'{"code": -1, "data": null, "msg": "insufficient credits"}', QuotaSpent),
    (400, b'[{"error": {"code": 400, "message": "API key not valid", "status": "INVALID_ARGUMENT"}}]', BadKey),
    (429, b'{"error": {"code": 429, "message": "Resource exhausted", "status": "RESOURCE_EXHAUSTED"}}', RateLimited),
    (402, b'{"error": {"code": 402, "message": "Payment needed"}}', QuotaSpent),
    (500, b"upstream connect error", ServerError),
    (429, b'data: {"error": {"message": "x", "code": "insufficient_quota"}}\n\n', QuotaSpent),
]


def test_a_gateways_error_has_its_one_meaning() -> None:
    # One test for the table: all wrong rows are told at once.
    assert not [row for row in GATEWAYS if type(_classified(row[0], row[1])) is not row[2]]


_BAD_REFERENCES = (
    "invalid_image invalid_image_format invalid_image_mode invalid_base64_image image_too_large "
    "image_too_small image_parse_error image_file_too_large unsupported_image_media_type empty_image_file "
    "image_file_not_found invalid_image_file"
)
OFFICIAL: list[tuple[int, str, str, type[JobError]]] = [
    (400, "content_policy_violation", "Your request was rejected as a result of our safety system.", Refused),
    (400, "image_content_policy_violation", "no", Refused),
    *((400, code, "no", BadReference) for code in _BAD_REFERENCES.split()),
    (400, "failed_to_download_image", "no", ReferenceUnread),
    (400, "invalid_image_url", "no", ReferenceUnread),
    (400, "invalid_value", "Error while downloading file. Upstream status code: 407.", ReferenceUnread),
    (400, "invalid_value", "n is too large", BadRequest),
    (400, "unknown_parameter", "Unknown parameter: 'quality'", BadRequest),
    (400, "invalid_request_error", "no", BadRequest),
    (401, "invalid_api_key", "Incorrect API key provided: sk-abcdefgh*********wxyz.", BadKey),
    (404, "model_not_found", "The model `x` does not exist", UnknownModel),
    (403, "model_not_found", "Project does not have access to model x", UnknownModel),
    (429, "insufficient_quota", "You exceeded your current quota, please check your plan", QuotaSpent),
    (400, "billing_hard_limit_reached", "Billing hard limit has been reached", QuotaSpent),
    (429, "billing_not_active", "no", QuotaSpent),
    (429, "organization_spend_limit_exceeded", "no", QuotaSpent),
    (429, "project_spend_limit_exceeded", "no", QuotaSpent),
    (429, "rate_limit_exceeded", "Limit 4000, Used 4000, Requested 1. Please try again in 467ms.", RateLimited),
    (429, "rate_limit_exceeded", "Rate limit reached: Limit 5, Used 0, Requested 10.", BadRequest),
    (429, "rate_limit_exceeded", "Rate limit reached for images: Limit: 0/1min.", QuotaSpent),
    (500, "server_error", "The server had an error while processing your request", ServerError),
]


def test_an_official_error_code_has_its_one_meaning() -> None:
    for status, code, message, leaf in OFFICIAL:
        error = _classified(status, _envelope(message, code=code, type="invalid_request_error"))
        assert (type(error), error.code, error.status) == (leaf, code, status)


@pytest.mark.parametrize(
    ("headers", "message", "wait"),
    [
        ({"retry-after": "20"}, "no", 20),
        ({"retry-after": "Thu, 09 Oct 2025 08:54:20 GMT"}, "no", 60),
        ({"retry-after": "Thu, 09 Oct 2025 08:00:00 GMT"}, "no", 0),
        ({"retry-after-ms": "1500", "retry-after": "20"}, "no", 1.5),
        ({"retry-after": "20"}, "try again in 3s", 20),
        ({"retry-after": "soon"}, "try again in 3s", 3),
        ({"retry-after": "-5"}, "no", None),
        ({"retry-after": "99999999999"}, "no", None),
        ({"llm_provider-retry-after": "7"}, "no", 7),
        ({}, "Please try again in 467ms.", 0.467),
        ({}, "Please try again in 1m30s.", 90),
        ({}, "Please try again in 12.5s.", 12.5),
        ({}, "limit resets in 23 hours and 28 minutes", 84_480),
        ({}, "您已达到请求数限制：5分钟内最多请求10次", 300),
        ({}, "请在 30 秒后重试", 30),
        ({}, "no", None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, "no", 360),
        ({"x-ratelimit-remaining-requests": "9", "x-ratelimit-reset-requests": "6m0s"}, "no", None),
        ({"x-ratelimit-reset": "1760000012000", "x-ratelimit-remaining": "0"}, "no", 12),
    ],
)
def test_the_wait_is_the_headers_or_else_the_messages(
    headers: dict[str, str], message: str, wait: float | None
) -> None:
    assert _classified(429, _envelope(message), headers).retry_after == (None if wait is None else pytest.approx(wait))


def test_a_rate_limit_header_is_no_reason_to_wait_after_another_error() -> None:
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}
    assert _classified(500, b"", headers).retry_after is None


@pytest.mark.parametrize(
    ("headers", "error", "told"),
    [
        ({"x-oneapi-request-id": "A1"}, {"message": "no (request id: B2222)"}, "A1"),
        ({"x-request-id": "C3", "x-oneapi-request-id": "A1"}, {"message": "no"}, "A1"),
        ({"x-api-request-id": "20260715212753274771513fAg1k3QO"}, {"message": "no"}, "20260715212753274771513fAg1k3QO"),
        ({"x-request-id": "req_1"}, {"message": "no"}, "req_1"),
        ({"llm_provider-x-oneapi-request-id": "L1"}, {"message": "no"}, "L1"),
        ({}, {"message": "no (request id: 202506161710jPkQFY4)"}, "202506161710jPkQFY4"),
        ({}, {"message": "no（traceid: 0a1b2c3d）"}, "0a1b2c3d"),
        ({}, {"message": "include the request ID req_0123456789abcdef."}, "req_0123456789abcdef"),
        ({}, {"message": "no", "param": "20260715212753274771513fAg1k3QO"}, "20260715212753274771513fAg1k3QO"),
        ({}, {"message": "no", "param": "502"}, None),
        ({}, {"message": "no", "param": "output_compression"}, None),
    ],
)
def test_the_request_id_is_the_first_that_the_reply_has(headers: dict[str, str], error: Json, told: str | None) -> None:
    assert _classified(400, _body({"error": error}), headers).request_id == told


def test_litellms_relayed_rate_limit_is_read_through_its_wrapping() -> None:
    message = (
        "litellm.RateLimitError: RateLimitError: OpenAIException - Slow down. Please try again in 4s.\n\n"
        "LiteLLM: model group 'images' failed with the error above. Available fallbacks: None"
    )
    error = _classified(
        429,
        _envelope(message, type="throttling_error", param=None, code="429"),
        {"llm_provider-retry-after": "9", "llm_provider-x-oneapi-request-id": "up1"},
    )
    assert type(error) is RateLimited
    assert (error.retry_after, error.request_id) == (9, "up1")
    assert error.message == "Slow down. Please try again in 4s."


def test_litellms_own_failure_after_the_upstream_billed_is_an_unknown_outcome() -> None:
    message = "litellm.APIConnectionError: 1 validation error for Usage image_tokens Field required"
    assert type(_classified(500, _envelope(message, code="500"))) is Interrupted


def test_litellm_without_a_database_calls_a_wrong_key_a_bad_request() -> None:
    assert type(_classified(400, _envelope("No connected db.", code="no_db_connection"))) is BadKey


@pytest.mark.parametrize(
    ("error", "leaf"),
    [
        ({"message": SATURATED, "type": "new_api_error"}, Saturated),
        ({"message": "no", "code": 429}, RateLimited),
        ({"message": "no", "code": "insufficient_user_quota"}, QuotaSpent),
        ({"message": "Provider returned error", "code": 502, "metadata": {"raw": "content_policy"}}, Refused),
        ("something broke", ServerError),
        (None, ServerError),
        ([], ServerError),
        ({"error": {"error": {"error": {"error": "deep"}}}}, ServerError),
    ],
)
def test_an_error_inside_a_200_is_judged_by_its_own_words(error: Json, leaf: type[JobError]) -> None:
    assert type(classify_error(error, 200, {}, now=NOW)) is leaf


@pytest.mark.parametrize(
    "message",
    [
        'Failed to process "a poster that says: insufficient credits, 额度不足, content policy"',
        "Failed to process 'violates our content policy'.",
        '```json\n{"prompt": "the words rate limit exceeded, 违反了我们的内容政策"}\n```\nfailed',
        "prompt: insufficient balance\nfailed",
    ],
)
def test_words_of_a_quoted_prompt_decide_nothing(message: str) -> None:
    assert type(_classified(500, _envelope(message))) is ServerError


@pytest.mark.parametrize(
    "said",
    [
        "bad key sk-abcdefghijkl1234567890 given",
        "TokenStatusExhausted[sk-abc***xyz]",
        "Incorrect API key provided: sk-abcde************wxyz.",
        "Authorization: Bearer abcdefghijkl1234567890",
        "api_key=abcdefghijkl1234567890",
        "key AIzaSyA1234567890abcdefghijk is wrong",
    ],
)
def test_no_part_of_a_key_stays_in_a_message(said: str) -> None:
    error = _classified(401, _envelope(said, code=said))
    for text in (error.message, str(error), repr(error), error.code or "", redact(said)):
        assert "[key]" in text
        for secret in ("abc", "xyz", "AIza"):
            assert secret not in text


def test_what_only_looks_like_a_key_stays() -> None:
    said = "gpt-image-1 at https://x.test/sk-not-a-key/a.png, task_01jqwtd9rvev28cr2kechxszq1"
    assert redact(said) == said


def test_a_message_is_one_line_of_bounded_length_without_base64_and_request_id() -> None:
    said = f"so\n\n it   is (request id: 202506161710jPkQFY4) data:image/png;base64,{'QUJD' * 1000} {'x y ' * 1000}"
    message = tidy(said)
    assert len(message) == LONGEST_MESSAGE
    assert message.startswith("so it is data:<base64, 4000 characters> x y")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "HTTP 524 with an empty body"),
        (b"<html><head><title>x | 524:\n A timeout</title>", "HTTP 524: x | 524: A timeout"),
        (b"<html>", "HTTP 524: a web page"),
        (b"{}", "{}"),
        (b"[]", "HTTP 524"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_a_body_without_words_still_gives_a_message(body: bytes, message: str) -> None:
    error = _classified(524, body)
    assert (type(error), error.message) == (Interrupted, message)


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"limit-requests": "500", "remaining-requests": "499", "reset-requests": "120ms"}, Allowance(499, 0.12, 500)),
        ({"remaining-requests": "0", "reset-requests": "6m0s"}, Allowance(0, 360.0)),
        (
            {"limit-tokens": "9000", "remaining-tokens": "0", "reset-tokens": "7s", "remaining-requests": "5"},
            Allowance(0, 7.0),
        ),
        ({"remaining-tokens": "12", "reset-tokens": "7s"}, None),
        ({"limit-requests": "500", "remaining-requests": "0"}, None),
        ({"remaining-requests": "many", "reset-requests": "soon"}, None),
        ({}, None),
    ],
)
def test_what_a_reply_says_is_left_of_a_limit(headers: dict[str, str], told: Allowance | None) -> None:
    assert allowance({f"x-ratelimit-{name}": value for name, value in headers.items()}, now=NOW) == told
