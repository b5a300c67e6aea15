from collections import Counter
from pathlib import Path

import pytest
import torch

from dfer.data.checks import copies
from dfer.data.clips import ClipsInMemory
from dfer.data.packing import pack
from dfer.training.command_line import parse
from dfer.training.identity import contents
from dfer.training.load_data import load_data
from helpers.tiny_runs import write_coloured_lists


def clips(*shades: int) -> ClipsInMemory:
    frames = torch.tensor(shades, dtype=torch.uint8)[:, None, None, None, None].expand(-1, 2, 3, 4, 4)
    return ClipsInMemory(frames, torch.zeros(len(shades)))


def test_copy_in_another_part_is_reported() -> None:
    sources = {"training": clips(1, 2, 3, 3), "test": clips(4, 3, 1), "validation": clips(5, 6)}
    found = {part: [source.content(i) for i in range(len(source.labels))] for part, source in sources.items()}
    assert copies(sources, found) == [
        "2 of 3 test clips look the same as training clips, first rendered clip 1 and rendered clip 2; "
        "scores on copies say nothing"
    ]


def test_clips_with_one_common_frame_are_not_copies() -> None:
    one, other = clips(1, 2), clips(1, 3)
    other.clips = other.clips.clone()
    other.clips[0, 0] = 9
    assert copies({"training": one, "test": other}, {"training": [b"a", b"b"], "test": [b"a", b"c"]}) == []


def test_clips_that_look_alike_are_read_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty black clips in each of three parts take 150 reads, not 7,500 comparisons."""
    sources = {part: clips(*[0] * 50) for part in ("training", "test", "validation")}
    read, frames = Counter[int](), ClipsInMemory.frames

    def counted(self: ClipsInMemory, index: int, generator: torch.Generator | None) -> torch.Tensor:
        read[id(self)] += 1
        return frames(self, index, generator)

    monkeypatch.setattr(ClipsInMemory, "frames", counted)
    remarks = copies(sources, {part: [b"black"] * 50 for part in sources})
    assert len(remarks) == 3
    assert all(remark.startswith("50 of 50 ") for remark in remarks)
    assert list(read.values()) == [50] * 3


def test_packed_link_is_a_copy(tmp_path: Path) -> None:
    """In folders, links are followed and the clip is refused; a store contains it twice."""
    root = write_coloured_lists(tmp_path / "clips")
    for frame in (root / "test0").iterdir():
        frame.unlink()
    (root / "test0").rmdir()
    (root / "test0").symlink_to("train7")
    pack(root, tmp_path / "store", 16)
    line = f"--list {root}/train.txt --test-list {root}/test.txt --frames-root {tmp_path}/store --size 16 --frames 2"
    data = load_data(parse(line.split(), prog="", description=""))
    parts = {"training": data.training, "validation": data.validation, "test": data.test}
    (remark,) = copies(parts, contents(data))
    assert "1 of 8 test clips look the same as" in remark
    assert "store/test0 and" in remark
    assert "store/train7" in remark
