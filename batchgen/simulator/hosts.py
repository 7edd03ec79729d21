"""Where the finished pictures lie: paths as the real hosts have them, who signs them, how long they live.

Pure. A host is a row of the table; `Host.file` makes one file of a picture there.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

from batchgen.simulator.links import DAY, Scheme
from batchgen.simulator.memory import File
from batchgen.simulator.picture import Picture

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


@dataclass(frozen=True, slots=True)
class Host:
    """`path` takes {task}, {hash}, {date}, {epoch}, {index} and {ending}; `life` is seconds."""

    path: str
    scheme: Scheme
    life: float
    format: str = "png"


HOSTS: Mapping[str, Host] = {
    "videos": Host("/vg-assets/assets%2F{task}%2Fsrc_{index}.{ending}", Scheme.AZURE, 6 * DAY + 3600),
    "preview": Host("/az/vg-assets/{task}%2F{epoch}_img_{index}.{ending}", Scheme.AZURE, 6 * DAY, "webp"),
    "cdn": Host("/cdn/{date}/{hash}.{ending}", Scheme.PLAIN, 7 * DAY),
    "cdn-webp": Host("/cdn/{date}/{hash}.{ending}", Scheme.PLAIN, 7 * DAY, "webp"),
    "r2": Host("/r2/gpt-image-2/{hash}.{ending}", Scheme.AMAZON, DAY),
    "bfl": Host("/results/{hash}/sample.{ending}", Scheme.AZURE, 600, "jpeg"),
    "dalle": Host("/private/images/{hash}/generated_0{index}.{ending}", Scheme.AZURE, 3600),
    "oss": Host("/dashscope-result/{hash}-1.{ending}", Scheme.ALIYUN, DAY),
    "tos": Host("/doubao-seedream-4-0/{hash}.{ending}", Scheme.VOLCENGINE, DAY, "jpeg"),
    "recraft": Host("/recraft/{hash}.{ending}", Scheme.PLAIN, 7 * DAY, "webp"),
}

ROOTS = frozenset(host.path.split("/")[1] for host in HOSTS.values())
"""first path segments that hold files"""


@dataclass(frozen=True, slots=True)
class Filing:
    """Which task of which provider files are made for, and when (epoch seconds).

    `life` in seconds overrides the hosts' own.
    """

    prefix: str
    task_id: str
    now: float
    life: float | None


def files_at(host: str, filing: Filing, pictures: tuple[Picture, ...]) -> tuple[File, ...]:
    """One file for each picture, under paths that follow from the task id."""
    place = HOSTS[host]
    task_id, now = filing.task_id, filing.now
    made = []
    for index, picture in enumerate(pictures):
        words = {
            "task": task_id,
            "hash": hashlib.blake2b(f"{task_id}/{host}/{index}".encode(), digest_size=15).hexdigest(),
            "date": time.strftime("%Y%m%d", time.gmtime(now)),
            "epoch": str(int(now)),
            "index": str(index),
            "ending": picture.format,
        }
        path = filing.prefix + place.path.format(**words)
        made.append(
            File(
                path=path,
                gen_id=new_id("gen_", now),
                scheme=place.scheme,
                life=place.life if filing.life is None else filing.life,
                dies_at=None if filing.life is None else now + filing.life,
                picture=picture,
            )
        )
    return tuple(made)


def new_id(kind: str, now: float) -> str:
    """A fresh id of the provider: `task_` or `gen_` and a ULID in lower case."""
    number = int(now * 1000) << 80 | secrets.randbits(80)
    return kind + "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
