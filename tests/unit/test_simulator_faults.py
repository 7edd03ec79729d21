"""Which request meets which fault, how settings are read, and what the wire faults do to a reply."""

from __future__ import annotations

import json

import pytest

from batchgen.simulator.exchange import Ending, Piece, Reply
from batchgen.simulator.failures import FAILURES
from batchgen.simulator.faults import ANSWER, FAULTS, FILE, STAGES, TASK, WIRE, Chance, asked_for, chosen
from batchgen.simulator.links import Scheme, Verdict, judge, signed
from batchgen.simulator.settings import SimulatorSettings, parse_settings
from batchgen.simulator.wanted import Unreadable, from_chat, from_images, size_in_words
from batchgen.simulator.wire import spoil


@pytest.mark.parametrize(
    ("text", "chance"),
    [
        ("5%", Chance(rate=0.05)),
        ("0.05", Chance(rate=0.05)),
        (0.05, Chance(rate=0.05)),
        (1, Chance(rate=1.0)),
        ("100%", Chance(rate=1.0)),
        ("2x", Chance(times=2)),
        (" 12 X", Chance(times=12)),
    ],
)
def test_a_chance_is_a_rate_or_a_number_of_times(text: object, chance: Chance) -> None:
    assert Chance.parse(text) == chance


@pytest.mark.parametrize("text", ["", "often", "120%", "-1%", 2, True, None, "nan", "x", "1.5x"])
def test_what_is_no_chance_is_refused_in_one_line(text: object) -> None:
    with pytest.raises(ValueError, match=r"is not a chance: write a rate \(5%, 0.05\)") as caught:
        Chance.parse(text)
    assert "\n" not in str(caught.value)


def test_counted_faults_happen_exactly_as_often_as_said() -> None:
    chances = {"rate_limit": Chance(times=2), "refusal": Chance(times=1)}
    met = [chosen(chances, 0, ordinal) for ordinal in range(1, 100)]
    assert sorted(name for names in met for name in names) == ["rate_limit", "rate_limit", "refusal"]
    assert not met[0], "the first request of all is always good"


def test_rates_depend_on_seed_and_ordinal_alone_and_come_out_about_right() -> None:
    chances = {"rate_limit": Chance(rate=0.1)}
    first = [chosen(chances, 1, ordinal) for ordinal in range(1, 2001)]
    assert first == [chosen(chances, 1, ordinal) for ordinal in range(1, 2001)]
    assert first != [chosen(chances, 2, ordinal) for ordinal in range(1, 2001)]
    assert 150 < sum(map(len, first)) < 250


def test_chance_brings_at_most_one_fault_of_each_stage() -> None:
    always = chosen(dict.fromkeys(FAULTS, Chance(rate=1.0)), 0, 1)
    assert [len(always & stage.keys()) for stage in STAGES] == [1, 1, 1, 1]


def test_a_prompt_asks_for_faults_by_name() -> None:
    asked = asked_for("a cat simulate:refusal, simulate:file_503 simulate:nonsense")
    assert asked == {"refusal", "file_503"}


def test_every_fault_is_in_one_stage_and_every_error_has_a_name() -> None:
    assert len(FAULTS) == len(ANSWER) + len(WIRE) + len(TASK) + len(FILE)
    told_otherwise = {
        "refusal_log", "refusal_output", "empty_content", "json_truncated", "async_only", "unfinished_cut",
    }  # fmt: skip
    assert FAILURES.keys() == ANSWER.keys() - told_otherwise


def test_settings_are_read_from_a_manifest_mapping() -> None:
    assert parse_settings({}) == SimulatorSettings()
    assert parse_settings(
        {"latency": "300ms", "faults": {"rate_limit": "5%", "refusal": "1x"}, "seed": "7", "link_ttl": "10m"}
    ) == SimulatorSettings(
        latency=0.3, faults={"rate_limit": Chance(0.05), "refusal": Chance(times=1)}, seed=7, link_ttl=600
    )


@pytest.mark.parametrize(
    ("mapping", "text"),
    [
        ({"latancy": 1}, "unknown key 'latancy', did you mean 'latency'?"),
        ({"faults": {"rate_limt": "5%"}}, "faults: unknown fault 'rate_limt', did you mean 'rate_limit'"),
        ({"faults": {"refusal": "2"}}, "faults: refusal: '2' is not a chance"),
        ({"faults": ["refusal"]}, "faults: must be a mapping"),
        ({"latency": "soon"}, "latency: 'soon' is not a duration"),
        ({"concurrency": 0}, "concurrency: 0 is below 1"),
        ({"rpm": "many"}, "rpm: 'many' is not a number above 0"),
        ({"seed": 1.5}, "seed: 1.5 is not a whole number"),
        ({"honour_idempotency": "maybe"}, "honour_idempotency: 'maybe' is neither true nor false"),
    ],
)
def test_a_mistake_in_the_settings_is_named_in_one_line(mapping: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        parse_settings(mapping)
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    ("words", "size"),
    [
        ("a cat, 1024x1536", (1024, 1536)),
        ("a cat 1536×1024 please", (1536, 1024)),
        ("Landscape 16:9 cinematic", (1360, 768)),
        ("一只猫【3:2】", (1248, 832)),
        ("比例9:16", (768, 1360)),
        ("a clock at 10:30", None),
        ("a cat", None),
    ],
)
def test_the_size_is_read_from_the_words(words: str, size: tuple[int, int] | None) -> None:
    assert size_in_words(words) == size


