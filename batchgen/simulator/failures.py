"""What each answer fault says on the wire: status, words and machine code, as data.

The texts are those that gateways and OpenAI really send. Which envelope they come in (message suffix,
type, request id) is the dialect's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from batchgen.model import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error object to be sent. `type` empty: the dialect's own; `work`: it happened after the work."""

    status: int
    message: str
    type: str = ""
    code: str | int | None = None
    param: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    extra: Mapping[str, Json] | None = None
    work: bool = False


@dataclass(frozen=True, slots=True)
class Html:
    """An HTML page of this title, from a machine in front of the provider."""

    status: int
    title: str
    work: bool = False


@dataclass(frozen=True, slots=True)
class Bare:
    """A JSON value (None: an empty body) without the usual envelope."""

    status: int
    value: Json


@dataclass(frozen=True, slots=True)
class Words:
    """A reply of 200 whose only content is this text."""

    text: str


Wrong: TypeAlias = Failure | Html | Bare | Words

_FULL = "当前分组上游负载已饱和，请稍后再试"
_INVALID = "invalid_request_error"
_SAFETY = (
    "Your request was rejected by the safety system. If you believe this is an error, contact us at "
    "help.openai.com and include the request ID. safety_violations=[sexual]."
)


def _rate(limit: int, requested: int, rest: str) -> Failure:
    """OpenAI's 429 about a rate."""
    text = (
        "Rate limit reached for gpt-image-2 (for limit gpt-image) in organization org-simulated on "
        f"input-images per min: Limit {limit}, Used {limit}, Requested {requested}.{rest}"
    )
    return Failure(status=429, message=text, type="input-images", code="rate_limit_exceeded")


def _moderated(stage: str) -> Failure:
    details: Json = {"moderation_stage": stage, "categories": ["sexual"]}
    return Failure(
        status=400,
        message=_SAFETY,
        type="image_generation_user_error",
        code="moderation_blocked",
        extra={"moderation_details": details},
    )


def _full(status: int) -> Failure:
    return Failure(status=status, message=_FULL)


MODERATED_OUTPUT = _moderated("output")

