"""What an object store's complaint means, in a line for a tired user. Pure.

obstore's own texts quote addresses, queries and replies, and with them perhaps signatures or passwords: nothing
of them is repeated but the HTTP status, the store's machine word and the host.
"""

from __future__ import annotations

import re
from typing import Final

CREDENTIALS: Final = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_SERVICE_ACCOUNT, or GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
"""The variables that each kind of store reads, as far as most people need them."""

_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>([A-Za-z0-9]{3,60})</Code>|\"code\": ?\"([A-Za-z0-9]{3,60})\"")
_HOST: Final = re.compile(r"https?://(?:[^/\s@]*@)?([A-Za-z0-9.-]{1,200}(?::\d{1,5})?)[/\s]")

_KNOWN: Final = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (
            r"/latest/api/token|/latest/meta-data|computeMetadata|/metadata/identity|MissingAccessKeyId"
            r"|MissingSecretAccessKey|Missing(?:Access| Access)",
            "no credentials were found: set {credentials}",
        ),
        ("Account must be specified", "no account is named: set {credentials}"),
        ("(?i)credential error|Invalid Access Key", "the credentials can't be read: look at {credentials}"),
        ("NoSuchBucket|ContainerNotFound|bucket does not exist", "there is no such bucket"),
        (
            "PermanentRedirect|incorrectly configured region|AuthorizationHeaderMalformed|IllegalLocationConstraint",
            "the bucket is in another region: set AWS_REGION to its own",
        ),
        ("RequestTimeTooSkewed", "this machine's clock is wrong"),
        (
            "InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|ExpiredToken|AuthenticationFailed|code: 401",
            "the credentials are refused: look at {credentials}",
        ),
        ("AccessDenied|AuthorizationFailure|code: 403", "the credentials may not read, write, list and delete there"),
        ("BadScheme", "its endpoint must begin with https"),
        ("kind: Timeout", "{host} did not answer in time"),
        ("kind: Connect|error sending request", "{host} can't be reached"),
        ("UnableToCanonicalize|NotADirectory|Os {", "the folder can't be written"),
    )
)


def complaint(error: Exception, scheme: str) -> str:
    """What is wrong, and what to do about it where that is known. `scheme`: `s3`, `gs`, `az`, `file`, `memory`."""
    text = str(error)
    code = next((word for pair in _CODE.findall(text) for word in pair if word), None)
    status = found[1] if (found := _STATUS.search(text)) else None
    told = ", ".join(filter(None, (status and f"HTTP {status}", code)))
    host = found[1] if (found := _HOST.search(text)) else "the store"
    for known, words in _KNOWN:
        if known.search(text):
            said = words.format(credentials=CREDENTIALS.get(scheme, "nothing"), host=host)
            return f"{said} ({told})" if told else said
    if told:
        return f"{host} answered {told}"
    if scheme == "file":
        return "the folder can't be written"
    return f"it failed with {type(error).__name__}"
