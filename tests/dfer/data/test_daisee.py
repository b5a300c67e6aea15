import re
import shutil
from itertools import product
from pathlib import Path

import pytest

from dfer.data.daisee import KEPT, NAMES, clips_of, label_of, read_daisee, read_rows, undersample
from dfer.data.data_set import ListedClip
from dfer.data.folders import FolderTree
from dfer.data.packing import open_place, pack
from dfer.errors import BadInput
from helpers.made_data import DAISEE_TRAIN, write_daisee


def read(root: Path, **options: str) -> tuple[dict[str, list[tuple[str, str, str | None]]], tuple[str, ...]]:
    data = read_daisee(root / "Labels", FolderTree(root / "faces"), seed=0, **options)
    assert data.validation is not None
    parts = {"training": data.training, "validation": data.validation, "test": data.test}
    return {
        part: [(Path(str(clip.frames)).name, NAMES[clip.label], clip.subject) for clip in clips]
        for part, clips in parts.items()
    }, data.remarks


def test_the_training_part(tmp_path: Path) -> None:
    write_daisee(tmp_path)
    parts, remarks = read(tmp_path)
    assert parts["training"] == [
        ("1100011002", "engagement", "110001"),
        ("1100011003", "engagement", "110001"),
        ("1100011004", "boredom", "110001"),
        ("1100012001", "boredom", "110001"),
        ("2056011", "confusion", "205601"),
        ("20560120", "frustration", "205601"),
        ("2056013", "frustration", "205601"),
    ]
    text = "\n".join(remarks)
    assert "1 of 8 clips have no folder, first at line 9: DataSet/Train/210055/2100552061" in text
    assert "1 clips have all levels 0, first at line 7: the tie rule makes them frustration" in text
    changes = read_daisee(tmp_path / "Labels", FolderTree(tmp_path / "faces"), seed=0).changes
    labels = tmp_path / "Labels/TrainLabels.csv"
    assert changes == (
        f"{labels}:9: DataSet/Train/210055/2100552061/2100552061: no folder; left out",
        f"{labels}:7: 20560120: all levels are 0; labelled frustration",
    )
    table = remarks[[remark.startswith("DAiSEE's clips") for remark in remarks].index(True)]
    assert re.search(r"Train +2 -> 2 +2 -> 2 +1 -> 1 +2 -> 2\n", table)


def test_parts_are_the_folders_and_the_papers_are_exchanged(tmp_path: Path) -> None:
    write_daisee(tmp_path)
    official, _ = read(tmp_path)
    paper, remarks = read(tmp_path, parts="paper")
    assert (len(official["validation"]), len(official["test"])) == (4, 5)
    assert official["test"][0][0].startswith("5000")
    assert (paper["validation"], paper["test"]) == (official["test"], official["validation"])
    assert "Test chooses the epoch and Validation is reported" in remarks[-1]


def test_frames_one_folder_higher_are_found(tmp_path: Path) -> None:
    write_daisee(tmp_path)
    doubled, _ = read(tmp_path)
    for folder in [path for path in (tmp_path / "faces").glob("*/*/*/*") if path.is_dir()]:
        for frame in folder.iterdir():
            frame.rename(folder.parent / frame.name)
        folder.rmdir()
    assert read(tmp_path)[0] == doubled


def test_the_label_is_the_highest_level_and_ties_follow_the_paper() -> None:
    order = ("frustration", "confusion", "boredom", "engagement")
    for levels in product(range(4), repeat=4):
        tied = {name for name, level in zip(NAMES, levels, strict=True) if level == max(levels)}
        assert NAMES[label_of(levels)] == next(name for name in order if name in tied)


def test_undersampling_gives_the_table_of_the_paper() -> None:
    """Table 1: the counts found in the real labels of a folder, and those of boredom and engagement that are kept."""
    table = {
        "Train": ((849, 4163, 275, 194), (259, 582)),
        "Validation": ((470, 1040, 106, 104), (139, 312)),
        "Test": ((264, 1301, 90, 68), (91, 204)),
    }
    for part, (counts, expected) in table.items():
        clips = [ListedClip(None, label, str(i)) for label, count in enumerate(counts) for i in range(count)]  # type: ignore[arg-type]
        kept = undersample(clips, KEPT[part], "0")
        assert tuple(sum(clip.label == label for clip in kept) for label in range(4)) == (*expected, *counts[2:])
        assert kept == undersample(clips, KEPT[part], "0")
        assert kept != undersample(clips, KEPT[part], "1")
        places = [clips.index(clip) for clip in kept[:20]]
        assert places == sorted(places)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "1100011002.avi,0,2,0,4",
            r"TrainLabels\.csv:2: expected a clip's id and four levels 0 to 3, got 1100011002.avi",
        ),
        ("clip.avi,0,2,0,1", r"TrainLabels\.csv:2: expected a clip's id"),
        ("1100011002.avi,0,2", r"TrainLabels\.csv:2: expected 5 fields, got 3"),
        ("9900011002.avi,0,2,0,0", r"1 of 1 clips have no folder, first at line 2"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, row: str, message: str) -> None:
    write_daisee(tmp_path)
    (tmp_path / "Labels/TrainLabels.csv").write_text(f"ClipID,Boredom,Engagement,Confusion,Frustration \n{row}\n")
    with pytest.raises(BadInput, match=message):
        read(tmp_path)