FAILURES: Mapping[str, Wrong] = {
    "rate_limit": _rate(4000, 1, " Please try again in 467ms."),
    "rate_limit_header": Failure(
        status=429,
        message="Rate limit reached for requests.",
        type="requests",
        code="rate_limit_exceeded",
        headers=(("Retry-After", "1"),),
    ),
    "rate_limit_never": _rate(5, 10, ""),
    "rate_limit_zero": Failure(
        status=429,
        type="requests",
        code="rate_limit_exceeded",
        message="Rate limit reached for gpt-image-2 in organization org-simulated. Limit: 0/1min.",
    ),
    "gateway_rate_limit": Failure(status=429, message="您已达到请求数限制：1分钟内最多请求60次"),
    "token_concurrency": Failure(
        status=429, message="token concurrency limit reached", code="token_concurrency_limit_reached"
    ),
    "empty_429": Bare(429, None),
    "image_pool_empty": Failure(status=429, message="No available image quota. Please try again later."),
    "saturated": _full(429),
    "saturated_500": _full(500),
    "saturated_502": _full(502),
    "saturated_503": _full(503),
    "saturated_stream": _full(200),
    "litellm": Failure(
        status=429,
        message="litellm.RateLimitError: RateLimitError: OpenAIException - "
        + _FULL
        + "\n\nLiteLLM: model group 'images' failed with the error above.",
        type="throttling_error",
        code="429",
        headers=(("llm_provider-retry-after", "1"),),
    ),
    "bad_key": Failure(status=401, message="无效的令牌", code="invalid_api_key"),
    "key_echo": Failure(status=401, message="Incorrect API key provided: {key}.", code="invalid_api_key"),
    "key_expired": Failure(status=401, message="该令牌已过期"),
    "key_quota": Failure(
        status=401, message="[sk-abc***xyz] 该令牌额度已用尽 !token.UnlimitedQuota && token.RemainQuota = 0"
    ),
    "quota": Failure(
        status=403,
        message="用户额度不足, 剩余额度: ＄0.004",
        code="insufficient_user_quota",
        extra={"localized_message": "Insufficient user quota"},
    ),
    "pre_consume_failed": Failure(
        status=403,
        message="预扣费额度失败, 用户剩余额度: ＄0.004, 需要预扣费额度: ＄0.03",
        code="pre_consume_token_quota_failed",
    ),
    "hidden_quota": Failure(
        status=429, message=_FULL, type="insufficient_quota", code="insufficient_user_quota"
    ),
    "insufficient_quota": Failure(
        status=429,
        type="insufficient_quota",
        code="insufficient_quota",
        message="You exceeded your current quota, please check your plan and billing details.",
    ),
    "billing_hard_limit": Failure(
        status=400,
        message="Billing hard limit has been reached",
        type=_INVALID,
        code="billing_hard_limit_reached",
    ),
    "billing_not_active": Failure(
        status=429,
        type="billing_not_active",
        code="billing_not_active",
        message="Your account is not active, please check your billing details on our website.",
    ),
    "spend_limit": Failure(
        status=429,
        message="Your organization has reached its spend limit.",
        type="insufficient_quota",
        code="organization_spend_limit_exceeded",
    ),
    "banned": Failure(status=403, message="用户已被封禁"),
    "ip_not_allowed": Failure(status=403, message="您的 IP 不在令牌允许访问的列表中"),
    "model_not_allowed": Failure(status=403, message="该令牌无权访问模型 {model}"),
    "no_channel": Failure(status=503, message="当前分组 default 下对于模型 {model} 无可用渠道"),
    "no_channel_model": Failure(
        status=503, message="分组 default 下模型 {model} 无可用渠道（distributor）", code="model_not_found"
    ),
    "no_channel_retry": Failure(
        status=500, message="分组 default 下模型 {model} 的可用渠道不存在（retry）", code="get_channel_failed"
    ),
    "unknown_model": Failure(
        status=404,
        type=_INVALID,
        code="model_not_found",
        message="The model `{model}` does not exist or you do not have access to it.",
    ),
    "model_price_error": Failure(
        status=500, message="模型 {model} 倍率或价格未配置，请联系管理员设置", code="model_price_error"
    ),
    "wrong_path": Failure(status=404, message="Invalid URL ({line})", type=_INVALID),
    "not_implemented": Failure(status=501, message="API not implemented", code="api_not_implemented"),
    "bad_request": Failure(status=400, message="field messages is required", code="invalid_request"),
    "bad_request_500": Failure(status=500, message="field messages is required", code="invalid_request"),
    "bad_parameter_429": Failure(status=429, message="quality must be one of auto, low, medium, high"),
    "unknown_parameter": Failure(
        status=400,
        message="Unknown parameter: 'response_format'.",
        type=_INVALID,
        code="unknown_parameter",
        param="response_format",
    ),
    "invalid_image": Failure(
        status=400,
        message="Invalid image file or mode for image 1, please check your image file.",
        type="image_generation_user_error",
        code="invalid_image_file",
    ),
    "image_required": Failure(status=400, message="image is required"),
    "reference_download": Failure(
        status=400,
        message="Error while downloading file. Upstream status code: 407.",
        type=_INVALID,
        code="invalid_value",
        param="url",
    ),
    "too_large_413": Html(413, "413 Request Entity Too Large"),
    "sensitive_words": Failure(
        status=400, message="user sensitive words detected: 敏感词", code="sensitive_words_detected"
    ),
    "sensitive_words_500": Failure(
        status=500, message="user sensitive words detected: 敏感词", code="sensitive_words_detected"
    ),
    "prompt_blocked": Failure(status=400, message="request blocked: prompt blocked", code="prompt_blocked"),
    "refusal": _moderated("input"),
    "content_policy": Failure(
        status=400,
        type=_INVALID,
        code="content_policy_violation",
        message="Your request was rejected as a result of our safety system.",
    ),
    "refusal_text": Words(
        "非常抱歉，生成的图片可能违反了我们的内容政策。如果你认为此判断有误，请重试或修改提示语。"
    ),
    "refusal_short": Words("I can’t assist with that request."),
    "image_safety": Failure(
        status=500,
        type="channel_error",
        code="channel:image_generation_failed",
        message="Gemini image generation blocked [IMAGE_SAFETY]: Unable to show the generated image.",
    ),
    "channel_block": Failure(
        status=500,
        message="沒有按照預期生成圖片，請重新調整提示詞後重試（traceid: 8f1c2a）",
        type=_INVALID,
        extra={"localized_message": "Unknown error"},
    ),
    "server_error": Failure(
        status=500,
        message="The server had an error while processing your request. Sorry about that!",
        type="server_error",
        code="server_error",
    ),
    "processing_error": Failure(
        status=500,
        message="An error occurred while processing your request. You can retry your request, or contact us "
        "and include the request ID in your message.",
    ),
    "overloaded": Failure(
        status=503, message="The engine is currently overloaded, please try again later.", type="server_error"
    ),
    "do_request_failed": Failure(status=500, message="请求上游地址失败", code="do_request_failed"),
    "bad_response_status": Failure(
        status=500,
        message="bad response status code 502",
        type="upstream_error",
        code="bad_response_status_code",
        param="502",
    ),
    "empty_response": Failure(
        status=502, message="empty response from upstream", type="upstream_error", code="empty_response"
    ),
    "write_failed": Failure(
        status=500,
        message="write tcp 10.0.0.7:443: write: connection reset by peer",
        code="write_response_body_failed",
    ),
    "error_string": Bare(500, {"error": "upstream worker crashed"}),
    "message_only": Bare(500, {"message": "internal error"}),
    "cloudflare_502": Html(502, "502 Bad Gateway"),
    "gateway_504": Html(504, "504 Gateway Time-out", work=True),
    "cloudflare_524": Html(524, "Error 524: A timeout occurred", work=True),
    "stream_disconnected": Failure(
        status=502,
        message="stream disconnected before completion",
        type="server_error",
        code="internal_server_error",
        work=True,
    ),
    "error_in_stream": Failure(
        status=200,
        message="upstream error: do request failed",
        type="upstream_error",
        code="do_request_failed",
    ),
    "grsai_envelope": Bare(200, {"code": -1, "data": None, "msg": "insufficient credits"}),
    "grsai_moderation": Bare(
        200,
        {"code": 0, "data": {"status": "failed", "failure_reason": "output_moderation"}, "msg": "success"},
    ),
    "busy_text": Words("目前有很多人在创建图片，因此可能需要一点时间。图片准备好后我们会通知你。"),
    "tool_error_text": Words("The image generation tool encountered an error. Please try again."),
    "rate_limit_text": Words(
        "I wasn't able to generate the image because there's a rate limit in place. Please wait for a little "
        "while before I can assist with your request again."
    ),
    "account_limit_text": Words(
        "You've hit the free plan limit for image generation requests. You can create more images when the "
        "limit resets in 23 hours and 28 minutes."
    ),
    "no_image_text": Words("Here is the image you asked for."),
    "html_200": Html(200, "Just a moment..."),
}
"""Every answer fault that needs no generation of its own shape; the logs are in chat.py."""
