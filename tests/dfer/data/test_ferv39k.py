from pathlib import Path

import pytest

from dfer.data.ferv39k import NAMES, read_ferv39k
from dfer.errors import BadInput
from helpers.made_data import write_ferv39k


def test_split_over_all_scenes_is_read(tmp_path: Path) -> None:
    write_ferv39k(tmp_path)
    data = read_ferv39k(tmp_path)
    assert (len(data.training), len(data.test)) == (28, 14)
    for clip in (*data.training, *data.test):
        assert f"/{NAMES[clip.label].capitalize()}/" in str(clip.frames)
        assert len(clip.frames) == 8
    assert data.remarks == []


@pytest.mark.parametrize("line", ["Interview/Happy/0118 Glad", "Happy", "Interview/Happy/0118,Happy"])
def test_bad_lines_are_named(tmp_path: Path, line: str) -> None:
    write_ferv39k(tmp_path)
    (tmp_path / "4_setups/All_scenes/train_All.csv").write_text(f"Interview/Happy/0118 Happy\n{line}\n")
    with pytest.raises(BadInput, match=r"train_All\.csv:[12]: expected "):
        read_ferv39k(tmp_path)


def test_missing_clips_are_counted(tmp_path: Path) -> None:
    write_ferv39k(tmp_path)
    (tmp_path / "2_ClipsforFaceCrop/War").rename(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match=r"test_All\.csv: no folder for 14 of 14 clips, first at line 1"):
        read_ferv39k(tmp_path)
