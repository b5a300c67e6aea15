"""The hard rendered faces: labels that need time, parts without common people."""

import torch

from dfer.data.clips import ClipsInMemory
from dfer.data.hard_rendered import CLASSES, hard_data, render_hard_clips


def rendered(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return render_hard_clips(people=3, takes=2, frames=5, size=24, seed=seed)


def test_every_person_shows_every_class_as_often_as_asked() -> None:
    clips, labels, people = rendered()
    assert clips.shape == (3 * 2 * len(CLASSES), 5, 3, 24, 24)
    assert clips.dtype == torch.uint8
    for person in range(3):
        counts = torch.bincount(labels[people == person], minlength=len(CLASSES))
        assert counts.tolist() == [2] * len(CLASSES)


def test_an_offset_is_an_onset_in_reverse_and_no_mean_over_frames_tells_them_apart() -> None:
    clips, labels, people = rendered()
    for name in ("happy", "surprise"):
        onset, offset = (labels == CLASSES.index(f"{name} {way}") for way in ("onset", "offset"))
        assert torch.equal(people[onset], people[offset])
        assert torch.equal(clips[onset].flip(1), clips[offset])
        assert not torch.equal(clips[onset], clips[offset])


def test_the_seed_decides_everything() -> None:
    assert torch.equal(rendered(5)[0], rendered(5)[0])
    assert not torch.equal(rendered(5)[0], rendered(6)[0])


def test_the_lamp_and_the_noise_change_from_frame_to_frame() -> None:
    """Shirt and wall, in the corners, do not move: what changes there is light and noise."""
    clips, _, _ = rendered()
    corners = clips[..., -1, [0, -1]].float()
    assert float((corners[:, 1:] - corners[:, :-1]).abs().mean()) > 4
    assert float(corners.mean(dim=(2, 3)).std(dim=1).mean()) > 2


def test_parts_have_the_people_asked_for_and_none_in_common() -> None:
    data = hard_data(training=3, validation=1, test=2, takes=1, frames=3, size=24, seed=0)
    assert data.names == CLASSES
    assert not data.augmented
    assert [len(part.labels) for part in (data.training, data.validation, data.test)] == [24, 8, 16]
    whole = render_hard_clips(people=6, takes=1, frames=3, size=24, seed=0)
    for part, people in ((data.training, (0, 1, 2)), (data.validation, (3,)), (data.test, (4, 5))):
        assert isinstance(part, ClipsInMemory)
        assert torch.equal(part.clips, whole.clips[torch.isin(whole.people, torch.tensor(people))])
