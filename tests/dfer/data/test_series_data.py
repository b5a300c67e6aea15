"""Series as the parts of a run: folds, windows, padding, scale and shuffled frames."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dfer.data.parts import RunData
from dfer.data.series import read_series, series_data
from dfer.errors import BadInput
from helpers.made_series import write_series

PARTS = np.array(["training"] * 6 + ["validation"] * 3 + ["test"] * 3)


def made(file: Path, **changes: Any) -> RunData:
    given = {"frames": 12, "windows": False, "shuffled": False, "fold": 1, "select_on": "last", "seed": 0}
    return series_data(file, **{**given, **changes})


def real(clip: Tensor) -> Tensor:
    return clip[~clip.isnan().any(dim=1)]


def test_fold_leaves_one_subject_out(tmp_path: Path) -> None:
    file = write_series(tmp_path / "s.npz")
    for fold in (1, 4):
        data = made(file, fold=fold)
        tested = {data.test.name(index).split(",")[0] for index in range(3)}
        assert tested == {f"series {index}" for index in range(3 * fold - 3, 3 * fold)}
        assert (len(data.training.labels), len(data.test.labels), data.names) == (9, 3, ("up", "flat", "down"))


def test_parts_of_the_file_are_kept(tmp_path: Path) -> None:
    data = made(write_series(tmp_path / "s.npz", parts=PARTS), select_on="validation")
    assert [len(part.labels) for part in data.parts.values()] == [6, 3, 3]
    assert data.validation.name(0).startswith("series 6,")


def test_validation_part_is_held_out_of_the_training_by_subject(tmp_path: Path) -> None:
    data = made(write_series(tmp_path / "s.npz"), select_on="validation")
    assert [len(part.labels) for part in data.parts.values()] == [6, 3, 3]


def test_shorter_series_are_padded_and_standardised_without_the_test_part(tmp_path: Path) -> None:
    file = write_series(tmp_path / "s.npz")
    data, series = made(file, fold=2), read_series(file)
    seen = np.concatenate([series[index] for index in (*range(3), *range(6, 12))]).astype(np.float64)
    np.testing.assert_allclose(data.mean, seen.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(data.std, seen.std(axis=0), rtol=1e-5)
    for index in range(3):
        clip, own = data.test.frames(index, None), series[3 + index]
        assert clip.shape == (12, 3)
        assert clip[len(own) :].isnan().all()
        np.testing.assert_allclose(real(clip), (own - seen.mean(axis=0)) / seen.std(axis=0), rtol=1e-4, atol=1e-5)


def test_long_series_are_cut_or_divided_into_windows_and_reported(tmp_path: Path) -> None:
    file = write_series(tmp_path / "s.npz")
    lengths = np.diff(read_series(file).starts)
    cut, divided = made(file, frames=5), made(file, frames=5, windows=True)
    assert len(cut.training.labels) == 9
    assert len(divided.training.labels) == sum(length // 5 for length in lengths[3:])
    assert f"{sum(lengths > 5)} of 12 series lose all frames after the first 5" in cut.remarks[0]
    assert f"{sum(lengths % 5 > 0)} of 12 series lose the frames after their last whole window" in divided.remarks[0]
    assert not any(divided.training.frames(index, None).isnan().any() for index in range(9))
    assert not made(file).remarks


def test_shuffled_frames_change_order_each_time_in_training(tmp_path: Path) -> None:
    file = write_series(tmp_path / "s.npz")
    plain, shuffled = made(file).training, made(file, shuffled=True).training
    draws = [shuffled.frames(0, torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    assert not torch.equal(real(draws[0]), real(draws[1]))
    assert torch.equal(shuffled.frames(0, None).nan_to_num(), shuffled.frames(0, None).nan_to_num())
    for clip in (*draws, shuffled.frames(0, None)):
        rows = [tuple(row) for row in real(clip).tolist()]
        assert rows != [tuple(row) for row in real(plain.frames(0, None)).tolist()]
        assert sorted(rows) == sorted(tuple(row) for row in real(plain.frames(0, None)).tolist())


@pytest.mark.parametrize(
    ("more", "changes", "told"),
    [
        ({}, {"fold": 5}, "has 4 subjects; expected 1 to 4"),
        ({"parts": PARTS}, {"fold": 2}, "names its parts; leave it out"),
        (
            {"subjects": None},
            {},
            "expected the array parts, or subjects with two people or more; got the people \\[\\]",
        ),
        ({"subjects": np.array(["ann"] * 12)}, {}, "got the people .'ann'"),
        ({"parts": np.array(["training"] * 11 + ["dev"])}, {}, "expected training, validation or test, got 'dev'"),
        ({"parts": np.array(["training"] * 12)}, {}, "no series are left for the validation part|for the test part"),
    ],
)
def test_files_that_cannot_be_split_are_refused(
    tmp_path: Path, more: dict[str, Any], changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(BadInput, match=told):
        made(write_series(tmp_path / "s.npz", **more), **changes)
