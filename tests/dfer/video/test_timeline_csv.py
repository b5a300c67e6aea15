"""The CSV holds the rows, under the names that people's scripts look for."""

import csv
from pathlib import Path

import pytest

from dfer.video.timeline_csv import RowFile, RowWriter
from helpers.made_rows import CLASSES, row


def written(path: Path, classes: tuple[str, ...] = CLASSES) -> Path:
    rows = [row(0, None), row(1, 1), row(1, 2, "uncertain"), row(2, 2, "sad", confidence=0.8125)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = RowWriter(file, classes)
        for each in rows:
            writer.write(each)
    return path


def test_columns_are_those_of_openface_and_one_a_class(tmp_path: Path) -> None:
    with written(tmp_path / "a.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == [
        *("frame", "face_id", "timestamp", "confidence", "success", "box_x", "box_y", "box_w", "box_h"),
        *CLASSES,
    ]
    nobody, somebody = lines[0], lines[3]
    assert [nobody[name] for name in ("frame", "face_id", "success", "confidence", "box_x", "happy")] == [
        "0", "0", "0", "0.000", "", "",
    ]  # fmt: skip
    assert [somebody[name] for name in ("frame", "face_id", "timestamp", "success", "confidence", "box_x", "sad")] == [
        "2", "2", "0.080", "1", "0.812", "20.0", "0.8000",
    ]  # fmt: skip


def test_rows_come_back_again_and_again(tmp_path: Path) -> None:
    rows = RowFile(written(tmp_path / "a.csv"))
    first, again = list(rows), list(rows)
    assert first == again
    assert first[:3] == [row(0, None), row(1, 1), row(1, 2, "uncertain")]
    assert first[3].confidence == pytest.approx(0.8125, abs=6e-4)


def test_a_class_may_have_any_name(tmp_path: Path) -> None:
    classes = ('say "ah", please', "frame", "été\n")
    path = written(tmp_path / "a.csv", classes)
    with path.open(newline="", encoding="utf-8") as file:
        assert tuple(next(csv.reader(file))[-3:]) == classes
    assert list(RowFile(path))[1] == row(1, 1)
