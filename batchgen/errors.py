"""Every way in which things go wrong, as one tree; the leaf decides what may be done about it.

    BatchgenError
    ├── UserError            the caller's mistake: one line, exit code 2
    │   ├── ManifestError        carries every mistake of the file at once
    │   └── UsageError
    ├── WorkspaceError       the workspace can't be used: exit code 4
    └── JobError             something about one attempt or one download; has a disposition
        ├── RETRY            RateLimited Saturated NoChannel ServerError NotSent EmptyReply NoImage
        │                    UpstreamLimit DownloadFailed StoreDown NotThereYet ReferenceLost ReferenceUnread
        ├── RECOVER / HOLD   Interrupted (time-out, reset, cut, 504, 524) Unfinished
        ├── HOLD             Unreadable TaskUnknown
        ├── END              Refused BadRequest UnknownModel BadReference LinkDead BadImage Blocked TaskFailed
        └── STOP_PROVIDER    BadKey QuotaSpent NotAllowed WrongAddress

`kind` is the word that the ledger and `jobs --json` hold. Nothing here decides about time: see retry.py.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import ClassVar, Self


class Disposition(Enum):
    """What a failure permits. The retry policy adds the when and the how often."""

    RETRY = "retry"
    RECOVER = "recover"
    HOLD = "hold"
    END = "end"
    STOP_PROVIDER = "stop provider"


class BatchgenError(Exception):
    """Root of everything that batchgen raises on purpose."""


class UserError(BatchgenError):
    """The command line, the manifest or a profile is wrong; nothing was sent."""

    exit_code: ClassVar[int] = 2


class UsageError(UserError):
    """A wrong option, a missing key variable, a missing extra: one line that says what to do."""


class ManifestError(UserError):
    """All mistakes of a manifest at once, one line each, in the order of the file."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class WorkspaceError(BatchgenError):
    """Another run holds the workspace, the ledger is damaged or newer, or the disk is full."""

    exit_code: ClassVar[int] = 4


class JobError(BatchgenError):
    """A failure of one attempt, task query or download.

    `code` is the provider's machine word, `status` the HTTP status, `retry_after` seconds that the
    provider asked to wait, `request_id` what its support wants to hear. No secret may be in any.
    """

    kind: ClassVar[str] = "error"
    disposition: ClassVar[Disposition] = Disposition.END
    refused: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.retry_after = retry_after
        self.request_id = request_id

    def saying(self, message: str) -> Self:
        """The same failure in other words."""
        return type(self)(
            message,
            code=self.code,
            status=self.status,
            retry_after=self.retry_after,
            request_id=self.request_id,
        )

    def reworded(self, change: Callable[[str], str]) -> Self:
        """The same failure with each of its texts changed so."""
        told = self.saying(change(self.message))
        told.code, told.request_id = self.code and change(self.code), self.request_id and change(self.request_id)
        return told

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword arguments do not survive pickling by themselves, and engines send errors across.
        return (type(self), (self.message,), self.__dict__)


# --- worth another try -------------------------------------------------------------------------


class RateLimited(JobError):
    """429: a rate (requests, images or tokens a minute), not a quota."""

    kind = "rate_limit"
    disposition = Disposition.RETRY


class Saturated(JobError):
    """The gateway's channels are full; later, and with less at once."""

    kind = "saturated"
    disposition = Disposition.RETRY


class NoChannel(JobError):
    """503 without a channel for the model: a short outage, or a spelling error."""

    kind = "no_channel"
    disposition = Disposition.RETRY


class ServerError(JobError):
    """A complete 5xx answer that says the work did not happen."""

    kind = "server_error"
    disposition = Disposition.RETRY


class NotSent(JobError):
    """Refused connection, DNS or TLS failure: the request never left, so nothing was billed."""

    kind = "connection"
    disposition = Disposition.RETRY


class NoWorker(NotSent):
    """No worker of the cluster took it in time: the request never left, and the provider was not asked."""


class EmptyReply(JobError):
    """200 with nothing in it."""

    kind = "empty_reply"
    disposition = Disposition.RETRY


