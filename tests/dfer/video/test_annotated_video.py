"""The annotated video keeps frames, rate, length and sound of the source and shows the faces."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from dfer.errors import BadInput
from dfer.video.annotated_video import draw_faces, write_annotated, write_annotated_picture
from dfer.video.reading import VideoReader
from dfer.video.timeline import Row, Timeline
from helpers.footage import decoded
from helpers.made_rows import CLASSES, row, timeline
from helpers.videos import shades, write_video


def annotate(video: Path, rows: list[Row] | None = None) -> tuple[Path, VideoReader]:
    reader = VideoReader(video)
    frames = list(reader.frames())
    height, width = frames[0].pixels.shape[1:]
    out = video.with_name("out.mp4")
    write_annotated(out, made(reader, rows or [], width, height))
    return out, reader


def made(reader: VideoReader, rows: list[Row], width: int, height: int) -> Timeline:
    return timeline(reader.path, rows, fps=reader.fps, duration=reader.duration, width=width, height=height)


def heard(path: Path) -> tuple[str, float, float]:
    """Codec, length and loudness of the sound."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        frames = list(container.decode(stream))
        seconds = sum(frame.samples for frame in frames) / frames[0].sample_rate
        # A transport stream's clock begins at 1.4 s, the copy's at 0, for picture and sound alike.
        assert float(frames[0].time) < 0.1
        samples = np.concatenate([frame.to_ndarray().mean(0) for frame in frames])
        return stream.codec_context.codec.canonical_name, seconds, float(samples.std())


@pytest.mark.parametrize(
    ("name", "sound", "expected"),
    [
        ("a.mp4", "aac", "aac"),
        ("a.mkv", "libopus", "opus"),
        ("a.avi", "mp3", "mp3"),
        ("a.mov", "pcm_s16le", "aac"),
        ("a.mkv", "flac", "flac"),
        ("a.mkv", "mp2", "aac"),
        ("a.ts", "aac", "aac"),
    ],
)
def test_rate_length_and_sound_match_the_source(tmp_path: Path, name: str, sound: str, expected: str) -> None:
    video = write_video(tmp_path / name, shades(*range(0, 200, 4)), rate=24, sound=sound)
    out, source = annotate(video)
    copy = VideoReader(out)
    assert [frame.time for frame in copy.frames()] == pytest.approx([f.time for f in source.frames()], abs=2e-3)
    assert copy.fps == pytest.approx(24, abs=0.01)
    assert copy.duration == pytest.approx(source.duration, abs=5e-3)
    assert copy.problem is None
    codec, seconds, loudness = heard(out)
    assert codec == expected
    assert seconds == pytest.approx(50 / 24, abs=0.06)
    assert loudness > 0


@pytest.mark.parametrize(("name", "sound"), [("a.mp4", "aac"), ("a.mkv", "pcm_s16le")])
def test_sound_longer_than_the_video_is_kept(tmp_path: Path, name: str, sound: str) -> None:
    video = write_video(tmp_path / name, shades(*range(25)), sound=sound, sound_seconds=3.0)
    out, source = annotate(video)
    assert heard(out)[1] == pytest.approx(3, abs=0.06)
    copy = VideoReader(out)
    assert len(list(copy.frames())) == 25
    assert copy.duration == pytest.approx(source.duration, abs=5e-3)


def test_sound_with_several_channels_is_kept(tmp_path: Path) -> None:
    """Uncompressed sound in Matroska has no channel layout, which MP4 needs."""
    check_as_aac(write_video(tmp_path / "a.mkv", shades(*range(25)), sound="pcm_s16le", channels="stereo"))


@pytest.mark.parametrize("rate", [5512, 192_000])
def test_sound_at_a_rate_unknown_to_aac_is_resampled(tmp_path: Path, rate: int) -> None:
    check_as_aac(write_video(tmp_path / "a.mkv", shades(*range(25)), sound="pcm_s16le", sound_rate=rate))


def check_as_aac(video: Path) -> None:
    out, _ = annotate(video)
    codec, seconds, loudness = heard(out)
    assert codec == "aac"
    assert seconds == pytest.approx(1, abs=0.06)
    assert loudness > 0


def test_notice_is_in_the_file_comment(tmp_path: Path) -> None:
    out, _ = annotate(write_video(tmp_path / "a.mp4", shades(1, 2)))
    with av.open(str(out)) as container:
        said = container.metadata["comment"]
    for part in (
        "trained on rendered faces (expressions)",
        "not of what a person feels",
        "Art. 5(1)(f)",
        "Not legal advice",
    ):
        assert part in said


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (41, 3)])
def test_video_of_a_few_pixels_is_written(tmp_path: Path, height: int, width: int) -> None:
    video = write_video(tmp_path / "a.mkv", shades(9, 99, height=height, width=width), codec="ffv1", pixels="bgr0")
    out, _ = annotate(video)
    frames = decoded(out)
    assert frames.shape == (2, 3, 2 * height, 2 * width)
    assert frames.float().mean((1, 2, 3)).tolist() == pytest.approx([9, 99], abs=3)


