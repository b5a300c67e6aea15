import re
import shutil
from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from dfer.data import daisee
from dfer.data.daisee import NAMES, clips_of, label_of, read_daisee, read_rows, undersample
from dfer.data.data_set import ListedClip, Notes
from dfer.data.folders import FolderTree, FrameFolder
from dfer.data.packing import open_place, pack
from dfer.errors import BadInput
from dfer.training.command_line import parse
from dfer.training.load_data import load_data
from helpers.made_data import DAISEE_TRAIN, write_daisee
from helpers.papers_tables import TABLE_1, rows


def read(root: Path, **options: Any) -> tuple[dict[str, list[tuple[str, str, str | None]]], Sequence[str]]:
    data = read_daisee(root / "Labels", FolderTree(root / "faces"), **options)
    assert data.validation is not None
    parts = {"training": data.training, "validation": data.validation, "test": data.test}
    return {
        part: [(Path(str(clip.frames)).name, NAMES[clip.label], clip.subject) for clip in clips]
        for part, clips in parts.items()
    }, data.remarks


def test_training_part_is_read(tmp_path: Path) -> None:
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
    assert "no folder for 1 of 8 clips, first at line 9: DataSet/Train/210055/2100552061" in text
    assert "all levels are 0 for 1 of 8 clips, first at line 7: labelled frustration by the tie rule" in text
    changes = read_daisee(tmp_path / "Labels", FolderTree(tmp_path / "faces")).changes
    labels = tmp_path / "Labels/TrainLabels.csv"
    assert [str(change) for change in changes] == [
        f"{labels}:7: 20560120: all levels are 0; labelled frustration",
        f"{labels}:9: DataSet/Train/210055/2100552061/2100552061: no folder; left out",
    ]
    table = remarks[[remark.startswith("DAiSEE's clips") for remark in remarks].index(True)]
    assert re.search(r"Train +2 -> 2 +2 -> 2 +1 -> 1 +2 -> 2\n", table)
    assert re.search(r"paper +849 -> 259 +4163 -> 582 +275 -> 275 +194 -> 194\n", table)


def test_paper_parts_follow_the_folders_with_validation_and_test_exchanged(tmp_path: Path) -> None:
    write_daisee(tmp_path)
    official, _ = read(tmp_path)
    paper, remarks = read(tmp_path, parts="paper")
    assert {part: len(clips) for part, clips in official.items()} == {"training": 7, "validation": 4, "test": 5}
    assert official["test"][0][0].startswith("5000")
    # AllLabels.csv lists one clip more in each part.
    assert paper["training"] == [*official["training"], ("7000011001", "engagement", "700001")]
    assert paper["test"] == [*official["validation"], ("7010011001", "engagement", "701001")]
    assert paper["validation"] == [*official["test"], ("7020011001", "engagement", "702001")]
    assert "the folder Test chooses the epoch and the folder Validation is tested" in remarks[-1]


def test_frames_in_the_clip_folder_itself_are_found(tmp_path: Path) -> None:
    write_daisee(tmp_path)
    doubled, _ = read(tmp_path)
    for folder in [path for path in (tmp_path / "faces").glob("*/*/*/*") if path.is_dir()]:
        for frame in folder.iterdir():
            frame.rename(folder.parent / frame.name)
        folder.rmdir()
    assert read(tmp_path)[0] == doubled


@pytest.mark.parametrize("parts", ["official", "paper"])
@pytest.mark.parametrize("nested", ["DataSet/DataSet", "DataSet/Train/Train"])
def test_folders_doubled_by_unzip_are_found(tmp_path: Path, nested: str, parts: str) -> None:
    write_daisee(tmp_path)
    expected, _ = read(tmp_path, parts=parts)
    faces = tmp_path / "faces"
    for part in ("Train", "Validation", "Test"):
        target = faces / nested if nested.endswith(part) else faces / nested.removesuffix("/Train/Train") / part
        target.parent.mkdir(parents=True, exist_ok=True)
        (faces / part).rename(target)
    found, remarks = read(tmp_path, parts=parts)
    assert found == expected
    assert any("lie one folder further than it says" in remark for remark in remarks)


def test_label_is_the_highest_level_and_ties_follow_the_paper() -> None:
    order = ("frustration", "confusion", "boredom", "engagement")
    for levels in product(range(4), repeat=4):
        tied = {name for name, level in zip(NAMES, levels, strict=True) if level == max(levels)}
        assert NAMES[label_of(levels)] == next(name for name in order if name in tied)


class Everywhere:
    """A place that has every clip in the folder that `part_of` gives for its stem."""

    def __init__(self, part_of: dict[str, str]) -> None:
        self.part_of = part_of

    def has(self, path: str) -> bool:
        part, _, stem = f"//{path.removeprefix('DataSet/')}".split("/")[-3:]
        return self.part_of.get(stem) == part

    def has_video(self, path: str) -> bool:
        return False

    def left_out(self, path: str) -> str | None:
        return None

    def folders(self, path: str) -> list[str]:
        return []

    def frames(self, path: str) -> FrameFolder:
        return FrameFolder(Path(path), ["1.jpg"])