class NoImage(JobError):
    """200 with text and no image, and no word that explains it."""

    kind = "no_image"
    disposition = Disposition.RETRY


class UpstreamLimit(JobError):
    """200 whose text says that the gateway's own account is at its limit; another may serve us."""

    kind = "upstream_limit"
    disposition = Disposition.RETRY


class DownloadFailed(JobError):
    """A download broke on the way: reset, truncation, 5xx, time-out. The link may still be good."""

    kind = "download"
    disposition = Disposition.RETRY


class StoreDown(JobError):
    """The object store of the images refuses or does not answer; the verified image waits in the workspace.

    Where nothing can go on without the store, it is like a workspace that can't be used: exit code 4.
    """

    kind = "store"
    disposition = Disposition.RETRY
    exit_code: ClassVar[int] = WorkspaceError.exit_code


class NotThereYet(JobError):
    """404 well before the deadline: the file may not have reached its host yet."""

    kind = "not_there_yet"
    disposition = Disposition.RETRY


class ReferenceLost(JobError):
    """A reference that is a link can't be had just now. The provider was not asked: this is no word of it."""

    kind = "reference_lost"
    disposition = Disposition.RETRY


class ReferenceUnread(JobError):
    """The provider could not fetch a reference from its link; as bytes it may take it."""

    kind = "reference_unread"
    disposition = Disposition.RETRY


# --- outcome unknown ---------------------------------------------------------------------------


class Interrupted(JobError):
    """The request had left and no final status was read: it may run on and may be billed."""

    kind = "interrupted"
    disposition = Disposition.RECOVER


class WorkerLost(Interrupted):
    """The worker that had been told to send the request was lost: it may have left, and may be billed."""


class Unfinished(JobError):
    """A log with a task id and no image: the work goes on at the provider."""

    kind = "unfinished"
    disposition = Disposition.RECOVER


class TaskUnknown(JobError):
    """The provider does not know the task that it named: not failed, not done, nobody can tell."""

    kind = "task_unknown"
    disposition = Disposition.HOLD


class Unreadable(JobError):
    """A complete 200 that can't be read at all: billed for certain, result unknown."""

    kind = "unreadable"
    disposition = Disposition.HOLD


# --- final for this job ------------------------------------------------------------------------


class Refused(JobError):
    """Content policy, at the gateway, at the model, or in the words of its answer."""

    kind = "refused"
    refused = True


class BadRequest(JobError):
    """The provider will never take this request as it is."""

    kind = "bad_request"


class UnknownModel(JobError):
    """No such model at this provider, or not for this key."""

    kind = "unknown_model"


class BadReference(JobError):
    """A reference or mask that is missing, unreadable or refused as an image."""

    kind = "bad_reference"


class TaskFailed(JobError):
    """The provider's task ended without an image."""

    kind = "task_failed"


class LinkDead(JobError):
    """403, 410, a lasting 404 or a passed deadline: asking again is useless."""

    kind = "link_dead"


class BadImage(JobError):
    """The bytes are no image, are cut, or are larger than allowed."""

    kind = "bad_image"


class Blocked(JobError):
    """The address may not be fetched: not http(s), private, or too many redirects."""

    kind = "blocked"


# --- final for this provider -------------------------------------------------------------------


class BadKey(JobError):
    """The key is wrong, expired or switched off."""

    kind = "bad_key"
    disposition = Disposition.STOP_PROVIDER


class NoKey(BadKey):
    """None of the variables that hold the provider's keys is set: nothing was asked."""


class QuotaSpent(JobError):
    """The account or the key has no money left."""

    kind = "quota"
    disposition = Disposition.STOP_PROVIDER


class NotAllowed(JobError):
    """User banned, address not on the key's list."""

    kind = "not_allowed"
    disposition = Disposition.STOP_PROVIDER


class WrongAddress(JobError):
    """The base URL or endpoint is not one that this provider has."""

    kind = "wrong_address"
    disposition = Disposition.STOP_PROVIDER
