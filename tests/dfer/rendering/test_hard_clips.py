import pytest
import torch

from dfer.data.clips import ClipsInMemory
from dfer.data.parts import hard_data
from dfer.rendering.hard_clips import CLASSES, filmed, render_hard_clips


def rendered(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return render_hard_clips(people=3, takes=2, frames=5, size=24, seed=seed)


def test_every_person_has_as_many_clips_per_class_as_takes() -> None:
    clips, labels, people = rendered()
    assert clips.shape == (3 * 2 * len(CLASSES), 5, 3, 24, 24)
    assert clips.dtype == torch.uint8
    for person in range(3):
        counts = torch.bincount(labels[people == person], minlength=len(CLASSES))
        assert counts.tolist() == [2] * len(CLASSES)


def test_offset_is_the_onset_in_reverse_order() -> None:
    clips, labels, people = rendered()
    for name in ("happy", "surprise"):
        onset, offset = (labels == CLASSES.index(f"{name} {way}") for way in ("onset", "offset"))
        assert torch.equal(people[onset], people[offset])
        assert torch.equal(clips[onset].flip(1), clips[offset])
        assert not torch.equal(clips[onset], clips[offset])


def test_clips_depend_only_on_the_seed() -> None:
    assert torch.equal(rendered(5)[0], rendered(5)[0])
    assert not torch.equal(rendered(5)[0], rendered(6)[0])


def test_filming_adds_noise_and_a_linear_change_of_light() -> None:
    grey = torch.full((50, 5, 3, 32, 32), 100, dtype=torch.uint8)
    film = filmed(grey, torch.Generator().manual_seed(0)).float()
    assert float((film - film.mean(dim=(2, 3, 4), keepdim=True)).std()) == pytest.approx(6, abs=0.2)
    light = film.mean(dim=(2, 3, 4)) / 100
    change = light[:, -1] - light[:, 0]
    assert 0.12 < float(change.max()) < 0.21
    assert -0.21 < float(change.min()) < -0.12
    torch.testing.assert_close(light[:, 1:] - light[:, :-1], (change / 4)[:, None].expand(-1, 4), atol=0.01, rtol=0)


def test_parts_share_no_people() -> None:
    data = hard_data(training=3, validation=1, test=2, takes=1, frames=3, size=24, seed=0)
    assert data.names == CLASSES
    assert not data.augmented
    assert [len(part.labels) for part in (data.training, data.validation, data.test)] == [24, 8, 16]
    whole = render_hard_clips(people=6, takes=1, frames=3, size=24, seed=0)
    for part, people in ((data.training, (0, 1, 2)), (data.validation, (3,)), (data.test, (4, 5))):
        assert isinstance(part, ClipsInMemory)
        assert torch.equal(part.clips, whole.clips[torch.isin(whole.people, torch.tensor(people))])
