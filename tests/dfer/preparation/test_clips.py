"""Finding videos and naming their folders."""

import os
from pathlib import Path

import pytest

from dfer.errors import BadInput
from dfer.preparation.clips import find_clips


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def folders(source: Path) -> list[str]:
    return [str(clip.folder) for clip in find_clips(source, Path("out"))]


def test_clip_folders_mirror_the_source_tree(tmp_path: Path) -> None:
    touch(tmp_path, "Train/110001/1100011002/1100011002.avi", "b 2.MP4", "sub/c.d.mov", "notes.txt", "x.jpg")
    touch(tmp_path, ".Trash/e.mp4", "sub/._c.d.mov", "sub/.hidden/f.mp4")
    os.mkdir(tmp_path / "folder.mp4")
    assert folders(tmp_path) == ["out/Train/110001/1100011002/1100011002", "out/b 2", "out/sub/c.d"]
    (clip,) = find_clips(tmp_path / "b 2.MP4", Path("out"))
    assert (str(clip.folder), str(clip.report), clip.name) == ("out/b 2", "out/b 2.json", "b 2.MP4")


def test_links_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path, "disk/a.mp4", "in/b.mp4")
    (tmp_path / "in" / "more").symlink_to(tmp_path / "disk")
    (tmp_path / "in" / "circle").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "lost.mp4").symlink_to(tmp_path / "nowhere.mp4")
    assert folders(tmp_path / "in") == ["out/b", "out/lost", "out/more/a"]


def test_unprintable_names_are_replaced(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.mp4")).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (clip,) = find_clips(tmp_path, Path("out"))
    assert clip.name == "caf?.mp4"


def test_ambiguous_and_missing_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="missing: no such file; expected a video or a folder of videos"):
        find_clips(tmp_path / "missing", Path("out"))
    with pytest.raises(BadInput, match=r"contains no video; expected files that end in \.3gp, .*\.wmv"):
        find_clips(touch(tmp_path / "pictures", "a.jpg"), Path("out"))
    with pytest.raises(BadInput, match=r"a\.avi and .*a\.mp4 would both become out/a; rename one"):
        find_clips(touch(tmp_path / "twins", "a.avi", "a.mp4"), Path("out"))
    with pytest.raises(BadInput, match=r"a\.avi would become out/a, which also contains out/a/b; rename"):
        find_clips(touch(tmp_path / "nested", "a.avi", "a/b.mp4"), Path("out"))
