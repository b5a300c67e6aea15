from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfer.errors import BadInput
from dfer.preparation.clips import Shard, alone_in
from helpers.locks import held_elsewhere

SHARDS = st.integers(1, 12).flatmap(lambda count: st.builds(Shard, st.integers(1, count), st.just(count)))


@given(SHARDS, SHARDS)
def test_shards_overlap_where_they_share_an_item(one: Shard, other: Shard) -> None:
    every = range(12 * 12)
    assert one.overlaps(other) == bool(set(one.of(every)) & set(other.of(every)))


@given(st.integers(1, 12), st.integers(0, 30))
def test_shards_partition_the_items(count: int, items: int) -> None:
    shards = [list(Shard(number, count).of(range(items))) for number in range(1, count + 1)]
    assert sorted(item for shard in shards for item in shard) == list(range(items))


@pytest.mark.parametrize(
    ("running", "started", "told"),
    [
        (Shard(1, 1), Shard(1, 1), "another prepare_videos.py is writing there"),
        (Shard(2, 3), Shard(2, 3), "another prepare_videos.py, shard 2/3, is writing there"),
        (Shard(2, 3), Shard(1, 1), "another prepare_videos.py, shard 2/3, is writing there"),
        (Shard(1, 1), Shard(2, 3), "another prepare_videos.py, shard 1/1, is writing there"),
        (Shard(3, 4), Shard(1, 2), "another prepare_videos.py, shard 3/4, is writing there"),
        (Shard(2, 3), Shard(1, 3), None),
        (Shard(2, 4), Shard(1, 2), None),
    ],
)
def test_videos_held_by_another_process_are_refused(
    tmp_path: Path, running: Shard, started: Shard, told: str | None
) -> None:
    with held_elsewhere(tmp_path / f".shard-{running.number}-of-{running.total}"):
        if told is None:
            with alone_in(tmp_path, started):
                pass
        else:
            with (
                pytest.raises(BadInput, match=f"^--out {tmp_path}: {told}; wait until it ends"),
                alone_in(tmp_path, started),
            ):
                pytest.fail("two at a time")
    assert list(tmp_path.iterdir()) == []


def test_stale_lock_files_are_ignored(tmp_path: Path) -> None:
    for name in (".shard-1-of-1", ".shard-1-of-2", ".shard-of-none"):
        (tmp_path / name).touch()
    with alone_in(tmp_path, Shard(1, 2)):
        pass
