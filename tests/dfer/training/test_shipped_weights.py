"""The weights that come with the examples: what they say of themselves, and that they do it."""

from pathlib import Path

import pytest
import torch

from agdt_layers import AGDTNet, AGDTStream
from dfer.data.augmentation import normalise, to_unit
from dfer.rendering.clips import render_clips
from dfer.training.trained_file import TrainedFacts, load_trained
from dfer.video.alignment import align
from dfer.video.faces import FaceDetector
from helpers.real_footage import talking_face

FILE = Path(__file__).parents[3] / "examples/dfer/weights/rendered_faces.safetensors"


@pytest.fixture(scope="module")
def trained() -> tuple[AGDTNet, TrainedFacts]:
    net, facts = load_trained(FILE)
    assert isinstance(net, AGDTNet)
    return net, facts


def test_shipped_file_is_small_and_records_drawings(trained: tuple[AGDTNet, TrainedFacts]) -> None:
    facts = trained[1]
    assert FILE.stat().st_size < 2_000_000
    assert "drawings" in facts.trained_on
    assert "98.2 %" in FILE.with_name("README.md").read_text()
    assert f"{100 * facts.uar:.1f} %" == "98.2 %"
    assert sum(recall or 0 for recall in facts.recall) / len(facts.recall) == pytest.approx(facts.uar)


@torch.no_grad()
def test_shipped_net_recognises_other_drawings(trained: tuple[AGDTNet, TrainedFacts]) -> None:
    net, facts = trained
    drawn = render_clips("aligned-expressions", people=8, frames=facts.frames, size=facts.size, seed=12345)
    answers = net(normalise(to_unit(drawn.clips))).argmax(dim=1)
    assert (answers == drawn.labels).float().mean() >= 0.85


@torch.no_grad()
def test_stream_matches_the_net(trained: tuple[AGDTNet, TrainedFacts]) -> None:
    net, facts = trained
    clip = torch.randn(1, 2 * facts.frames, 3, facts.size, facts.size, generator=torch.Generator().manual_seed(0))
    streamed = AGDTStream(net, num_frames=facts.frames).push(clip)
    torch.testing.assert_close(streamed[:, facts.frames - 1], net(clip[:, : facts.frames]), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_probabilities_change_over_a_real_face(trained: tuple[AGDTNet, TrainedFacts]) -> None:
    """No more than that: the face is none of the drawings."""
    net, facts = trained
    pictures = [torch.frombuffer(bytearray(p.tobytes()), dtype=torch.uint8) for p in talking_face()[::6]]
    frames = torch.stack([picture.view(144, 176, 3).permute(2, 0, 1) for picture in pictures])
    points = torch.stack([faces.points[0] for faces in FaceDetector().detect(frames)])
    aligned = align(frames, points, facts.size)
    scores = AGDTStream(net, num_frames=facts.frames).push(normalise(to_unit(aligned))[None])[0]
    probabilities = scores.softmax(dim=-1)
    assert probabilities.shape == (20, 7)
    assert torch.isfinite(scores).all()
    assert (probabilities.amax(dim=0) - probabilities.amin(dim=0)).max() > 0.01
