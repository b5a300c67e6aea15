from pathlib import Path

import pytest

from dfer.data.daisee import read_daisee
from dfer.data.dfew import read_dfew
from dfer.data.ferv39k import read_ferv39k
from dfer.data.folders import FolderTree
from dfer.data.packing import open_place, pack
from dfer.data.parts import RunData, run_data
from dfer.errors import BadInput
from helpers.made_data import listed_data, numbered, write_daisee, write_dfew, write_ferv39k, write_frames

OPTIONS = {"size": 16, "frames": 4, "per_segment": 2, "seed": 0}


def counts(data: RunData) -> tuple[int, int, int]:
    return len(data.training.labels), len(data.validation.labels), len(data.test.labels)


def loads(data: RunData) -> bool:
    return all(part.frames(0, None).shape == (4, 3, 16, 16) for part in (data.training, data.validation, data.test))


def lists(root: Path, training: list[int], test: list[int]) -> tuple[Path, Path]:
    files = []
    for part, labels in {"train": training, "test": test}.items():
        lines = []
        for number, label in enumerate(labels):
            write_frames(root / f"{part}{number}", numbered(5), first=number)
            lines.append(f"/home/user/{part}{number} {5 + (number == 0)} {label}\n")
        (root / f"{part}.txt").write_text("".join(lines))
        files.append(root / f"{part}.txt")
    return files[0], files[1]


def test_two_lists_give_three_parts(tmp_path: Path) -> None:
    training, test = lists(tmp_path, [0, 0, 1, 1, 2, 2, 2], [0, 1, 2])
    data = listed_data(training, test, None, None, select_on="validation", batch_size=99, **OPTIONS)
    assert counts(data) == (4, 3, 3)
    assert loads(data)
    assert data.augmented
    assert data.names == ("class 0", "class 1", "class 2")
    assert ["another number of frames" in remark for remark in data.remarks] == [True, True, False]
    assert "fewer than the 99 of a batch" in data.remarks[2]


def test_repeated_clip_is_in_one_part(tmp_path: Path) -> None:
    training, test = lists(tmp_path, [0, 1] * 10, [0, 1])
    training.write_text(2 * training.read_text())
    data = listed_data(training, test, None, None, select_on="validation", **OPTIONS)
    assert counts(data) == (18, 2, 2)
    assert sum(change.endswith("listed before; left out") for change in data.changes) == 20


def test_class_missing_in_a_part_is_reported(tmp_path: Path) -> None:
    training, test = lists(tmp_path, [0, 1] * 4 + [2], [0, 1])
    told = "no {} clip shows 2: UAR there is the mean over the others"
    data = listed_data(training, test, None, None, select_on="validation", **OPTIONS)
    assert data.remarks[-2:] == (told.format("validation"), told.format("test"))
    data = listed_data(training, test, None, None, select_on="test", **OPTIONS)
    assert [remark for remark in data.remarks if "no validation" in remark] == []
    assert data.remarks[-1] == told.format("test")


def test_selecting_on_test_clips_holds_out_none(tmp_path: Path) -> None:
    training, test = lists(tmp_path, [0, 0, 1, 1], [0, 1])
    data = listed_data(training, test, tmp_path, ("a", "b"), select_on="test", **OPTIONS)
    assert counts(data) == (4, 2, 2)
    assert data.names == ("a", "b")


def test_unusable_lists_are_refused(tmp_path: Path) -> None:
    training, test = lists(tmp_path / "few", [0, 1], [0, 1])
    one, other = lists(tmp_path / "from 1", [1, 1, 2, 2], [1, 2])
    with pytest.raises(BadInput, match="the labels are 1 to 2"):
        listed_data(one, other, None, ("a", "b"), select_on="validation", **OPTIONS)
    with pytest.raises(BadInput, match=r"train\.txt:1 and after: no clips can be held out for validation"):
        listed_data(training, test, None, None, select_on="validation", **OPTIONS)
    with pytest.raises(BadInput, match="2 of 2 test clips are training clips too"):
        listed_data(training, training, None, None, select_on="validation", **OPTIONS)


def test_dfew_and_ferv39k_give_three_parts(tmp_path: Path) -> None:
    write_dfew(tmp_path / "dfew")
    write_ferv39k(tmp_path / "ferv39k")
    for data, expected in (
        (read_dfew(tmp_path / "dfew", 2), (14, 7, 7)),
        (read_ferv39k(tmp_path / "ferv39k"), (21, 7, 14)),
    ):
        run = run_data(data, select_on="validation", **OPTIONS)
        assert counts(run) == expected
        assert run.names[0] == "happy"
        assert loads(run)


def test_daisee_keeps_its_validation_part(tmp_path: Path) -> None:
    write_daisee(tmp_path)
    data = read_daisee(tmp_path / "Labels", FolderTree(tmp_path / "faces"))
    run = run_data(data, select_on="validation", **OPTIONS)
    assert counts(run) == (7, 4, 5)
    assert loads(run)
    assert counts(run_data(data, select_on="test", **OPTIONS)) == (7, 5, 5)


def test_packed_data_set_gives_the_same_parts(tmp_path: Path) -> None:
    write_dfew(tmp_path)
    pack(tmp_path / "Clip", tmp_path / "store", 16)
    folders, store = (
        run_data(read_dfew(tmp_path, 1, place), select_on="validation", **OPTIONS)
        for place in (None, open_place(tmp_path / "store"))
    )
    for one, other in ((folders.training, store.training), (folders.validation, store.validation)):
        assert one.labels == other.labels
        assert all(one.frames(i, None).equal(other.frames(i, None)) for i in range(len(one.labels)))
        assert all(one.content(i) == other.content(i) for i in range(len(one.labels)))
