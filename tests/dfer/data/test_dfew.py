from pathlib import Path

import pytest

from dfer.data.dfew import FOLDS, read_dfew
from dfer.data.folders import FolderTree
from dfer.errors import BadInput
from helpers.made_data import write_dfew


@pytest.mark.parametrize("first_label", [1, 0])
def test_fold_is_read_with_labels_from_0_or_1(tmp_path: Path, first_label: int) -> None:
    write_dfew(tmp_path, first_label=first_label)
    for fold in FOLDS:
        data = read_dfew(tmp_path, fold)
        assert (len(data.training), len(data.test)) == (21, 7)
    assert data.names[data.training[0].label] == "happy"
    assert [clip.label for clip in data.training] == [label for label in range(7) for _ in range(3)]
    assert [clip.label for clip in data.test] == list(range(7))
    # Natural order: 10 comes after 2.
    assert [path.name for path in data.test[0].frames][-2:] == ["10.jpg", "11.jpg"]
    assert data.training[0].subject is None
    assert data.validation is None
    assert len(data.remarks) == (first_label == 0)


def test_ambiguous_labels_count_from_1(tmp_path: Path) -> None:
    write_dfew(tmp_path, clips=8)
    (tmp_path / "EmoLabel_DataSplit/train(single-labeled)/set_1.csv").write_text("video_name,label\n1,2\n2,3\n")
    (tmp_path / "EmoLabel_DataSplit/test(single-labeled)/set_1.csv").write_text("video_name,label\n00003,2\n")
    assert [clip.label for clip in read_dfew(tmp_path, 1).training] == [1, 2]


def test_other_columns_are_ignored(tmp_path: Path) -> None:
    write_dfew(tmp_path)
    table = tmp_path / "EmoLabel_DataSplit/train(single-labeled)/set_1.csv"
    table.write_text('video_name, note,label\n1,"a, 3",2\n2, "b, ""c"", 4", "5",\n3,,6\n')
    assert [clip.label for clip in read_dfew(tmp_path, 1).training] == [1, 4, 5]


def test_repeated_columns_and_long_rows_are_refused(tmp_path: Path) -> None:
    write_dfew(tmp_path)
    table = tmp_path / "EmoLabel_DataSplit/train(single-labeled)/set_1.csv"
    table.write_text("video_name,label,label\n1,2,3\n")
    with pytest.raises(BadInput, match=r"set_1\.csv: expected a first line .* each once, got 'video_name,label,label'"):
        read_dfew(tmp_path, 1)
    table.write_text("x" * 200_000)
    with pytest.raises(BadInput, match=r"set_1\.csv: cannot be read as a split of DFEW \(field larger"):
        read_dfew(tmp_path, 1)
    table.write_text("video_name,label\n1,2\na,b,1,2\n")
    with pytest.raises(BadInput, match=r"set_1\.csv:3: expected 2 fields, got 4"):
        read_dfew(tmp_path, 1)


def test_frames_may_be_in_another_folder(tmp_path: Path) -> None:
    write_dfew(tmp_path)
    (tmp_path / "Clip/clip_224x224").rename(tmp_path / "frames")
    data = read_dfew(tmp_path, 3, FolderTree(tmp_path / "frames"))
    assert str(data.training[0].frames) == str(tmp_path / "frames/00001")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,8", r"expected labels 1 to 7 \(or 0 to 6\) in DFEW's splits, got \[1, 2, 3, 4, 5, 6, 7, 8\]"),
        ("one,1", r"set_1.csv:2: expected `<id>,<label>`, got one,1"),
        ("1", r"set_1.csv:2: expected 2 fields, got 1"),
        ("99,1", r"no folder for 1 of 1 clips, first at line 2: Clip/clip_224x224/00099"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, row: str, message: str) -> None:
    write_dfew(tmp_path)
    (tmp_path / "EmoLabel_DataSplit/train(single-labeled)/set_1.csv").write_text(f"video_name,label\n{row}\n")
    with pytest.raises(BadInput, match=message):
        read_dfew(tmp_path, 1)


def test_wrong_folders_and_folds_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"set_1\.csv: cannot be read as a split of DFEW"):
        read_dfew(tmp_path, 1)
    with pytest.raises(BadInput, match="DFEW has the folds 1 to 5; got 6"):
        read_dfew(tmp_path, 6)
    write_dfew(tmp_path)
    (tmp_path / "EmoLabel_DataSplit/test(single-labeled)/set_1.csv").write_text("1,1,1\n")
    with pytest.raises(
        BadInput, match=r"set_1\.csv: expected a first line with the columns video_name,label, each once, got '1,1,1'"
    ):
        read_dfew(tmp_path, 1)


def test_split_without_a_heading_is_read(tmp_path: Path) -> None:
    write_dfew(tmp_path)
    expected = read_dfew(tmp_path, 1)
    for table in tmp_path.glob("EmoLabel_DataSplit/*/set_1.csv"):
        table.write_text(table.read_text(encoding="utf-8-sig").partition("\n")[2])
    read = read_dfew(tmp_path, 1)
    assert [clip[1] for clip in read.training] == [clip[1] for clip in expected.training]
    assert len(read.test) == len(expected.test)


@pytest.mark.parametrize("doubled", ["Clip/clip_224x224", "Clip", "EmoLabel_DataSplit", "."])
def test_folders_doubled_by_unzip_are_found(tmp_path: Path, doubled: str) -> None:
    root = tmp_path / "DFEW"
    write_dfew(root)
    expected = [str(clip.frames)[-5:] for clip in read_dfew(root, 1).training]
    folder = root / doubled
    folder.rename(tmp_path / "moved")
    folder.mkdir()
    (tmp_path / "moved").rename(folder / folder.name)
    read = read_dfew(root, 1)
    assert [str(clip.frames)[-5:] for clip in read.training] == expected
    assert any("one folder further" in remark or "read from its folder" in remark for remark in read.remarks)
    (folder / folder.name).rename(tmp_path / "moved")
    with pytest.raises(BadInput):
        read_dfew(root, 1)
