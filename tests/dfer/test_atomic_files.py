"""A file is whole or not there, also after a power cut."""

import os
from pathlib import Path

import pytest

from dfer.atomic_files import whole_file


def test_content_is_synced_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    fsync, replace = os.fsync, os.replace

    def synced(file: int) -> None:
        steps.append(f"{os.fstat(file).st_size} bytes on the disk")
        fsync(file)

    def moved(source: Path, target: Path) -> None:
        steps.append(target.name)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", moved)
    with whole_file(tmp_path / "last.ckpt") as beside:
        beside.write_bytes(b"weights")
    assert steps == ["7 bytes on the disk", "last.ckpt"]
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_error_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("before")
    with pytest.raises(UnicodeEncodeError), whole_file(tmp_path / "a") as beside:
        beside.write_text("half" * 10_000 + "\udcff", encoding="utf-8")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a", "before")]
