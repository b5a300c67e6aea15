"""Series of vectors are read as written, and a file or folder that does not fit is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dfer.data.series import read_series
from dfer.errors import BadInput

FITTING: dict[str, Any] = {
    "vectors": np.arange(10, dtype=np.float32).reshape(5, 2),
    "lengths": np.array([2, 3]),
    "labels": np.array([1, 0]),
    "names": np.array(["calm", "happy"]),
}


def written(folder: Path, **changed: Any) -> Path:
    np.savez(folder / "series.npz", **{k: v for k, v in {**FITTING, **changed}.items() if v is not None})
    return folder / "series.npz"


def test_series_of_different_lengths_are_read_as_written(tmp_path: Path) -> None:
    series = read_series(written(tmp_path, subjects=np.array(["a", "b"])))
    assert [series[index].tolist() for index in range(len(series))] == [[[0, 1], [2, 3]], [[4, 5], [6, 7], [8, 9]]]
    assert (series.labels.tolist(), series.names, series.subjects) == ([1, 0], ("calm", "happy"), ("a", "b"))
    assert series.parts is None


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"labels": None}, "labels missing"),
        ({"lengths": np.array([2, 2])}, "the sum 5"),
        ({"lengths": np.array([5, 0])}, "numbers from 1"),
        ({"labels": np.array([0, 2])}, "expected 0 to 1, got 0 to 2"),
        ({"labels": np.array([0.0, 1.0])}, "whole numbers"),
        ({"vectors": np.full((5, 2), np.nan)}, "finite numbers"),
        ({"subjects": np.array(["a"])}, "one for each of 2 series"),
        ({"names": np.array([{}], dtype=object)}, "cannot be read"),
    ],
)
def test_file_that_does_not_fit_is_refused(tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        read_series(written(tmp_path, **changed))


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "series.npz").write_text("no archive")
    with pytest.raises(BadInput, match="cannot be read"):
        read_series(tmp_path / "series.npz")


ROWS = "file,label,subject\na.npy,happy,ann\nb.npy,calm,ben\n"


def folder_of(place: Path, table: str = ROWS, **changed: Any) -> Path:
    (place / "series.csv").write_text(table)
    arrays = {"a": FITTING["vectors"][:2], "b": FITTING["vectors"][2:], **changed}
    for name, array in arrays.items():
        np.save(place / f"{name}.npy", array)
    return place


def test_folder_of_npy_files_gives_the_same_series_as_one_file(tmp_path: Path) -> None:
    folder = read_series(folder_of(tmp_path))
    file = read_series(written(tmp_path, subjects=np.array(["ann", "ben"])))
    assert [folder[index].tolist() for index in range(2)] == [file[index].tolist() for index in range(2)]
    assert (folder.labels.tolist(), folder.names, folder.subjects) == (file.labels.tolist(), file.names, file.subjects)
    assert folder.parts is None


@pytest.mark.parametrize(
    ("table", "changed", "told"),
    [
        ("", {}, r"series\.csv: expected a table of series with the columns file and label"),
        ("file,class\na.npy,happy\n", {}, r"series\.csv: expected a table"),
        ("file,label\na.npy\n", {}, r"series\.csv: expected a table"),
        ("file,label\na.npy,x\na.npy,y\n", {}, r"a\.npy is listed twice"),
        ("file,label\nc.npy,x\n", {}, r"c\.npy: cannot be read as a \.npy file"),
        (ROWS, {"a": np.array([{}], dtype=object)}, r"a\.npy: cannot be read as a \.npy file"),
        (ROWS, {"b": np.zeros((3, 5))}, r"b\.npy: expected vectors \(frames, 2\), got \(3, 5\)"),
        (ROWS, {"a": np.zeros(3)}, r"a\.npy: expected vectors \(frames, channels\), got \(3,\)"),
        (ROWS, {"a": np.zeros((0, 2))}, "lengths: expected numbers from 1"),
        (ROWS, {"a": np.full((2, 2), np.nan)}, "finite numbers"),
    ],
)
def test_folder_that_does_not_fit_is_refused(tmp_path: Path, table: str, changed: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        read_series(folder_of(tmp_path, table, **changed))
