import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from dfer.data.checks import check_frames, each_once, not_scored, question
from dfer.data.clips import ClipsInMemory, ClipsOnDisk
from dfer.data.data_set import DataSet, ListedClip
from dfer.data.folders import FolderTree
from dfer.errors import BadInput
from dfer.rendering.clips import render_clips
from helpers.made_data import numbered, write_frames


def clips(root: Path, part: str, labels: Sequence[int], folders: Sequence[str] | None = None) -> list[ListedClip]:
    tree = FolderTree(root)
    found = []
    for number, label in enumerate(labels, start=1):
        folder = folders[number - 1] if folders else f"{part}{number}"
        write_frames(root / folder, numbered(2), first=number)
        found.append(ListedClip(tree.frames(folder), label, f"{part}.txt:{number}"))
    return found


def ask(
    root: Path, training: Sequence[int], test: Sequence[int], names: tuple[str, ...] = (), **more: int
) -> list[str]:
    data = DataSet(names, clips(root, "train", training), clips(root, "test", test))
    return question(data, **more)


def test_valid_data_give_no_remarks(tmp_path: Path) -> None:
    assert ask(tmp_path, [0, 1, 2, 0], [2, 1], batch_size=4) == []


@pytest.mark.parametrize(
    ("training", "test", "message"),
    [
        ([1, 2, 3], [2, 3], r"the labels are 1 to 3, first train.txt:1; they are counted from 0: give --first-label 1"),
        ([0, 1, 71, 1], [0], r"train.txt:3: label 71 makes 72 classes, 69 of them without any clip; is another number"),
        ([0, 1], [1, 903623], r"test.txt:2: label 903623 makes 903624 classes"),
        ([0, 1], [1, 10**20], r"test.txt:2: label 10{20} makes 10{19}1 classes, 9{19}8 of them without any clip"),
        ([0, 0, 0], [0], r"all 3 training clips have the label 0: there is nothing to learn"),
        ([1, 1], [0, 1], r"all 2 training clips have the label 1: there is nothing to learn"),
    ],
)
def test_meaningless_labels_are_refused(tmp_path: Path, training: list[int], test: list[int], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        ask(tmp_path, training, test)


@pytest.mark.parametrize(
    ("training", "test", "names", "message"),
    [
        ([0, 1, 3], [0], (), "no clip at all shows 2; the net gets 4 outputs"),
        ([0, 1, 2], [0], ("sad", "glad", "calm", "cross"), "no clip at all shows cross; the net gets 4 outputs"),
        ([0, 1], [2, 0], (), "no training clip shows 2: the net cannot learn it, and its recall will be 0"),
        (
            [0, 2],
            [2, 1],
            ("a", "b", "c"),
            "no training clip shows b: the net cannot learn it, and its recall will be 0",
        ),
    ],
)
def test_incomplete_labels_give_a_remark(
    tmp_path: Path, training: list[int], test: list[int], names: tuple[str, ...], message: str
) -> None:
    assert ask(tmp_path, training, test, names) == [message]


def test_classes_missing_in_a_part_are_reported(tmp_path: Path) -> None:
    training, test = clips(tmp_path, "train", [0, 1, 2, 2]), clips(tmp_path, "test", [1, 1])
    assert not_scored("test", test, training, ("sad", "glad", "calm")) == [
        "no test clip shows sad, calm: UAR there is the mean over the others"
    ]
    assert not_scored("test", [*test, training[0], training[3]], training, ()) == []


def test_fewer_clips_than_a_batch(tmp_path: Path) -> None:
    assert ask(tmp_path, [0, 1, 0], [1], batch_size=4) == [
        "3 training clips are fewer than the 4 of a batch: each epoch is one step on them all"
    ]


def test_clips_in_two_parts_are_refused(tmp_path: Path) -> None:
    training = clips(tmp_path, "train", [0, 1, 0], ["a", "b", "c"])
    (tmp_path / "link").symlink_to(tmp_path / "b")
    test = clips(tmp_path, "test", [0, 1, 0], ["d", "link", "c"])
    expected = "2 of 3 test clips are training clips too, first test.txt:2 and train.txt:2: scores on them say nothing"
    with pytest.raises(BadInput, match=expected):
        question(DataSet((), training, test))
    with pytest.raises(BadInput, match="test clips are validation clips too"):
        question(DataSet((), training[:2], test[2:], validation=training[2:]))


def test_repeated_clips_count_once(tmp_path: Path) -> None:
    training = clips(tmp_path, "train", [0, 1, 0, 1], ["a", "b", "a", "b"])
    test = clips(tmp_path, "test", [1], ["c"])
    data = each_once(DataSet((), training, test, remarks=("before",)))
    assert (data.training, data.validation, data.test) == (training[:2], None, test)
    assert data.remarks == ["before", "2 of 4 training clips are repeated, first at train.txt:3; each counts once"]
    assert [str(change) for change in data.changes] == [
        f"train.txt:3: {tmp_path}/a: listed before; left out",
        f"train.txt:4: {tmp_path}/b: listed before; left out",
    ]
    assert each_once(DataSet((), test, test, validation=training)).validation == training[:2]
    training[2] = training[2]._replace(label=1)
    with pytest.raises(BadInput, match=r"train.txt:1 and train.txt:3: the same clip with the labels 0 and 1"):
        each_once(DataSet((), training, test))


def test_frames_that_are_not_square_are_reported(tmp_path: Path) -> None:
    training = clips(tmp_path, "train", [0, 1, 1])
    for number in (1, 2):
        Image.new("RGB", (20, 10)).save(tmp_path / f"train2/{number}.jpg")
    (remark,) = question(DataSet((), training, clips(tmp_path, "test", [1])))
    assert re.fullmatch(
        r"1 of 4 clips have frames that are not square, first .*train2 \(20 x 10\): "
        "of each frame the middle square is taken",
        remark,
    )


def test_check_frames_counts_broken_frames(tmp_path: Path) -> None:
    def source() -> ClipsOnDisk:
        return ClipsOnDisk(clips(tmp_path, "clip", [0, 1, 0]), size=16, segments=1, per_segment=1)

    rendered = render_clips("direction", people=1, frames=3, size=16, seed=0)
    memory = ClipsInMemory(rendered.clips, rendered.labels)
    found = check_frames({"training": source(), "test": memory})
    assert {part: sum(clip.frames for clip in clips) for part, clips in found.items()} == {"training": 6, "test": 6}
    whole = source()
    for broken in ("clip1/2.jpg", "clip3/1.jpg"):
        content = (tmp_path / broken).read_bytes()
        (tmp_path / broken).write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInput, match=r"2 of 6 frames are broken, first .*clip1/2\.jpg: cannot be read as a picture"):
        check_frames({"test": whole})
