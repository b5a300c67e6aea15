"""Each face gets the scores of its own stream, and faces share batches."""

import pytest
import torch
from torch import Tensor

from agdt_layers import AGDTStream, build_agdtnet
from dfer.video.recogniser import MOST_FRAMES, FaceStreams

WINDOW, SIZE = 4, 32


@pytest.fixture(scope="module")
def net() -> torch.nn.Module:
    torch.manual_seed(1)
    net = build_agdtnet(5, num_frames=WINDOW).eval()
    with torch.no_grad():
        for parameter in net.backbone.attention.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return net


# Frames of each face at each push: faces come, pause and leave.
LIVES = {1: (3, 2, 0, 5, 1), 2: (0, 2, 2, 5, 0), 3: (3, 2, 3, 0, 0), 4: (0, 0, 6, 5, 1)}


def test_probabilities_equal_those_of_one_stream_per_face(net: torch.nn.Module) -> None:
    frames = {face: torch.rand(sum(runs), 3, SIZE, SIZE) for face, runs in LIVES.items()}
    streams = FaceStreams(net, WINDOW)
    got: dict[int, list[Tensor]] = {face: [] for face in LIVES}
    at = dict.fromkeys(LIVES, 0)
    for push in range(5):
        now = {}
        for face, runs in LIVES.items():
            if runs[push]:
                now[face] = frames[face][at[face] : at[face] + runs[push]]
                at[face] += runs[push]
        for face, probabilities in streams.push(now).items():
            got[face].append(probabilities)
    for face, own in frames.items():
        expected = AGDTStream(net, num_frames=WINDOW).push(own[None])[0].softmax(-1)
        torch.testing.assert_close(torch.cat(got[face]), expected, atol=1e-5, rtol=1e-4)


def test_faces_with_equal_frame_counts_share_a_batch(net: torch.nn.Module) -> None:
    streams = FaceStreams(net, WINDOW)
    batches: list[int] = []
    handle = net.backbone.register_forward_pre_hook(lambda module, inputs: batches.append(len(inputs[0])))
    streams.push({face: torch.rand(2, 3, SIZE, SIZE) for face in (1, 2, 3)})
    streams.push({face: torch.rand(2, 3, SIZE, SIZE) for face in (1, 2, 3, 4)})
    streams.push({face: torch.rand(1, 3, SIZE, SIZE) for face in range(4, 4 + MOST_FRAMES + 3)})
    handle.remove()
    assert batches == [6, 8, MOST_FRAMES, 3]


def test_forgotten_face_starts_a_new_stream(net: torch.nn.Module) -> None:
    streams = FaceStreams(net, WINDOW)
    frames = torch.rand(3, 3, SIZE, SIZE)
    first = streams.push({1: frames, 2: frames})
    streams.keep_only([2])
    again = streams.push({1: frames, 2: frames})
    torch.testing.assert_close(again[1], first[1])
    assert not torch.allclose(again[2], first[2], atol=1e-4)
    assert streams.push({}) == {}
