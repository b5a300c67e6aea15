import torch

from dfer.data.augmentation import MEAN, STD, augment, normalise


def draw(clip: torch.Tensor, seed: int) -> torch.Tensor:
    return augment(clip, torch.Generator().manual_seed(seed))


def test_all_frames_of_a_clip_get_the_same_draw() -> None:
    frame = torch.rand(3, 16, 12, generator=torch.Generator().manual_seed(0))
    for seed in range(20):
        out = draw(frame.expand(5, 3, 16, 12), seed)
        assert out.shape == (5, 3, 16, 12)
        torch.testing.assert_close(out, out[:1].expand_as(out))


def test_draws_differ_between_seeds_and_repeat_for_one() -> None:
    clip = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(draw(clip, 1), draw(clip, 1))
    assert len({float(draw(clip, seed).sum()) for seed in range(20)}) == 20


def test_values_stay_in_range() -> None:
    clip = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)).round()
    for seed in range(20):
        out = draw(clip, seed)
        assert 0 <= float(out.min()) <= float(out.max()) <= 1


def test_half_of_the_clips_are_mirrored() -> None:
    ramp = torch.linspace(0.2, 0.8, 16).expand(1, 3, 16, 16)
    mirrored = sum(float(draw(ramp, seed)[0, 0, 0, 0]) > float(draw(ramp, seed)[0, 0, 0, -1]) for seed in range(200))
    assert 75 < mirrored < 125


def test_normalise_undoes_the_statistics() -> None:
    clip = torch.tensor(MEAN).view(1, 3, 1, 1).expand(2, 3, 4, 4) + torch.tensor(STD).view(1, 3, 1, 1)
    torch.testing.assert_close(normalise(clip), torch.ones(2, 3, 4, 4))
