"""Which clips a run trains on, chooses by and tests on, in which order, and what is done to them before."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from dfer.data import parts
from dfer.data.clips import ClipSource, EpochOrder
from dfer.data.parts import RunData, rendered_data
from dfer.rendering.clips import render_clips
from dfer.training import networks
from dfer.training.run import run
from helpers.made_data import listed_data
from helpers.prepared import EvaluationClips, TrainingClips
from helpers.tiny_runs import NAMES, TinyNet, coloured_clips, tiny_data, tiny_settings, use_tiny_model


def test_every_epoch_has_all_clips_in_another_order() -> None:
    def epoch(number: int, seed: int = 0) -> list[int]:
        order = EpochOrder(50, seed)
        order.set_epoch(number)
        keys = list(order)
        assert {key[0] for key in keys} == {number}
        return [key[1] for key in keys]

    orders = [epoch(0), epoch(1), epoch(2), epoch(0, seed=1)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    assert epoch(1) == epoch(1)


def test_augmentation_differs_between_clips_epochs_and_seeds() -> None:
    """The same clip twice under two numbers: what differs is the draw."""
    clip = coloured_clips([1]).clips.expand(2, -1, -1, -1, -1)
    source = coloured_clips([1, 1])
    source.clips = clip

    def seen(epoch: int, index: int, seed: int = 0, *, augmented: bool = True) -> Tensor:
        return TrainingClips(source, seed, augmented=augmented)[(epoch, index)][0]

    draws = [seen(0, 0), seen(0, 1), seen(1, 0), seen(0, 0, seed=1)]
    assert len({float(draw.sum()) for draw in draws}) == 4
    assert torch.equal(seen(0, 0), seen(0, 0))
    assert torch.equal(seen(0, 0, augmented=False), seen(3, 1, augmented=False))


class RecordingNet(TinyNet):
    """Remembers the clips of every forward pass, by their mean."""

    def __init__(self) -> None:
        super().__init__(len(NAMES), 0.0)
        self.passes: list[tuple[bool, list[float]]] = []

    def forward(self, clips: Tensor) -> Tensor:
        self.passes.append((self.training, clips.mean(dim=(1, 2, 3, 4)).tolist()))
        return super().forward(clips)


def means(source: ClipSource) -> list[float]:
    clips = EvaluationClips(source)
    return sorted(float(clips[i][0].mean()) for i in range(len(clips)))


@pytest.mark.parametrize("augmented", [False, True])
def test_run_trains_only_on_its_training_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, augmented: bool
) -> None:
    data, net = tiny_data(), RecordingNet()
    use_tiny_model(monkeypatch, RunData(NAMES, data.training, data.validation, data.test, augmented))
    monkeypatch.setitem(networks.MODELS, "tiny", lambda *_: net)
    run(tiny_settings(tmp_path / "out", epochs=2))

    def epochs(training: bool, clips: int) -> list[list[float]]:
        values = [value for was_training, batch in net.passes if was_training is training for value in batch]
        return [values[i : i + clips] for i in range(0, len(values), clips)]

    first, second = epochs(True, 20)
    if augmented:
        assert not set(first) & set(means(data.training))
        assert not set(first) & set(second)
    else:
        assert sorted(first) == pytest.approx(means(data.training), abs=1e-5)
        assert sorted(second) == pytest.approx(means(data.training), abs=1e-5)
        assert first != second
    evaluated = [value for was_training, batch in net.passes if not was_training for value in batch]
    expected = means(data.validation)
    assert sorted(evaluated[:7]) == sorted(evaluated[7:14]) == pytest.approx(expected, abs=1e-5)
    assert sorted(evaluated[14:22]) == pytest.approx(means(data.test), abs=1e-5)


def people_of(source: Any, everyone: Tensor, people: Tensor) -> set[int]:
    return {
        int(people[(everyone == clip).flatten(1).all(dim=1)].unique())
        for clip in source.clips
    }  # fmt: skip


def test_no_person_is_in_two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "CLIPS", {"training": 35, "validation": 14, "test": 21})
    clips, _, people = render_clips("expressions", people=10, frames=2, size=16, seed=3)
    for select_on, sizes in (("validation", [5, 2, 3]), ("test", [5, 3, 3])):
        data = rendered_data("expressions", frames=2, size=16, select_on=select_on, seed=3)
        seen = [people_of(part, clips, people) for part in (data.training, data.validation, data.test)]
        assert [len(part) for part in seen] == sizes
        assert not seen[0] & (seen[1] | seen[2])
        assert seen[1] == seen[2] if select_on == "test" else not seen[1] & seen[2]
        assert not data.augmented


@pytest.fixture
def lists(tmp_path: Path) -> tuple[Path, Path]:
    """40 clips of label 0 and 21 of label 1 to train on, 4 to test on; the shade of each tells it."""
    shade = 0
    for name, labels in (("train", [0] * 40 + [1] * 21), ("test", [0, 1, 0, 1])):
        lines = []
        for label in labels:
            folder = tmp_path / f"{name}{shade}"
            folder.mkdir()
            for number in (1, 2):
                Image.new("RGB", (16, 16), (shade, shade, shade)).save(folder / f"{number}.png")
            lines.append(f"{folder.name} 2 {label}\n")
            shade += 1
        (tmp_path / f"{name}.txt").write_text("".join(lines))
    return tmp_path / "train.txt", tmp_path / "test.txt"


def shades(source: ClipSource) -> set[int]:
    return {int(source.frames(index, None)[0, 0, 0, 0]) for index in range(len(source.labels))}


TRAINING, TEST = set(range(61)), set(range(61, 65))


def test_validation_clips_of_a_list_are_held_out_of_training(lists: tuple[Path, Path]) -> None:
    def held_out(seed: int) -> RunData:
        return listed_data(*lists, None, None, size=16, frames=2, per_segment=2, select_on="validation", seed=seed)

    data = held_out(0)
    assert not shades(data.training) & shades(data.validation)
    assert shades(data.training) | shades(data.validation) == TRAINING
    assert Counter(data.validation.labels) == {0: 4, 1: 2}
    assert shades(data.test) == TEST
    assert data.augmented
    assert shades(held_out(0).validation) == shades(data.validation) != shades(held_out(1).validation)


def test_selecting_on_test_clips_trains_on_the_whole_list(lists: tuple[Path, Path]) -> None:
    data = listed_data(*lists, None, None, size=16, frames=2, per_segment=2, select_on="test", seed=0)
    assert shades(data.training) == TRAINING
    assert shades(data.validation) == shades(data.test) == TEST
