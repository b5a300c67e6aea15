"""Parts of the clips for the processes of several machines, and no clip for two of them at once."""

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import gcd
from pathlib import Path
from typing import NamedTuple, TypeVar

from dfer.errors import BadInput
from dfer.lock import is_held, one_at_a_time

Item = TypeVar("Item")


class Shard(NamedTuple):
    """Every `total`-th item, from the `number`-th; counted from 1."""

    number: int
    total: int

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        return items[self.number - 1 :: self.total]

    def overlaps(self, other: "Shard") -> bool:
        """Whether some item is in both, however many there are.

        >>> Shard(1, 2).overlaps(Shard(3, 4)), Shard(1, 2).overlaps(Shard(2, 4))
        (True, False)
        """
        return (self.number - other.number) % gcd(self.total, other.total) == 0


@contextmanager
def alone_in(out: Path, shard: Shard) -> Iterator[None]:
    """Keep the shard's clips below `out`, which is made, for this process.

    BadInput where another process has some of them, or nothing can be written.
    """

    def refusal(other: Shard) -> str:
        which = "" if other == (1, 1) == shard else f", shard {other},"
        return (
            f"--out {out}: another prepare_videos.py{which} is writing there; wait for its end, or name another --out"
        )

    with ExitStack() as held:
        try:
            out.mkdir(parents=True, exist_ok=True)
            held.enter_context(one_at_a_time(out / f".shard-{shard.number}-of-{shard.total}", refusal(shard)))
        except OSError as error:
            raise BadInput(f"--out {out}: cannot be written ({error.strerror}); name another place") from None
        # Only now: of two that start together at least one sees the other.
        for file in out.glob(".shard-*-of-*"):
            if match := re.fullmatch(r"\.shard-(\d+)-of-(\d+)", file.name):
                other = Shard(int(match[1]), int(match[2]))
                # Its own file is not asked: to close it a second time would end the lock.
                if other != shard and shard.overlaps(other) and is_held(file):
                    raise BadInput(refusal(other))
        yield
