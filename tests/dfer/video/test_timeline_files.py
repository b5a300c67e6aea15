"""CSV and JSON hold the rows under OpenFace's names."""

import csv
import json
import math
from pathlib import Path

import pytest

from dfer.video.timeline_files import RowFile, RowWriter, write_json
from helpers.made_rows import CLASSES, facts, row, timeline


def written(path: Path, classes: tuple[str, ...] = CLASSES) -> Path:
    rows = [row(0, None), row(1, 1), row(1, 2, "uncertain"), row(2, 2, "sad", confidence=0.8125)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = RowWriter(file, classes)
        for each in rows:
            writer.write(each)
    return path


def test_columns_are_openfaces_plus_one_per_class(tmp_path: Path) -> None:
    with written(tmp_path / "a.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == [
        *("frame", "face_id", "timestamp", "confidence", "success", "box_x", "box_y", "box_w", "box_h"),
        *("left_eye_x", "left_eye_y", "right_eye_x", "right_eye_y", "nose_x", "nose_y"),
        *("left_mouth_x", "left_mouth_y", "right_mouth_x", "right_mouth_y", "roll"),
        *CLASSES,
    ]
    nobody, somebody = lines[0], lines[3]
    assert [nobody[name] for name in ("left_eye_x", "roll")] == ["", ""]
    assert [somebody[name] for name in ("left_eye_x", "left_mouth_y", "roll")] == ["25.00", "26.25", "2.9"]
    assert [nobody[name] for name in ("frame", "face_id", "success", "confidence", "box_x", "happy")] == [
        "0", "0", "0", "0.000", "", "",
    ]  # fmt: skip
    assert [somebody[name] for name in ("frame", "face_id", "timestamp", "success", "confidence", "box_x", "sad")] == [
        "2", "2", "0.080", "1", "0.812", "20.0", "0.8000",
    ]  # fmt: skip


def test_rows_can_be_read_repeatedly(tmp_path: Path) -> None:
    rows = RowFile(written(tmp_path / "a.csv"))
    first, again = list(rows), list(rows)
    assert first == again
    assert first[:3] == [row(0, None), row(1, 1), row(1, 2, "uncertain")]
    assert first[3].confidence == pytest.approx(0.8125, abs=6e-4)


def test_any_class_name_is_written(tmp_path: Path) -> None:
    classes = ('say "ah", please', "frame", "été\n")
    path = written(tmp_path / "a.csv", classes)
    with path.open(newline="", encoding="utf-8") as file:
        assert tuple(next(csv.reader(file))[-3:]) == classes
    assert list(RowFile(path))[1] == row(1, 1)


def test_json_has_one_object_per_face_and_frame(tmp_path: Path) -> None:
    rows = RowFile(written(tmp_path / "a.csv"))
    write_json(tmp_path / "a.json", timeline(tmp_path / "film.mp4", list(rows), duration=0.12))
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    content = json.loads(text)
    assert (content["video"], content["duration"], content["fps"]) == ("film.mp4", 0.12, 25.0)
    assert content["weights"]["people_tested_on"] is None
    assert "Art. 5(1)(f)" in " ".join(content["notice"])
    assert [(face["frame"], face["face_id"]) for face in content["faces"]] == [(1, 1), (1, 2), (2, 2)]
    face, (_, _, _, last) = content["faces"][2], rows
    assert face["box"] == list(last.box or ())
    assert face["landmarks"]["left_mouth"] == [26.0, 26.25]
    assert face["scores"] == {"happy": 0.1, "sad": 0.8, "neutral": 0.1}
    assert (face["timestamp"], face["confidence"]) == (last.timestamp, last.confidence)
    assert face["roll"] == round(math.degrees(math.atan2(0.5, 10)), 1)
    assert text.count("\n") == 5  # a line for each face


def test_json_without_a_face_is_valid(tmp_path: Path) -> None:
    tested = facts(trained_on="DFEW, fold 2")
    write_json(tmp_path / "a.json", timeline(tmp_path / "a\udcff.mp4", [row(0, None)], facts=tested, fps=0.0))
    content = json.loads((tmp_path / "a.json").read_text())
    assert (content["faces"], content["fps"]) == ([], None)
    assert content["weights"]["people_tested_on"] == "DFEW, fold 2"


def test_roll_is_the_slope_between_the_eyes() -> None:
    for degrees in (-170.0, -30.0, 0.0, 45.0, 120.0):
        x, y = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        turned = row(0, 1, points=((5.0, 5.0), (5 + 9 * x, 5 + 9 * y), *[(0.0, 0.0)] * 3))
        assert turned.roll == pytest.approx(degrees)
    assert row(0, None).roll is None