def test_paper_parts_reproduce_table_1(tmp_path: Path) -> None:
    """Use a made AllLabels.csv with the counts of the real one in the three folders."""
    part_of, lines = {}, ["ClipID,Boredom,Engagement,Confusion,Frustration "]
    for part, numbers in rows(TABLE_1).items():
        for label, count in enumerate(map(int, numbers[:4])):
            for _ in range(count):
                stem = f"{len(lines):010}"
                part_of[stem] = part
                lines.append(f"{stem}.avi,{','.join('2' if state == label else '1' for state in range(4))}")
    (tmp_path / "AllLabels.csv").write_text("\n".join(lines) + "\n")
    data = read_daisee(tmp_path, Everywhere(part_of), parts="paper")
    parts = {"Train": data.training, "Test": data.validation, "Validation": data.test}
    for part, numbers in rows(TABLE_1).items():
        kept = Counter(clip.label for clip in parts[part] or ())
        assert [str(kept[label]) for label in range(4)] == numbers[4:]
        cells = (f"{found} -> {left}" for found, left in zip(numbers[:4], numbers[4:], strict=True))
        line = " +".join(cells)
        assert re.search(rf"  {part} +{line}\n +paper +{line}$", data.remarks[-2], re.MULTILINE)


def labelled(*counts: int) -> list[ListedClip]:
    """Return `counts` clips of the labels, each with a folder name of its own."""
    names = [(label, f"{label}{number:04}") for label, count in enumerate(counts) for number in range(count)]
    return [ListedClip(FrameFolder(Path(name), ["1.jpg"]), label, "") for label, name in names]


def test_undersampling_is_random_keeps_order_and_keeps_two_states_whole() -> None:
    clips = labelled(90, 80, 7, 5)
    kept = undersample(clips, (20, 30))
    assert [sum(clip.label == label for clip in kept) for label in range(4)] == [20, 30, 7, 5]
    places = [clips.index(clip) for clip in kept]
    assert places == sorted(places)
    assert 30 < sum(places[:20]) / 20 < 60, "not the first and not the last ones"
    few = labelled(3, 2, 1, 1)
    assert undersample(few, (20, 30)) == few


def test_missing_clip_changes_one_other_drawn_clip() -> None:
    clips = labelled(90, 80, 7, 5)
    whole = undersample(clips, (20, 30))
    names = {str(clip.frames) for clip in whole}
    without = {str(clip.frames) for clip in undersample([clip for clip in clips if clip != whole[0]], (20, 30))}
    assert names - without == {str(whole[0].frames)}
    assert len(without - names) == 1
    backwards = {str(clip.frames) for clip in undersample(clips[::-1], (20, 30))}
    assert backwards == names


def test_training_seed_does_not_change_the_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_daisee(tmp_path)
    monkeypatch.setattr(daisee, "TABLE_1", {part: (found, (1, 1)) for part, (found, _) in daisee.TABLE_1.items()})
    flags = ["--daisee", str(tmp_path), "--frames-root", str(tmp_path / "faces"), "--frames", "2", "--size", "16"]
    drawn = set()
    for seed in range(8):
        data = load_data(parse([*flags, "--seed", str(seed)], prog="train.py", description=None))
        parts = (data.training, data.validation, data.test)
        drawn.add(tuple(tuple(part.name(i) for i in range(len(part.labels))) for part in parts))
    assert len(drawn) == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "1100011002.avi,0,2,0,4",
            r"TrainLabels\.csv:2: expected a clip's id and four levels 0 to 3, got 1100011002.avi",
        ),
        ("clip.avi,0,2,0,1", r"TrainLabels\.csv:2: expected a clip's id"),
        ("1100011002.avi,0,2", r"TrainLabels\.csv:2: expected 5 fields, got 3"),
        ("9900011002.avi,0,2,0,0", r"no folder for 1 of 1 clips, first at line 2"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, row: str, message: str) -> None:
    write_daisee(tmp_path)
    (tmp_path / "Labels/TrainLabels.csv").write_text(f"ClipID,Boredom,Engagement,Confusion,Frustration \n{row}\n")
    with pytest.raises(BadInput, match=message):
        read(tmp_path)


def test_raw_videos_are_refused_with_a_hint_to_prepare_videos(tmp_path: Path) -> None:
    write_daisee(tmp_path)
    for stem in ("5000011001", "5000021001"):
        folder = tmp_path / f"DataSet/Test/{stem[:6]}/{stem}"
        folder.mkdir(parents=True)
        (folder / f"{stem}.avi").touch()
    file = tmp_path / "Labels/TestLabels.csv"
    with pytest.raises(BadInput, match=r"videos instead of frames for 2 of 5 clips, .*run prepare_videos\.py"):
        clips_of(file, read_rows(file), "Test", FolderTree(tmp_path / "DataSet"), Notes([], []))


