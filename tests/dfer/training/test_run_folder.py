"""One process in a folder, nothing of an earlier run lost, nothing half-written left behind."""

import os
from pathlib import Path

import pytest

import train
from dfer.errors import BadInput
from dfer.training import checkpoints
from dfer.training.run import run
from dfer.training.run_folder import run_folder
from helpers.tiny_runs import tiny_flags, tiny_settings, use_tiny_model, write_coloured_lists
from helpers.train_processes import finished, start, wait_for


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert train.main(arguments) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    return printed


def test_earlier_run_is_never_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_tiny_model(monkeypatch)
    out = tmp_path / "out"
    run(tiny_settings(out, epochs=1))
    before = contents(out)
    flags = tiny_flags(write_coloured_lists(tmp_path / "clips"), out)
    assert "holds a run; continue it with --resume, or give another" in refused(flags, capsys)
    assert "holds a run" in refused([*flags, "--list", "mistyped.txt"], capsys)
    assert "--resume: the run was started with" in refused([*flags, "--resume"], capsys)
    assert contents(out) == before


@pytest.mark.parametrize("left", ["last.ckpt", "metrics.json", "weights.safetensors"])
def test_any_result_file_marks_a_run(tmp_path: Path, left: str) -> None:
    (tmp_path / left).write_text("precious")
    with pytest.raises(BadInput, match="holds a run"), run_folder(tmp_path, resume=False):
        pass
    assert contents(tmp_path) == {left: b"precious"}


def test_mistyped_list_leaves_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--list", str(tmp_path / "no.txt"), "--test-list", "no.txt", "--out", str(tmp_path / "new" / "out")]
    assert "no.txt: cannot be read" in refused(flags, capsys)
    assert not (tmp_path / "new" / "out").exists()


def test_second_run_in_one_folder_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    flags = tiny_flags(write_coloured_lists(tmp_path), out, epochs=5)
    first = start(flags, tmp_path / "printed")
    wait_for(lambda: (out / "settings.json").exists(), first)
    with pytest.raises(BadInput, match="another run is writing there"), run_folder(out, resume=True):
        pass
    assert finished(first) == 0
    assert (out / "metrics.json").exists()


def test_folder_of_a_killed_run_is_unlocked(tmp_path: Path) -> None:
    out = tmp_path / "out"
    flags = tiny_flags(write_coloured_lists(tmp_path), out, epochs=1000)
    first = start(flags, tmp_path / "printed")
    wait_for(lambda: (out / "last.ckpt").exists(), first)
    first.kill()
    first.join()
    with run_folder(out, resume=True):
        pass


def test_next_run_removes_partial_files_of_a_killed_run(tmp_path: Path) -> None:
    for name in (".4711-last.ckpt", ".12-confusion.png"):
        (tmp_path / name).write_text("half")
    (tmp_path / ".notes").write_text("the user's own")
    with run_folder(tmp_path, resume=False):
        assert {file.name for file in tmp_path.iterdir()} == {".lock", ".notes"}


def test_checkpoints_are_written_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no temporary folder, a run does without."""
    places: list[Path] = []
    whole_file = checkpoints.whole_file

    def watched(path: Path) -> object:
        places.append(path.parent)
        return whole_file(path)

    def nowhere(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file was asked for")

    use_tiny_model(monkeypatch)
    monkeypatch.setattr(checkpoints, "whole_file", watched)
    monkeypatch.setattr("tempfile.mkstemp", nowhere)
    monkeypatch.setattr("tempfile.NamedTemporaryFile", nowhere)
    run(tiny_settings(tmp_path / "out", epochs=2))
    assert places == [tmp_path / "out"] * 2


def test_files_can_be_read_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_tiny_model(monkeypatch)
    mask = os.umask(0o022)
    try:
        run(tiny_settings(tmp_path / "out", epochs=1))
    finally:
        os.umask(mask)
    files = {file.name: oct(file.stat().st_mode & 0o777) for file in (tmp_path / "out").iterdir()}
    assert files.keys() > {"settings.json", "last.ckpt", "metrics.json", "weights.safetensors", "curves.png"}
    assert set(files.values()) == {"0o644"}


def test_unwritable_folder_is_reported_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/agdt-run")):
        assert f"--out {out}: cannot be written to" in refused(["--size", "16", "--out", str(out)], capsys)


def test_full_disk_is_one_line_and_the_run_can_resume(tmp_path: Path) -> None:
    out = tmp_path / "out"
    flags = tiny_flags(write_coloured_lists(tmp_path), out)
    assert finished(start(flags, tmp_path / "printed", largest_file=9000)) == 2
    last = (tmp_path / "printed").read_text().splitlines()[-1]
    assert last.startswith(f"train.py: {out / 'last.ckpt'}: cannot be written (File too large); free some space")
    assert {file.name for file in out.iterdir()} == {"settings.json", "clips.csv"}
    assert finished(start(flags, tmp_path / "printed")) == 0
