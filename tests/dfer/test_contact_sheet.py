from pathlib import Path

import pytest
import torch
from PIL import Image

from dfer.contact_sheet import draw_contact_sheet, some_of_each_label
from dfer.data.clips import ClipsInMemory, seeded
from dfer.rendering.clips import LABEL_SETS, render_clips


def test_clips_are_spread_over_the_list_and_all_labels() -> None:
    labels = [0] * 10 + [2] * 4 + [1]
    assert some_of_each_label(labels, each=2, most=16) == [0, 5, 14, 10, 12]
    assert some_of_each_label(labels, each=2, most=3) == [0, 5, 14]
    assert some_of_each_label([0] * 5, each=2, most=16) == [0, 2]


@pytest.mark.parametrize("augmented", [True, False])
def test_sheet_has_one_row_per_clip(tmp_path: Path, augmented: bool) -> None:
    rendered = render_clips("direction", people=2, frames=3, size=24, seed=0)
    source = ClipsInMemory(rendered.clips, rendered.labels)
    path = tmp_path / "sheet.png"
    draw_contact_sheet(path, source, LABEL_SETS["direction"], augmented=augmented, seed=0)
    with Image.open(path) as sheet:
        assert sheet.height == pytest.approx((8 if augmented else 4) * 0.95 * 150, abs=2)
    assert [file.name for file in tmp_path.iterdir()] == ["sheet.png"]


class Noting(ClipsInMemory):
    """Notes the seed that each clip is drawn with."""

    def __init__(self, clips: torch.Tensor, labels: torch.Tensor) -> None:
        super().__init__(clips, labels)
        self.drawn: list[int] = []

    def frames(self, index: int, generator: torch.Generator | None) -> torch.Tensor:
        if generator is not None:
            self.drawn.append(generator.initial_seed())
        return super().frames(index, generator)


def test_second_row_of_a_clip_is_its_first_augmentation(tmp_path: Path) -> None:
    source = Noting(*render_clips("direction", people=1, frames=2, size=16, seed=0)[:2])
    draw_contact_sheet(tmp_path / "sheet.png", source, LABEL_SETS["direction"], augmented=True, seed=3)
    # As DrawnClips(source, 3)[epoch 0, index].
    assert source.drawn == [seeded(3, 0, index) for index in (0, 1)]
