import re
from pathlib import Path

import pytest

from dfer.benchmarking import detection
from helpers.footage import talking_face
from helpers.videos import write_video


def test_what_is_found_and_how_fast(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = write_video(tmp_path / "face.mp4", talking_face()[:6])
    assert detection.main([str(video), "--rounds", "2", "--threads", "1"]) == 0
    first, found, speeds = capsys.readouterr().out.splitlines()
    assert first == "on cpu, 1 threads, median of 2 rounds"
    assert found == "face.mp4: 6 frames, face found in 6; 0 with several faces"
    match = re.fullmatch(r"  frames a second: detection (\d+\.\d), whole preparation (\d+\.\d)", speeds)
    assert match
    # Not that the first is larger: on a busy machine six frames do not tell.
    assert min(map(float, match.groups())) > 0


def test_what_is_no_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    for name, message in {
        "nowhere.mp4": "not a readable video: No such file",
        "broken.mp4": "a text file, not a video",
    }.items():
        assert detection.main([str(tmp_path / name), "--threads", "1"]) == 2
        errors = capsys.readouterr().err
        assert f"{name}: {message}" in errors
        assert errors.count("\n") == 1
