from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from dfer.data.augmentation import prepare
from dfer.data.clips import (
    ClipsInMemory,
    ClipsOnDisk,
    DrawnClips,
    EpochOrder,
    PlainClips,
    default_workers,
    usable_cores,
)
from dfer.data.data_set import ListedClip
from dfer.data.folders import FolderTree
from dfer.rendering.clips import render_clips
from helpers.made_data import numbered, write_frames
from helpers.prepared import EvaluationClips, TrainingClips


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ClipsOnDisk:
    root = tmp_path_factory.mktemp("clips")
    tree = FolderTree(root)
    clips = []
    for clip in range(6):
        write_frames(root / str(clip), numbered(3 + 5 * clip), first=clip)
        clips.append(ListedClip(tree.frames(str(clip)), clip % 3, f"list:{clip}"))
    return ClipsOnDisk(clips, size=16, segments=2, per_segment=2)


def test_short_clips_repeat_frames(source: ClipsOnDisk) -> None:
    assert source.frames(0, None).shape == (4, 3, 16, 16)
    assert source.frames(0, torch.Generator()).shape == (4, 3, 16, 16)


@pytest.mark.parametrize("workers", [1, 2])
def test_clips_depend_on_seed_epoch_and_index_only(source: ClipsOnDisk, workers: int) -> None:
    def epochs(seed: int, workers: int) -> list[torch.Tensor]:
        order = EpochOrder(6, 0)
        loader = DataLoader(
            DrawnClips(source, seed),
            batch_size=4,
            sampler=order,
            num_workers=workers,
            persistent_workers=workers > 0,
            # Not forked: the process of the tests has threads, whose locks a fork may take along.
            multiprocessing_context="spawn" if workers > 0 else None,
        )
        batches = []
        for epoch in range(2):
            order.set_epoch(epoch)
            batches += [prepare(clips, draws) for clips, draws, _ in loader]
        return batches

    alone, others = epochs(5, 0), epochs(5, workers)
    assert all(one.equal(other) for one, other in zip(alone, others, strict=True))
    assert not any(one.equal(other) for one, other in zip(alone, epochs(6, 0), strict=True))
    assert not any(one.equal(other) for one, other in zip(alone[:2], alone[2:], strict=True))


def test_repeated_draws_of_a_clip_in_one_epoch_differ(source: ClipsOnDisk) -> None:
    clips = DrawnClips(source, 0)
    assert not clips[0, 5, 0][1].equal(clips[0, 5, 1][1])
    assert clips[0, 5, 1][1].equal(clips[0, 5, 1][1])


def test_preparing_clips_alone_equals_preparing_a_batch(source: ClipsOnDisk) -> None:
    drawn, plain = DrawnClips(source, 0), PlainClips(source)
    assert len(plain) == len(EvaluationClips(source)) == 6
    for augmented in (True, False):
        clip, label = TrainingClips(source, 0, augmented=augmented)[2, 3]
        frames, draws, same = drawn[2, 3]
        assert label == same == 0
        assert frames.dtype == torch.uint8
        torch.testing.assert_close(clip, prepare(frames[None], draws[None] if augmented else None)[0])
    torch.testing.assert_close(EvaluationClips(source)[4][0], prepare(plain[4][0][None])[0])


def test_content_depends_on_the_pictures_only(source: ClipsOnDisk, tmp_path: Path) -> None:
    write_frames(tmp_path / "moved", numbered(3, "{:05}.jpg"))
    moved = [ListedClip(FolderTree(tmp_path).frames("moved"), 0, "")]
    options = {"size": 16, "segments": 2, "per_segment": 2}
    assert ClipsOnDisk(moved, **options).content(0) == source.content(0)
    assert len({source.content(i) for i in range(6)}) == 6
    write_frames(tmp_path / "moved", numbered(3, "{:05}.jpg"), first=1)
    assert ClipsOnDisk(moved, **options).content(0) != source.content(0)
    rendered = render_clips("direction", people=1, frames=2, size=16, seed=0)
    memory = ClipsInMemory(rendered.clips, rendered.labels)
    assert memory.content(0) != memory.content(1)
    assert memory.check(0)[:2] == (2, [])


def test_default_workers() -> None:
    assert 1 <= default_workers() <= min(4, max(1, usable_cores() - 1))
