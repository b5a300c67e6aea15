import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest
import torch

from dfer.preparation.clips import find_clips
from helpers.footage import talking_face
from helpers.full_disk import full_disk
from helpers.videos import shades, write_video
from prepare_videos import main, parse

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tree like DAiSEE's: six videos with a face, one of them truncated; one without a face; one non-video."""
    root = tmp_path_factory.mktemp("raw") / "DataSet"
    frames = talking_face()
    for number, split in enumerate(("Train", "Train", "Validation", "Validation", "Test")):
        name = f"110001{number + 1000}"
        write_video(
            root / split / "110001" / name / f"{name}.avi", frames[number * 24 : number * 24 + 24], codec="mpeg4"
        )
    dark = torch.cat([frames[:3], shades(*[9] * 3, height=144, width=176)])
    write_video(root / "Test" / "200001" / "2000011000" / "2000011000.avi", dark, codec="mpeg4")
    write_video(root / "Test" / "200001" / "nobody.mp4", shades(*[9] * 4))
    whole = write_video(root / "Train" / "cut.mkv", frames[60:84])
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (root / "Train" / "broken.mp4").write_bytes(b"nothing")
    return root


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / "examples" / "prepare_videos.py"), *map(str, arguments), "--device", "cpu"]


ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}


def stop_in_the_middle(number: signal.Signals, out: Path, *arguments: object) -> tuple[int, str]:
    """Start a run and send the signal while one clip is finished and another half written."""
    process = subprocess.Popen(
        command(*arguments), env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    before = names(out)
    end = time.monotonic() + 120
    while True:
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.03)
        os.killpg(process.pid, signal.SIGSTOP)
        new = names(out) - before
        if any(".partial-" in name for name in new) and any(
            name.endswith("00001.jpg") and "." not in name[:-4] for name in new
        ):
            break
        os.killpg(process.pid, signal.SIGCONT)
    if number == signal.SIGKILL:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
        os.killpg(process.pid, signal.SIGCONT)
    errors = process.communicate(timeout=60)[1]
    return process.returncode, errors


def names(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in out.rglob("*")}


