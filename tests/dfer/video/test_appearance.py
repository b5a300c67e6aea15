"""Appearance of aligned faces: correlations of the middle of the picture, independent of lighting."""

import torch

from dfer.video.following import looks


def faces(count: int, size: int = 112) -> torch.Tensor:
    coarse = torch.rand(count, 3, 8, 8) * 200
    return torch.nn.functional.interpolate(coarse, size, mode="bilinear").byte()


def test_product_of_two_looks_is_their_correlation() -> None:
    made = looks(faces(4))
    torch.testing.assert_close((made @ made.T), torch.corrcoef(made), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(made.norm(dim=1), torch.ones(4))


def test_look_ignores_lighting_and_separates_faces() -> None:
    one, other = faces(2)
    darker = (one * 0.6 + 20).byte()
    made = looks(torch.stack([one, darker, other]))
    assert made[0] @ made[1] > 0.99
    assert made[0] @ made[2] < 0.6


def test_background_does_not_change_a_look() -> None:
    one = faces(1)
    framed = one.clone()
    framed[..., :10], framed[..., -10:], framed[..., :12, :], framed[..., -10:, :] = 0, 255, 0, 255
    torch.testing.assert_close(looks(framed), looks(one))


def test_look_has_768_values_at_any_size_and_is_zero_for_a_uniform_picture() -> None:
    assert looks(faces(2, 32)).shape == looks(faces(2, 224)).shape == (2, 768)
    assert looks(torch.full((1, 3, 112, 112), 7, dtype=torch.uint8)).abs().max() == 0
    assert looks(torch.empty(0, 3, 112, 112, dtype=torch.uint8)).shape == (0, 768)
