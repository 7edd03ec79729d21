"""Notices on a real socket: what a webhook is sent, and that nothing of an undelivered one leaks or harms."""

from __future__ import annotations

import json

import pytest

from batchgen.errors import UsageError
from batchgen.ledger.records import Status
from batchgen.model import JobState
from batchgen.notice import Messenger, ended, links_die
from batchgen.sinks import Report
from batchgen.summary import Commands
from tests.integration.loopback import Loopback, Then, http

COMMANDS = Commands("out/cats")


def report(reason: str | None = None, dying: int = 0) -> Report:
    jobs = {JobState.DONE: 3, JobState.PENDING: 2}
    whole = Status(
        jobs=jobs,
        outputs={},
        attempts=3,
        cost=0.09,
        next_expiry=2e9 if dying else None,
        expiring_within_24h=dying,
    )
    return Report(exit_code=3, reason=reason, status=whole, run_seconds=61.04, requests=3, images=3, cost=0.09)


async def test_a_webhook_gets_what_happened_as_json_with_a_text_for_chats() -> None:
    async with Loopback([http(204)]) as server:
        told = await Messenger([server.url("/hooks/s3cret")]).tell(ended("cats", report("out of credit"), COMMANDS))
        assert told == []
        value = json.loads(server.requests[0].partition(b"\r\n\r\n")[2])
    assert server.header(0, "content-type") == "application/json"
    assert (value["event"], value["batch"], value["exit_code"]) == ("stopped", "cats", 3)
    assert value["reason"] == "out of credit"
    assert value["run"] == {"seconds": 61.0, "requests": 3, "images": 3, "cost": 0.09}
    assert value["status"]["jobs"]["pending"] == 2
    assert value["text"].splitlines() == [
        "batchgen: cats stopped early, 3 of 5 jobs done",
        "stopped: out of credit",
        "jobs: 2 pending, 3 done",
    ]


async def test_a_webhook_that_refuses_is_told_by_its_host_alone_and_not_asked_again() -> None:
    async with Loopback([http(404)]) as server:
        (complaint,) = await Messenger([server.url("/hooks/s3cret")]).tell(ended("cats", report(), COMMANDS))
        assert complaint == "the notice to 127.0.0.1 was not delivered: HTTP 404"
        assert len(server.requests) == 1


async def test_a_webhook_that_fails_for_a_moment_is_asked_again() -> None:
    async with Loopback([http(503, b"", Then.CLOSE), http(200)]) as server:
        assert await Messenger([server.url()]).tell(ended("cats", report(), COMMANDS)) == []
        assert len(server.requests) == 2


def test_links_that_are_about_to_die_are_worth_a_notice_and_nothing_else_is() -> None:
    assert links_die("cats", report(), COMMANDS) is None
    notice = links_die("cats", report(dying=2), COMMANDS)
    assert notice is not None
    assert notice.title == "batchgen: links of cats are about to die"
    assert notice.text.startswith("2 images not on disk")


# apprise imports what Python 3.13 has no more.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:apprise", "ignore:'imghdr' is deprecated")
async def test_other_addresses_go_through_apprise_and_a_wrong_one_is_told_before_anything_is_sent() -> None:
    pytest.importorskip("apprise", reason="needs the extra 'notify'")
    async with Loopback([http(200)]) as server:
        messenger = Messenger([f"json://127.0.0.1:{server.port}/hook"])
        assert await messenger.tell(ended("cats", report(), COMMANDS)) == []
        value = json.loads(server.requests[0].partition(b"\r\n\r\n")[2])
    assert value["title"] == "batchgen: cats ended, 3 of 5 jobs done"
    with pytest.raises(UsageError) as caught:
        Messenger(["nonsense://s3cret"])
    assert "nonsense" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("", "--notify has no address: give one"),
        (" ", "--notify has no address: give one"),
        ("hooks.example.com/s3cret", "this one has no '://'"),
        ("https://", "no usable host and port follow https://"),
        ("http://[s3cret", "no usable host and port follow http://"),
        ("https://host:s3cret/", "no usable host and port follow https://"),
    ],
)
def test_what_can_never_be_told_is_refused_in_one_line_without_the_address(address: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        Messenger([address])
    assert told in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)