def contents(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def uninterrupted(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("prepared")
    finished = subprocess.run(
        command(videos, "--out", out, "--workers", 2), env=ENVIRONMENT, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert (finished.returncode, finished.stderr) == (3, "")
    return out, finished.stdout


def test_every_video_of_the_tree_is_prepared_or_reported(videos: Path, uninterrupted: tuple[Path, str]) -> None:
    out, printed = uninterrupted
    reports = {str(path.relative_to(out)): json.loads(path.read_text()) for path in out.rglob("*.json")}
    assert len(reports) == 9
    status = {name: report["status"] for name, report in reports.items()}
    assert status.pop("Test/200001/nobody.json") == "no face"
    assert status.pop("Train/broken.json") == "unreadable"
    assert set(status.values()) == {"prepared"}
    assert reports["Train/cut.json"]["problem"] is not None
    assert reports["Test/200001/2000011000/2000011000.json"]["analysed"] == 6
    for name in status:
        pictures = sorted(path.name for path in (out / name).with_suffix("").iterdir())
        assert pictures == [f"{number:05d}.jpg" for number in range(1, reports[name]["clips"][0]["frames"] + 1)]
    assert len([path for path in out.rglob("*") if path.name.startswith(".")]) == 0
    lines = printed.splitlines()
    assert len(lines) == 11
    assert "9 videos: 7 prepared, 1 of them damaged, 1 without a face, 1 unreadable; " in lines[-2]
    assert re.fullmatch(r"this run: \d+ frames in \d+ s, [\d.]+ frames/s in 2 processes", lines[-1])
    assert any("Train/broken.mp4: unreadable: a text file, not a video" in line for line in lines)


def test_second_run_prepares_only_the_remaining_videos(
    videos: Path, uninterrupted: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = uninterrupted
    before = contents(out)
    assert main([str(videos), "--out", str(out), "--device", "cpu"]) == 3
    assert contents(out) == before
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "[9/9] Train/broken.mp4: unreadable" in lines[0]
    assert "(8 done before)" in lines[1]


def test_restarted_run_gives_the_same_bytes(videos: Path, uninterrupted: tuple[Path, str], tmp_path: Path) -> None:
    arguments = (videos, "--out", tmp_path, "--workers", 1)
    assert stop_in_the_middle(signal.SIGKILL, tmp_path, *arguments) == (-signal.SIGKILL, "")
    assert any(".partial-" in name for name in names(tmp_path))

    code, errors = stop_in_the_middle(signal.SIGTERM, tmp_path, *arguments)
    assert code == 128 + signal.SIGTERM
    assert errors == "prepare_videos.py: stopped by SIGTERM; run the same command to continue\n"
    left = contents(tmp_path)
    assert not any(".partial-" in name for name in names(tmp_path))

    whole = contents(uninterrupted[0])
    assert 0 < len(left) < len(whole)
    assert all(whole[name] == content for name, content in left.items())
    assert main([*map(str, arguments), "--device", "cpu"]) == 3
    assert contents(tmp_path) == whole


def test_rerun_removes_the_unfinished_folder_of_a_finished_clip(
    videos: Path, uninterrupted: tuple[Path, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(uninterrupted[0], out)
    partial = find_clips(videos, out)[0].partial
    (partial / "1").mkdir(parents=True)
    assert main([str(videos), "--out", str(out), "--device", "cpu"]) == 3
    assert contents(out) == contents(uninterrupted[0])
    assert not partial.exists()


def test_ctrl_c_ends_like_sigterm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: object, **flags: object) -> Generator[None]:
        os.kill(os.getpid(), signal.SIGINT)
        yield

    monkeypatch.setattr("prepare_videos.prepare_clips", interrupted)
    (tmp_path / "a.mp4").touch()
    assert main([str(tmp_path), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 130
    assert capsys.readouterr().err.startswith("prepare_videos.py: stopped by SIGINT; run the same command")


def test_second_process_is_refused_but_another_shard_is_not(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = [str(videos / "Validation"), "--out", str(tmp_path), "--workers", "1", "--device", "cpu"]
    with subprocess.Popen(
        command(videos, "--out", tmp_path, "--workers", 1, "--shard", "1/2"), env=ENVIRONMENT, stdout=subprocess.DEVNULL
    ) as first:
        while not (tmp_path / ".shard-1-of-2").exists():
            assert first.poll() is None
            time.sleep(0.01)
        for shard in ("1/2", "1/1", "3/4"):
            assert main([*one, "--shard", shard]) == 2
            assert capsys.readouterr().err == (
                f"prepare_videos.py: --out {tmp_path}: another prepare_videos.py, shard 1/2, is writing there; "
                "wait until it ends, or choose another --out\n"
            )
        assert first.poll() is None
        assert main([*one, "--shard", "9/10"]) == 2  # 9 and 1 are both odd
        assert main([*one, "--shard", "10/10"]) == 0
    assert first.returncode == 3
    assert not any(name.startswith(".") for name in names(tmp_path))


def test_full_disk_is_reported_and_a_rerun_continues(
    videos: Path, uninterrupted: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = videos / "Validation", tmp_path / "out"
    arguments = [str(source), "--out", str(out), "--workers", "2", "--device", "cpu"]
    with full_disk(3000):  # less than a picture
        assert main(arguments) == 2
    assert re.fullmatch(
        rf"prepare_videos.py: {out}/110001/\d+/\d+: cannot be written \(File too large\); free some space and run "
        r"the same command to continue\n",
        capsys.readouterr().err,
    )
    assert contents(out) == {}
    assert main(arguments) == 0

    def pictures(root: Path) -> dict[str, bytes]:
        return {name: content for name, content in contents(root).items() if name.endswith(".jpg")}

    assert pictures(out) == pictures(uninterrupted[0] / "Validation")


def test_shards_are_disjoint_and_complete(videos: Path, uninterrupted: tuple[Path, str], tmp_path: Path) -> None:
    every = find_clips(videos, tmp_path)
    for count in (1, 2, 4, 20):
        shards = [every[parse(["IN", "--out", "o", "--shard", f"{k}/{count}"]).shard[0] - 1 :: count]
                  for k in range(1, count + 1)]  # fmt: skip
        assert sorted(clip.name for shard in shards for clip in shard) == sorted(clip.name for clip in every)
    # The last of four shards prepares exactly its part.
    main([str(videos), "--out", str(tmp_path), "--shard", "4/4", "--workers", "1", "--device", "cpu"])
    expected = {str(clip.report.relative_to(tmp_path)) for clip in every[3::4]}
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.json")} == expected
    whole = contents(uninterrupted[0])
    part = contents(tmp_path)
    assert part
    assert all(whole[name] == content for name, content in part.items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "missing: no such file; expected a video or a folder of videos"),
        (["."], "contains no video"),
        ([".", "--device", "cuda:99"], "--device cuda:99: "),
        ([".", "--device", "toaster"], "--device toaster: "),
    ],
)
def test_bad_input_is_reported_in_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert main([*arguments, "--out", "out"]) == 2
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    printed = capsys.readouterr()
    assert printed.err.startswith("prepare_videos.py: ")
    assert message in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    "flags", [["--shard", "0/3"], ["--shard", "4/3"], ["--shard", "2"], ["--every", "0"], ["--every", "nan"],
              ["--size", "8"], ["--workers", "0"]],
)  # fmt: skip
def test_meaningless_flags_are_refused(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([".", "--out", "out", *flags])
    assert ended.value.code == 2
    assert f"argument {flags[0]}: expected" in capsys.readouterr().err


def test_other_settings_on_the_same_folder_are_refused(
    videos: Path, uninterrupted: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(videos), "--out", str(uninterrupted[0]), "--every", "0.5", "--device", "cpu"]) == 2
    assert "choose another --out" in capsys.readouterr().err


def test_unwritable_output_is_refused_in_one_line(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main([str(videos / "Train"), "--out", str(tmp_path / "file" / "out"), "--device", "cpu"]) == 2
    printed = capsys.readouterr().err
    assert "Not a directory" in printed
    assert printed.count("\n") == 1
