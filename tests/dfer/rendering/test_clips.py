from collections.abc import Sequence
from itertools import combinations

import pytest
import torch

from dfer.rendering.clips import LABEL_SETS, render_clips
from dfer.rendering.identity import draw_identities, draw_scenes, select
from dfer.rendering.motion import APEX, EXPRESSIONS, MUSCLES, Motion
from dfer.rendering.painting import paint_faces


@pytest.mark.parametrize("label_set", LABEL_SETS)
def test_every_person_has_one_clip_of_every_class(label_set: str) -> None:
    clips, labels, people = render_clips(label_set, people=3, frames=5, size=24, seed=0)
    classes = len(LABEL_SETS[label_set])
    assert clips.shape == (3 * classes, 5, 3, 24, 24)
    assert clips.dtype == torch.uint8
    for person in range(3):
        assert sorted(labels[people == person].tolist()) == list(range(classes))


def test_clips_depend_only_on_the_seed() -> None:
    def render(seed: int) -> torch.Tensor:
        return render_clips("expressions", people=2, frames=3, size=24, seed=seed).clips

    assert torch.equal(render(5), render(5))
    assert not torch.equal(render(5), render(6))


def test_offset_is_the_onset_in_reverse_order() -> None:
    clips, labels, _ = render_clips("direction", people=4, frames=6, size=24, seed=0)
    onset, offset = clips[labels == 0], clips[labels == 1]
    assert torch.equal(onset, offset.flip(1))
    assert not torch.equal(onset, offset)


def test_people_look_different_and_faces_move() -> None:
    clips, labels, _ = render_clips("expressions", people=4, frames=6, size=32, seed=0)
    happy = clips[labels == 0].float()
    assert (happy[0] - happy[1:]).abs().mean(dim=(1, 2, 3, 4)).min() > 5
    assert (happy[:, 1:] - happy[:, :-1]).abs().mean(dim=(1, 2, 3, 4)).min() > 0.5


def test_apexes_of_all_expressions_differ() -> None:
    generator = torch.Generator().manual_seed(0)
    still = {name: torch.zeros(7) for name in ("gaze", "shift_x", "shift_y", "roll", "yaw", "pitch")}
    muscles = dict(zip(MUSCLES, torch.tensor([APEX[name] for name in EXPRESSIONS]).unbind(1), strict=True))
    motion = Motion(**muscles, **still, scale=torch.ones(7))
    same = torch.zeros(7, dtype=torch.long)
    person, scene = select(draw_identities(1, generator), same), select(draw_scenes(1, generator), same)
    faces = paint_faces(person, scene, motion, torch.zeros(7), 48)
    for first, second in combinations(range(7), 2):
        assert float((faces[first] - faces[second]).abs().amax()) > 0.2, (
            EXPRESSIONS[first],
            EXPRESSIONS[second],
        )
    # The background does not change.
    assert torch.equal(faces[:, :, :4], faces[:1, :, :4].expand(7, -1, -1, -1))


def test_rendering_reports_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[str, int | None]] = []

    def track(items: Sequence[torch.Tensor], what: str, total: int | None) -> Sequence[torch.Tensor]:
        shown.append((what, total))
        return items

    monkeypatch.setattr("dfer.rendering.clips.track", track)
    render_clips("direction", people=2, frames=2, size=256, seed=0)
    assert shown == [("rendering faces", 2)]
