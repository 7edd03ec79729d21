"""`output.store`: the address of an object store. Pure; what stands in it is never a secret, and nothing is asked."""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, WithJsonSchema

from batchgen.manifest.fields import Filled, wrong
from batchgen.manifest.words import shortened
from batchgen.model import STORE_SCHEMES

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# What would be read as a query, an escape or a pattern by some store or tool on the way.
_ODD = re.compile(r"[\x00-\x20\x7f?#%*\\]")
_SUCH = "such as s3://bucket/prefix (also gs://, az://, file:///folder, memory://)"


def _store(text: str | None) -> str | None:
    if text is None:
        return None
    scheme, mark, rest = text.strip().partition("://")
    root, _, prefix = rest.rstrip("/").partition("/") if scheme != "file" else ("", "", rest.strip("/"))
    if "@" in root or "?" in rest:
        # Not repeated: somebody may have put the key itself here.
        raise wrong("holds no credentials: they stand in the environment, such as AWS_ACCESS_KEY_ID")
    if not mark or scheme not in STORE_SCHEMES:
        raise wrong(f"'{shortened(text)}' is not the address of an object store, {_SUCH}")
    if scheme == "file" and not rest.startswith("/"):
        raise wrong(f"'{shortened(text)}' must be a whole path, as in file:///mnt/images")
    if scheme not in ("file", "memory") and not _BUCKET.fullmatch(root):
        raise wrong(f"'{shortened(text)}' must name a bucket, {_SUCH}")
    if _ODD.search(rest) or any(part in ("", ".", "..") for part in prefix.split("/") if prefix):
        raise wrong(f"'{shortened(text)}' must be plain words between slashes, {_SUCH}")
    return f"{scheme}://{rest.rstrip('/')}"


StoreAddress: TypeAlias = Annotated[
    Filled,
    AfterValidator(_store),
    WithJsonSchema({"type": "string", "pattern": f"^({'|'.join(STORE_SCHEMES)})://", "examples": ["s3://bucket/prefix"]}),
]
