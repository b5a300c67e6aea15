"""Series of vectors come back as they were written, and a file that does not fit is refused in a line."""

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


def test_series_of_different_lengths_come_back_as_they_were_written(tmp_path: Path) -> None:
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
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        read_series(written(tmp_path, **changed))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "series.npz").write_text("no archive")
    with pytest.raises(BadInput, match="cannot be read"):
        read_series(tmp_path / "series.npz")