def test_a_chat_request_is_its_last_user_turn_with_pictures_and_parent() -> None:
    body = {
        "model": "m",
        "messages": [
            {"role": "user", "content": "a cow"},
            {"role": "assistant", "content": "![gen_01abc](http://x/a.png)"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "返回 4 张"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                ],
            },
        ],
    }
    wanted = from_chat(json.dumps(body).encode())
    assert (wanted.prompt, wanted.n, wanted.parent) == ("返回 4 张", 4, "gen_01abc")
    assert wanted.references == (b"hi", "https://example.com/a.png")


def test_a_multipart_edit_is_read_byte_for_byte() -> None:
    data = bytes(range(256)) + b"\r\n--x"
    body = (
        b'--xyz\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n\xe7\x8c\xab\r\n'
        b'--xyz\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n'
        b'--xyz\r\nContent-Disposition: form-data; name="image[]"; filename="a.png"\r\n'
        b"Content-Type: image/png\r\n\r\n" + data + b"\r\n--xyz--\r\n"
    )
    wanted = from_images(body, "multipart/form-data; boundary=xyz")
    assert wanted.prompt == "猫"
    assert wanted.references == (data,)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model":"m"}', b'{"model":"m","messages":[1]}'])
def test_an_unreadable_chat_request_is_refused(body: bytes) -> None:
    with pytest.raises(Unreadable):
        from_chat(body)


SCHEMES = [scheme for scheme in Scheme if scheme is not Scheme.PLAIN]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_signed_link_is_good_until_its_deadline_and_only_unaltered(scheme: Scheme) -> None:
    now = 1_760_000_000.0
    path, _, query = signed("/tu-zi/a%2Fb.png", scheme, now, 600).partition("?")
    assert judge(path, query, scheme, now) is Verdict.GOOD
    assert judge(path, query, scheme, now + 599) is Verdict.GOOD
    assert judge(path, query, scheme, now + 600) is Verdict.EXPIRED
    for altered in (
        query + "&x=1",
        query.replace("%2", "/", 1) + "a",
        "&".join(reversed(query.split("&"))),
        "",
    ):
        assert judge(path, altered, scheme, now) is Verdict.ALTERED
    assert judge("/tu-zi/a/b.png", query, scheme, now) is Verdict.ALTERED


def test_azure_signatures_come_escaped_and_raw() -> None:
    queries = " ".join(signed(f"/{n}", Scheme.AZURE, 0, 60) for n in range(60))
    signatures = [query.partition("sig=")[2].partition("&")[0] for query in queries.split()]
    for mark in ("%2B", "%2F", "+", "/"):
        assert any(mark in signature for signature in signatures), mark


STREAM = Reply(
    headers=(("Content-Type", "text/event-stream"),),
    pieces=(
        Piece(b'data: {"echo"}\n\ndata: {"> ID: `task_1`"}\n\n'),
        Piece('data: {"进度 44%"}\n\n'.encode(), 0.1),
        Piece(b"data: [DONE]\n\n"),
    ),
)


@pytest.mark.parametrize(
    ("fault", "ending", "mute"),
    [
        ("refuse", Ending.RESET, True),
        ("close_before_headers", Ending.CLOSE, True),
        ("reset_before_headers", Ending.RESET, True),
        ("stall_before_headers", Ending.SILENCE, True),
        ("stall", Ending.SILENCE, False),
        ("close_after_headers", Ending.CLOSE, False),
    ],
)
def test_faults_before_the_body_send_none_of_it(fault: str, ending: Ending, mute: bool) -> None:
    reply = spoil(STREAM, frozenset({fault}))
    assert (reply.body, reply.ending, reply.mute) == (b"", ending, mute)


def test_a_cut_after_the_task_id_keeps_its_whole_event_and_nothing_more() -> None:
    reply = spoil(STREAM, frozenset({"cut_after_task_id"}))
    assert reply.body == STREAM.pieces[0].data
    assert reply.ending is Ending.CLOSE


def test_a_cut_body_is_half_of_it() -> None:
    reply = spoil(STREAM, frozenset({"cut_body"}))
    assert reply.body == STREAM.body[: len(STREAM.body) // 2]


@pytest.mark.parametrize("fault", ["drip", "split_utf8"])
def test_pieces_may_be_small_but_lose_nothing(fault: str) -> None:
    reply = spoil(STREAM, frozenset({fault}))
    assert reply.body == STREAM.body
    assert max(len(piece.data) for piece in reply.pieces) <= 7


def test_noise_stands_between_the_events_of_a_stream_only() -> None:
    noisy = spoil(STREAM, frozenset({"ping", "no_done"}))
    assert b": PING\n\n" in noisy.body
    assert b"[DONE]" not in noisy.body
    plain = Reply(headers=(("Content-Type", "application/json"),), pieces=(Piece(b"{}"),))
    assert spoil(plain, frozenset({"ping", "empty_choices"})) == plain