def test_size_too_large_for_mp4_is_refused_in_one_line(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", shades(1, 2))
    reader = VideoReader(video)
    with pytest.raises(BadInput, match=r"out.mp4: cannot be written \(.*\); leave out --video"):
        write_annotated(tmp_path / "out.mp4", made(reader, [], 70_000, 2))
    assert not (tmp_path / "out.mp4").exists()


def test_rotated_variable_rate_video_with_odd_sides_is_written(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.3, 0.34, 1.2, 1.24]
    video = write_video(tmp_path / "a.mkv", shades(0, 40, 80, 120, 160, 200, height=47, width=63), times=times,
                        codec="ffv1", pixels="bgr0")  # fmt: skip
    out, _ = annotate(video)
    frames = list(VideoReader(out).frames())
    assert [round(frame.time, 3) for frame in frames] == times
    assert frames[0].pixels.shape == (3, 94, 126)
    assert [round(float(frame.pixels.float().mean()) / 40) for frame in frames] == [0, 1, 2, 3, 4, 5]
    turned = write_video(tmp_path / "turned.mp4", shades(0, 40), rotation=90)
    out, _ = annotate(turned)
    assert next(VideoReader(out).frames()).pixels.shape == (3, 128, 96)


def test_frames_of_other_sizes_are_resized_to_the_first(tmp_path: Path) -> None:
    parts = [write_video(tmp_path / f"{side}.ts", shades(9, 99, height=side, width=side)) for side in (48, 80)]
    (tmp_path / "both.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    out, _ = annotate(tmp_path / "both.ts")
    assert decoded(out).shape == (4, 3, 96, 96)


def test_boxes_stay_until_the_next_analysed_frame(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", shades(*[128] * 9, height=120, width=160))
    box = {"box": (60.0, 60.0, 40.0, 40.0)}
    rows = [row(0, None), row(3, 1, **box), row(6, None)]
    out, _ = annotate(video, rows)
    drawn = (decoded(out).int() - 128).abs().amax((1, 2, 3)) > 40
    assert drawn.tolist() == [False] * 3 + [True] * 3 + [False] * 3


def drawn(*rows: Row, height: int = 240, width: int = 320) -> torch.Tensor:
    picture = Image.new("RGB", (width, height), (128, 128, 128))
    draw_faces(picture, rows, CLASSES)
    return torch.from_numpy(np.array(picture))


def test_box_encloses_face_and_bar_length_is_probability() -> None:
    orange = torch.tensor([230, 159, 0])
    widths = []
    for share in (0.8, 0.4):
        rest = (1 - share) / 2
        made = row(0, 1, box=(100.0, 100.0, 120.0, 90.0), probabilities=(share, rest, rest))
        pixels = drawn(made)
        for y, x in ((100, 150), (190, 150), (150, 100), (150, 220)):
            assert torch.equal(pixels[y, x].int(), orange)
        assert torch.equal(pixels[150, 160].int(), torch.tensor([128, 128, 128]))
        bar = (pixels[:98].int() == orange).all(-1).sum(1)
        widths.append(int(bar.max()))
    assert widths[0] == pytest.approx(2 * widths[1], abs=6)


def test_boxes_at_the_border_are_drawn_and_faces_differ_in_colour() -> None:
    for box in ((-30.0, -30.0, 60.0, 60.0), (300.0, 220.0, 60.0, 60.0), (0.0, 0.0, 320.0, 240.0), (5.0, 5.0, 2.0, 2.0)):
        assert (drawn(row(0, 1, box=box)) != 128).any()
    assert not torch.equal(drawn(row(0, 1, box=(9.0, 9.0, 50.0, 50.0))), drawn(row(0, 2, box=(9.0, 9.0, 50.0, 50.0))))
    assert torch.equal(drawn(row(0, None)), torch.full((240, 320, 3), 128, dtype=torch.uint8))


def test_unwritable_path_is_refused(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", shades(1, 2))
    with pytest.raises(BadInput, match=r"out.mp4: cannot be written"):
        write_annotated(tmp_path / "nowhere" / "out.mp4", made(VideoReader(video), [], 64, 48))


@pytest.mark.parametrize(("height", "width", "larger"), [(144, 176, 2), (238, 400, 2), (240, 320, 1), (360, 640, 1)])
def test_small_pictures_are_annotated_at_twice_their_size(tmp_path: Path, height: int, width: int, larger: int) -> None:
    video = write_video(tmp_path / "a.mp4", shades(*[128] * 3, height=height, width=width))
    out, _ = annotate(video, [row(0, 1, box=(60.0, 70.0, 40.0, 40.0))])
    frame = next(VideoReader(out).frames()).pixels
    assert frame.shape == (3, larger * height, larger * width)
    off = (frame[:, larger * 90].int() - 128).abs().amax(0) > 40
    edges = off.nonzero()[:, 0]
    assert float(edges.min()) == pytest.approx(60 * larger, abs=2)
    assert float(edges.max()) == pytest.approx(100 * larger, abs=2)


def test_still_is_annotated_as_picture(tmp_path: Path) -> None:
    Image.new("RGB", (176, 144), (128, 128, 128)).save(tmp_path / "a.png")
    made = timeline(tmp_path / "a.png", [row(0, 1)], still=True)
    write_annotated_picture(tmp_path / "out.png", made)
    with Image.open(tmp_path / "out.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (352, 288))
