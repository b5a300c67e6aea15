"""Aligned faces: each turned, scaled and moved so that its five points lie where those of every other face lie."""

import torch
from torch import Tensor, nn

# Where the points of an upright face lie in a square picture of side 1: eyes, nose, corners of the mouth.
# The proportions are the usual ones of aligned faces, made symmetric, with the whole chin and brow inside.
TEMPLATE = torch.tensor([[0.355, 0.43], [0.645, 0.43], [0.5, 0.595], [0.38, 0.755], [0.62, 0.755]])


def similarity(points: Tensor, target: Tensor) -> Tensor:
    """The similarity that brings `points` (n, 5, 2) closest to `target` (5, 2), in least squares: (n, 2, 3).

    With both centred and read as complex numbers p and q, the turn and scale is sum(conj(p) q) / sum(|p|^2); it never
    mirrors. (S. Umeyama, Least-squares estimation of transformation parameters between two point patterns, IEEE
    TPAMI 13(4), 1991, in two dimensions and without reflections.)
    """
    centre, goal = points.mean(1), target.mean(0)
    p, q = points - centre[:, None], target - goal
    size = p.square().sum((1, 2)).clamp(min=1e-12)
    cosine = (p * q).sum((1, 2)) / size
    sine = (p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]).sum(1) / size
    turn = torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)
    return torch.cat([turn, (goal - (turn @ centre[..., None])[..., 0])[..., None]], 2)


def align(frames: Tensor, points: Tensor, size: int = 112) -> Tensor:
    """One face of each frame: (B, 3, H, W) uint8 and its points (B, 5, 2) in pixels -> (B, 3, size, size) uint8.

    Sampled bilinearly at twice the size, then every 2 x 2 pixels averaged; with the default that is 224, then 112.
    What lies outside the frame repeats its border.
    """
    points = points.to(frames.device)
    aligned = torch.empty(len(frames), 3, size, size, dtype=torch.uint8, device=frames.device)
    # A face larger than the sampled picture is shrunk first, by whole pixels: sampling alone would skip pixels.
    shrinking = (1 / _scale(similarity(points, TEMPLATE.to(points) * 2 * size))).floor().clamp(1, 64).int()
    for factor in shrinking.unique().tolist():
        own = (shrinking == factor).nonzero()[:, 0]
        maps = nn.functional.avg_pool2d(frames[own].float(), factor, ceil_mode=True)
        aligned[own] = _sample(maps, points[own] / factor, 2 * size).round_().clamp_(0, 255).byte()
    return aligned


def _scale(transform: Tensor) -> Tensor:
    return transform[:, :, :2].det().clamp(min=1e-12).sqrt()


def _sample(maps: Tensor, points: Tensor, fine: int) -> Tensor:
    transform = similarity(points, TEMPLATE.to(points) * fine)
    ticks = torch.arange(fine, device=points.device) + 0.5
    target = torch.stack([ticks.expand(fine, fine), ticks[:, None].expand(fine, fine)], -1).view(1, -1, 2)
    source = (target - transform[:, None, :, 2]) @ transform[:, :, :2].inverse().transpose(1, 2)
    grid = source / source.new_tensor([maps.shape[-1], maps.shape[-2]]) * 2 - 1
    sampled = nn.functional.grid_sample(maps, grid.view(-1, fine, fine, 2), padding_mode="border", align_corners=False)
    return nn.functional.avg_pool2d(sampled, 2)