@pytest.mark.parametrize("root", ["faces", "."])
@pytest.mark.parametrize("packed", [False, True])
def test_all_labels_are_split_by_the_folders(tmp_path: Path, packed: bool, root: str) -> None:
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
    data = read_daisee(tmp_path / "Labels", open_place(place), parts="paper")
    assert data.validation is not None
    assert [len(clips) for clips in (data.training, data.validation, data.test)] == [8, 6, 4]
    text = "\n".join(data.remarks)
    assert "no folder in Train, Validation, Test for 1 of 20 clips, first at line 9: 2100552061; left out" in text
    assert "no frames from prepare_videos.py for 1 of 5 clips, first at line 11" in text
    assert len(data.changes) == 3


@pytest.mark.parametrize(("parts", "table"), [("official", "TestLabels.csv"), ("paper", "AllLabels.csv")])
def test_missing_table_is_named(tmp_path: Path, parts: str, table: str) -> None:
    write_daisee(tmp_path)
    (tmp_path / "Labels" / table).unlink()
    with pytest.raises(BadInput, match=rf"{table}: cannot be read as labels of DAiSEE"):
        read(tmp_path, parts=parts)


def test_unneeded_tables_are_not_read(tmp_path: Path) -> None:
    write_daisee(tmp_path)
    official, paper = read(tmp_path), read(tmp_path, parts="paper")
    saved = (tmp_path / "Labels/AllLabels.csv").read_text()
    (tmp_path / "Labels/AllLabels.csv").write_text("no table")
    assert read(tmp_path) == official
    (tmp_path / "Labels/AllLabels.csv").write_text(saved)
    for part in ("Train", "Validation", "Test"):
        (tmp_path / f"Labels/{part}Labels.csv").write_text("no table")
    assert read(tmp_path, parts="paper") == paper


def test_all_labels_need_every_folder(tmp_path: Path) -> None:
    write_daisee(tmp_path)
    (tmp_path / "faces/Test").rename(tmp_path / "faces/Other")
    message = r"AllLabels\.csv: none of its 20 clips is in a folder Test; point --frames-root"
    with pytest.raises(BadInput, match=message):
        read(tmp_path, parts="paper")


def test_folder_above_labels_is_accepted(tmp_path: Path) -> None:
    write_daisee(tmp_path)
    place = FolderTree(tmp_path / "faces")
    assert read_daisee(tmp_path, place).remarks == read_daisee(tmp_path / "Labels", place).remarks


def test_page_has_the_counts_of_both_kinds_of_parts() -> None:
    page = (Path(__file__).parents[3] / "docs/data.md").read_text(encoding="utf-8")
    official, paper = (line for line in page.splitlines() if line.startswith(("| `official`", "| `paper`")))
    # As DAiSEE's three tables label them.
    counts = "Train 848 / 4047 / 271 / 192, Validation 443 / 795 / 97 / 94, Test 266 / 1356 / 92 / 70"
    assert counts in official
    for clips, numbers in zip(("5,358", "1,429", "1,784"), counts.split(", "), strict=True):
        assert f"{sum(map(int, re.findall(r'[0-9]+', numbers))):,}" == clips
        assert clips in official
    for part, cells in rows(TABLE_1).items():
        assert f"{part} {' / '.join(cells[:4])}" in paper


def test_table_without_a_heading_has_the_published_columns(tmp_path: Path) -> None:
    write_daisee(tmp_path)
    expected = [read(tmp_path, parts=parts)[0] for parts in ("official", "paper")]
    for table in (tmp_path / "Labels").glob("*.csv"):
        table.write_text(table.read_text().partition("\n")[2])
    assert [read(tmp_path, parts=parts)[0] for parts in ("official", "paper")] == expected
    (tmp_path / "Labels/TestLabels.csv").write_text("1100011002.avi,0,2,0\n")
    with pytest.raises(BadInput, match="expected a first line with the columns ClipID,Boredom"):
        read(tmp_path)


def test_levels_of_one_state_are_classes(tmp_path: Path) -> None:
    """All clips are kept, with a level of 0 too."""
    write_daisee(tmp_path)
    for column, state in enumerate(NAMES):
        data = read_daisee(tmp_path / "Labels", FolderTree(tmp_path / "faces"), state=state)
        assert data.names == ("very low", "low", "high", "very high")
        assert [clip.label for clip in data.training] == [row[column + 1] for row in DAISEE_TRAIN[:-1]]
        assert not any("tie rule" in remark for remark in data.remarks)
        assert "levels are 0" not in "".join(map(str, data.changes))


def test_levels_of_one_state_in_the_papers_parts(tmp_path: Path) -> None:
    """In AllLabels.csv each part has one clip more, of very high engagement; validation and test are exchanged."""
    write_daisee(tmp_path)
    data = read_daisee(tmp_path, FolderTree(tmp_path / "faces"), parts="paper", state="engagement")
    assert data.validation is not None
    parts = (data.training, data.validation, data.test)
    assert [len(part) for part in parts] == [8, 6, 5]
    assert all(part[-1].label == daisee.LEVELS.index("very high") for part in parts)
    table = next(remark for remark in data.remarks if remark.startswith("DAiSEE's clips"))
    assert re.search(r"Test +0 +0 +5 +1$", table)
    assert "paper" not in table, "Table 1 counts states, not levels"
