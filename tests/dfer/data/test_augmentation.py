import re
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from dfer.data.augmentation import (
    CROP_PLACES,
    CROP_SCALES,
    CROP_SIDES,
    LUMA,
    MEAN,
    STD,
    augment,
    draw,
    normalise,
    prepare,
)

B, T, H, W = 5, 2, 14, 11


def draws_of(*seeds: int) -> Tensor:
    return torch.stack([draw(torch.Generator().manual_seed(seed)) for seed in seeds])


def clips_of(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def reference(clip: Tensor, drawn: Tensor) -> Tensor:
    """One clip (T, 3, H, W), literally and in float64: jitter, cut the window out, resize it, mirror it."""
    clip, drawn = clip.double(), drawn.double()
    gamma, brightness, contrast, saturation, tall, wide, down, right, mirrored = drawn.tolist()
    clip = brightness * clip**gamma
    grey = sum(weight * clip[:, [channel]] for channel, weight in enumerate(LUMA))
    clip = grey + saturation * (clip - grey)
    clip = (grey.mean() + contrast * (clip - grey.mean())).clamp(0, 1)
    height, width = clip.shape[-2:]
    rows, columns = round(tall * height), round(wide * width)
    top, left = round(down * (height - rows)), round(right * (width - columns))
    window = clip[..., top : top + rows, left : left + columns]
    clip = interpolate(window, size=(height, width), mode="bilinear", align_corners=False)
    return clip.flip(-1) if mirrored else clip


def test_augmenting_a_batch_equals_augmenting_each_clip() -> None:
    """Within 1e-5 of a grey level from 0 to 1; 0.003 of the 255 levels of a file."""
    clips = clips_of(B, T, 3, H, W)
    for first in range(0, 200, B):
        draws = draws_of(*range(first, first + B))
        out = augment(clips, draws)
        assert out.shape == clips.shape
        for clip, drawn, each in zip(clips, draws, out, strict=True):
            torch.testing.assert_close(each.double(), reference(clip, drawn), rtol=0, atol=1e-5)
            torch.testing.assert_close(each, augment(clip[None], drawn[None])[0], rtol=0, atol=1e-6)


def test_augmentation_at_112_pixels() -> None:
    clips, draws = clips_of(2, 2, 3, 112, 112), draws_of(3, 4)
    for clip, drawn, each in zip(clips, draws, augment(clips, draws), strict=True):
        torch.testing.assert_close(each.double(), reference(clip, drawn), rtol=0, atol=5e-5)


def test_augmentation_leaves_its_input_unchanged() -> None:
    clips = clips_of(B, T, 3, H, W)
    before = clips.clone()
    augment(clips, draws_of(*range(B)))
    assert clips.equal(before)


def test_all_frames_of_a_clip_share_one_draw() -> None:
    frame = clips_of(3, 16, 12)
    for seed in range(20):
        out = augment(frame.expand(1, 5, 3, 16, 12), draws_of(seed))
        torch.testing.assert_close(out, out[:, :1].expand_as(out), rtol=0, atol=1e-6)


def test_neutral_draw_leaves_the_clip_unchanged() -> None:
    clips = clips_of(2, T, 3, H, W)
    same = torch.tensor([[1.0, 1, 1, 1, 1, 1, 0.5, 0.5, 0]]).expand(2, -1)
    torch.testing.assert_close(augment(clips, same), clips, rtol=0, atol=1e-6)


def test_draws_repeat_with_the_seed_and_cover_every_window() -> None:
    assert draws_of(1).equal(draws_of(1))
    draws = draws_of(*range(3000))
    assert len({tuple(row) for row in draws.tolist()}) == 3000
    sides = Counter(tuple(round(side, 3) for side in row) for row in draws[:, 4:6].tolist())
    places = Counter(tuple(row) for row in draws[:, 6:8].tolist())
    assert CROP_SCALES == (1, 0.875, 0.75, 0.66)
    assert sides.keys() == set(CROP_SIDES)
    assert len(CROP_SIDES) == 10
    assert places.keys() == set(CROP_PLACES)
    # In quarters of the room that is left: corners, centre, edges, and between the centre and each corner.
    quarters = {(0, 0), (0, 4), (4, 0), (4, 4), (2, 2), (0, 2), (2, 0), (2, 4), (4, 2), (1, 1), (1, 3), (3, 1), (3, 3)}
    assert {(4 * y, 4 * x) for y, x in CROP_PLACES} == quarters
    assert min(places.values()) > 3000 / 13 * 0.7
    assert 1400 < int(draws[:, 8].sum()) < 1600
    assert float(draws[:, :4].log().abs().max()) <= 0.25
    assert float(draws[:, :4].log().std(dim=0).min()) > 0.13


@pytest.mark.parametrize("seed", range(20))
def test_values_stay_in_range(seed: int) -> None:
    out = augment(clips_of(1, 2, 3, 16, 16).round(), draws_of(seed))
    assert 0 <= float(out.min()) <= float(out.max()) <= 1 + 1e-6


def test_normalise_undoes_the_statistics() -> None:
    clip = torch.tensor(MEAN).view(3, 1, 1).expand(2, 3, 4, 4) + torch.tensor(STD).view(3, 1, 1)
    torch.testing.assert_close(normalise(clip), torch.ones(2, 3, 4, 4))


def test_prepare_turns_bytes_into_normalised_floats() -> None:
    clips = (255 * clips_of(2, T, 3, H, W)).to(torch.uint8)
    torch.testing.assert_close(prepare(clips), normalise(clips / 255))
    draws = draws_of(0, 1)
    torch.testing.assert_close(prepare(clips, draws), normalise(augment(clips / 255, draws)))


def test_page_has_the_drawn_ranges() -> None:
    page = (Path(__file__).parents[3] / "docs/training.md").read_text(encoding="utf-8")
    table = page.partition("## Augmentation")[2].partition("##")[0]
    cells = {row.split(" | ")[0]: row.split(" | ")[-1] for row in re.findall(r"^\| (.*) \|$", table, re.MULTILINE)}
    drawn = torch.stack([draw(torch.Generator().manual_seed(seed)) for seed in range(4000)])
    for name, column in {"gamma": 0, "brightness": 1, "contrast": 2, "saturation": 3}.items():
        (cell,) = (cell for kind, cell in cells.items() if kind.partition(",")[0] == name)
        assert cell == f"{drawn[:, column].min():.2f} to {drawn[:, column].max():.2f}"
    assert cells["size of the crop"] == ", ".join(f"{scale:g}" for scale in CROP_SCALES)
    places = {float(value) for value in re.findall(r"\d[.\d]*", cells["position of the crop"])}
    assert places == {value for place in CROP_PLACES for value in place}
    assert f"one of {len(CROP_PLACES)}, " in table
    assert drawn[:, 8].mean().item() == pytest.approx(0.5, abs=0.03)
    assert cells["horizontal flip"] == "probability 1/2"