def test_raw_videos_are_sent_to_prepare_videos(tmp_path: Path) -> None:
    write_daisee(tmp_path)
    for stem in ("5000011001", "5000021001"):
        folder = tmp_path / f"DataSet/Test/{stem[:6]}/{stem}"
        folder.mkdir(parents=True)
        (folder / f"{stem}.avi").touch()
    file = tmp_path / "Labels/TestLabels.csv"
    with pytest.raises(BadInput, match=r"2 of 5 clips are videos .*run prepare_videos\.py"):
        clips_of(file, read_rows(file), "Test", FolderTree(tmp_path / "DataSet"))


def to_all_labels(labels: Path) -> None:
    """One table in place of three, in which other ids end in .mp4."""
    tables = [labels / f"{part}Labels.csv" for part in KEPT]
    rows = [row for table in tables for row in table.read_text().splitlines()[1:]]
    rows = [row.replace(".avi", ".mp4") if number % 3 == 0 else row for number, row in enumerate(rows)]
    (labels / "AllLabels.csv").write_text("\n".join([tables[0].read_text().splitlines()[0], *rows]) + "\n")
    for table in tables:
        table.unlink()


@pytest.mark.parametrize("root", ["faces", "."])
@pytest.mark.parametrize("packed", [False, True])
def test_all_labels_alone_are_split_by_the_folders(tmp_path: Path, packed: bool, root: str) -> None:
    write_daisee(tmp_path)
    (tmp_path / "faces").rename(tmp_path / "DataSet")
    (tmp_path / "faces").mkdir()
    (tmp_path / "DataSet").rename(tmp_path / "faces" / "DataSet")
    shutil.rmtree(tmp_path / "faces/DataSet/Validation/330001")
    (tmp_path / "faces/DataSet/Validation/330001/3300011001").mkdir(parents=True)
    (tmp_path / "faces/DataSet/Validation/330001/3300011001/3300011001.json").write_text('{"status": "no face"}')
    place = tmp_path / "faces" / ("DataSet" if root == "faces" else ".")
    if packed:
        pack(place, tmp_path / "store", 16)
        place = tmp_path / "store"
    of_parts = read_daisee(tmp_path / "Labels", open_place(place), seed=0)
    to_all_labels(tmp_path / "Labels")
    of_all = read_daisee(tmp_path / "Labels", open_place(place), seed=0)
    for part in ("training", "validation", "test"):
        one, other = (
            [(str(clip.frames), clip.label, clip.subject) for clip in getattr(data, part)]
            for data in (of_parts, of_all)
        )
        assert one == other
        assert one
    text = "\n".join(of_all.remarks)
    assert "1 of 17 clips have no folder in Train, Validation, Test, first at line 9: 2100552061; left out" in text
    assert "1 of 4 clips could not be made of their videos, first at line 10" in text
    assert len(of_all.changes) == len(of_parts.changes) == 3


def test_the_tables_of_the_parts_are_asked_before_all_labels(tmp_path: Path) -> None:
    write_daisee(tmp_path)
    before = read(tmp_path)
    (tmp_path / "Labels/AllLabels.csv").write_text("no table")
    assert read(tmp_path) == before
    (tmp_path / "Labels/TestLabels.csv").unlink()
    with pytest.raises(BadInput, match=r"TestLabels\.csv: cannot be read as labels of DAiSEE"):
        read(tmp_path)


def test_all_labels_without_one_of_the_folders(tmp_path: Path) -> None:
    write_daisee(tmp_path)
    to_all_labels(tmp_path / "Labels")
    (tmp_path / "faces/Test").rename(tmp_path / "faces/Other")
    with pytest.raises(
        BadInput, match=r"AllLabels\.csv: none of its 17 clips is in a folder Test; point --frames-root"
    ):
        read(tmp_path)


def test_the_folder_above_labels_may_be_given(tmp_path: Path) -> None:
    write_daisee(tmp_path)
    place = FolderTree(tmp_path / "faces")
    assert read_daisee(tmp_path, place, seed=0).remarks == read_daisee(tmp_path / "Labels", place, seed=0).remarks


def test_a_table_without_its_heading_has_the_published_columns(tmp_path: Path) -> None:
    write_daisee(tmp_path)
    expected, _ = read(tmp_path)
    for table in (tmp_path / "Labels").glob("*.csv"):
        table.write_text(table.read_text().partition("\n")[2])
    assert read(tmp_path)[0] == expected
    table.write_text("1100011002.avi,0,2,0\n")
    with pytest.raises(BadInput, match="expected a first line with the columns ClipID,Boredom"):
        read(tmp_path)


def test_the_levels_of_one_state(tmp_path: Path) -> None:
    """Every clip counts: nothing is undersampled, and a level of 0 is a level."""
    write_daisee(tmp_path)
    for column, state in enumerate(NAMES):
        data = read_daisee(tmp_path / "Labels", FolderTree(tmp_path / "faces"), seed=0, state=state)
        assert data.names == ("very low", "low", "high", "very high")
        assert [clip.label for clip in data.training] == [row[column + 1] for row in DAISEE_TRAIN[:-1]]
        assert not any("tie rule" in remark for remark in data.remarks)
        assert "levels are 0" not in "".join(data.changes)
