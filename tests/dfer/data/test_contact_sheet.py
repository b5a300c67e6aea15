from pathlib import Path

import pytest
from PIL import Image

from dfer.data.clips import ClipsInMemory
from dfer.data.contact_sheet import draw_contact_sheet, some_of_each_label
from dfer.data.rendered import LABEL_SETS, render_clips


def test_clips_come_from_all_over_the_list_and_from_every_label() -> None:
    labels = [0] * 10 + [2] * 4 + [1]
    assert some_of_each_label(labels, each=2, most=16) == [0, 5, 14, 10, 12]
    assert some_of_each_label(labels, each=2, most=3) == [0, 5, 14]
    assert some_of_each_label([0] * 5, each=2, most=16) == [0, 2]


@pytest.mark.parametrize("augmented", [True, False])
def test_a_sheet_has_a_row_for_each_clip(tmp_path: Path, augmented: bool) -> None:
    rendered = render_clips("direction", people=2, frames=3, size=24, seed=0)
    source = ClipsInMemory(rendered.clips, rendered.labels)
    path = tmp_path / "sheet.png"
    draw_contact_sheet(path, source, LABEL_SETS["direction"], augmented=augmented, seed=0)
    with Image.open(path) as sheet:
        assert sheet.height == pytest.approx((8 if augmented else 4) * 0.95 * 150, abs=2)
    assert [file.name for file in tmp_path.iterdir()] == ["sheet.png"]
