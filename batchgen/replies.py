"""One reply as it arrives: decoded on the way, kept for the ledger, judged at its end.

Pure bookkeeping between the transport's items and the worker's events; it touches no socket.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from batchgen import codecs
from batchgen.codecs.base import Answer, Decoder
from batchgen.codecs.faults import classify
from batchgen.codecs.redact import without_keys
from batchgen.codecs.waits import allowance, request_id
from batchgen.errors import Interrupted, JobError
from batchgen.events import Allowance, Progress, Replied, TaskSeen
from batchgen.providers.profile import Profile
from batchgen.transport import Head

LONGEST_ERROR_BODY = 1 << 20


class Reply:
    """One reply as it arrives: a good one is decoded on the way, an error body is collected."""

    def __init__(self, profile: Profile, now: Callable[[], float], secrets: Collection[str] = ()) -> None:
        """`secrets`: what is taken out of the text that is kept."""
        self._profile = profile
        self._now = now
        self._secrets = secrets
        self._head: Head | None = None
        self._decoder: Decoder | None = None
        self._body = bytearray()
        self._task_told = False
        self._streamed = False
        self._link_open = False
        self._links = 0

    def take(self, item: Head | bytes) -> list[TaskSeen | Progress | Allowance]:
        """The next item of the transport; returns what became known by it."""
        if isinstance(item, Head):
            self._head = item
            if item.status < 300:
                self._decoder = codecs.decoder(self._profile.endpoint, item.headers.get("content-type", ""))
                told = allowance(item.headers, now=self._now())
                return [told] if told is not None else []
            return []
        if self._decoder is None:
            self._body += item[: LONGEST_ERROR_BODY - len(self._body)]
            return []
        self._streamed = self._streamed or item.startswith((b"data:", b"event:", b":"))
        facts = self._decoder.feed(item)
        self._task_told = self._task_told or any(isinstance(fact, TaskSeen) for fact in facts)
        return [*facts]

    def early(self, item: Head | bytes) -> Replied | None:
        """The stream so far, when a link in it may just have become whole: no crash may lose that."""
        if self._decoder is None or not self._streamed or isinstance(item, Head):
            return None
        self._link_open = self._link_open or b"http" in item
        if not self._link_open or b")" not in item:
            return None
        self._link_open = False
        kept = self.kept()
        links = kept.text.count("http") if kept else 0
        if links <= self._links:
            return None
        self._links = links
        return kept

    def kept(self) -> Replied | None:
        """What the ledger keeps of the reply, once there is one."""
        if self._head is None:
            return None
        text = self._decoder.kept() if self._decoder else self._body.decode("utf-8", "replace")[:65536]
        id_of_it = request_id(self._head.headers)
        clean = id_of_it and without_keys(id_of_it, self._secrets)
        return Replied(self._head.status, clean, without_keys(text, self._secrets))

    def answer(self, cut: Interrupted | None, ask: int) -> Answer | Exception:
        """The images of the reply, or the leaf that says why there are none (or a mistake of ours).

        `cut`: the connection broke. Then an error status that was read stands, and so do the images
        when all `ask` of them are there; anything else is unknown.
        """
        if self._head is None:
            return cut or Interrupted("the connection closed before any answer")
        if self._decoder is None:
            return classify(self._head.status, self._head.headers, bytes(self._body), now=self._now())
        try:
            answer = self._decoder.finish()
        except JobError as error:
            return cut or error
        except Exception as bug:  # the caller raises it, once the reply is kept
            return bug
        return cut if cut is not None and len(answer.images) < ask else answer

    def untold_task(self, answer: Answer | Exception) -> str | None:
        """The task id of the judged reply, when no event has told it."""
        if self._task_told or self._decoder is None:
            return None
        return answer.task_id if isinstance(answer, Answer) else self._decoder.task_id
