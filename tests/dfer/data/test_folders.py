import os
import tracemalloc
from pathlib import Path

import pytest

from dfer.data.folders import FolderTree, FrameFolder, frames_in_order, natural_order
from dfer.errors import BadInput
from helpers.made_data import numbered, write_frames


def test_frames_sort_naturally() -> None:
    names = ["10.jpg", "2.jpg", "1.jpg", "a²b.jpg", "frame_2_10.png", "frame_2_9.png"]
    assert sorted(names, key=natural_order) == [
        "1.jpg",
        "2.jpg",
        "10.jpg",
        "a²b.jpg",
        "frame_2_9.png",
        "frame_2_10.png",
    ]
    assert natural_order("2²3.jpg")[1] != natural_order("223.jpg")[1]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("1.5.png 1.png 2.png 10.png", "1.png 1.5.png 2.png 10.png"),
        ("1.5s.png 10.0s.png 1s.png 2.0s.png", "1s.png 1.5s.png 2.0s.png 10.0s.png"),
        ("0.50.jpg 0.05.jpg 10.25.jpg 2.75.jpg", "0.05.jpg 0.50.jpg 2.75.jpg 10.25.jpg"),
        ("00002.00010.jpg 00002.00009.jpg 00001.00011.jpg", "00001.00011.jpg 00002.00009.jpg 00002.00010.jpg"),
        ("a1,5.png a0,5.png a.png", "a.png a0,5.png a1,5.png"),
    ],
)
def test_decimals_sort_by_their_value(tmp_path: Path, names: str, expected: str) -> None:
    assert frames_in_order(tmp_path, names.split()) == expected.split()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("0.5s.png 0.25s.png 1s.png", r"is 0\.25s\.png before 0\.5s\.png\? .* same number of digits after the point"),
        ("clip.1.9.png clip.1.10.png", r"is clip\.1\.10\.png before clip\.1\.9\.png\?"),
        ("0,5.png 0,25.png", r"is 0,25\.png before 0,5\.png\?"),
        ("1.png 1.jpg 2.png", r"1\.(jpg|png) and 1\.(jpg|png) have the same frame number; move one of them away"),
        ("01.png 1.png", r"have the same frame number"),
        ("1e3.png 2e2.png", r"is 1e3\.png before 2e2\.png\? Rename the frames without signs and exponents"),
        ("1.png 1.5E+1.png", r"is 1\.5E\+1\.png before 1\.png\?"),
        ("-1.png 0.png 1.png", r"is -1\.png before 0\.png\?"),
    ],
)
def test_ambiguous_frame_order_is_refused(tmp_path: Path, names: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        frames_in_order(tmp_path, names.split())


def test_folder_named_like_a_frame_is_not_a_frame(tmp_path: Path) -> None:
    write_frames(tmp_path / "a", ["1.png", "2.png"])
    (tmp_path / "a/3.png").mkdir()
    assert FolderTree(tmp_path).frames("a").names() == ["1.png", "2.png"]


def test_dot_files_and_other_files_are_not_frames(tmp_path: Path) -> None:
    write_frames(tmp_path / "a clip", ["1.JPG", "2.png"])
    for other in ("._1.jpg", ".hidden.png", "Thumbs.db", "notes.txt"):
        (tmp_path / "a clip" / other).write_bytes(b"no picture")
    frames = FolderTree(tmp_path).frames("a clip")
    assert [path.name for path in frames] == ["1.JPG", "2.png"]
    assert len(frames) == 2
    assert list(frames)[1] == tmp_path / "a clip" / "2.png"


def test_empty_folder_has_no_frames(tmp_path: Path) -> None:
    frames = FolderTree(tmp_path).frames(".")
    assert len(frames) == 0
    assert list(frames) == []


def test_clips_are_found_in_all_subfolders(tmp_path: Path) -> None:
    for folder in ("10", "9", "scene/b", ".hidden/c"):
        write_frames(tmp_path / folder, numbered(1))
    (tmp_path / "empty").mkdir()
    (tmp_path / "scene/c.json").write_text('{"status": "no face"}')
    (tmp_path / "scene/b.json").write_text('{"status": "prepared"}')
    (tmp_path / "scene/moved.json").write_text('{"status": "prepared"}')
    (tmp_path / "notes.json").write_text("[]")
    assert FolderTree(tmp_path).walk() == (["9", "10", "scene/b"], {"scene/c": "no face"})


def test_links_are_followed_except_in_cycles(tmp_path: Path) -> None:
    write_frames(tmp_path / "disk/a/1", numbered(1))
    write_frames(tmp_path / "root/z", numbered(1))
    for link, target in {"more": "../disk", "all": ".", "same": "z", "itself": "itself", "lost": "nowhere"}.items():
        (tmp_path / "root" / link).symlink_to(target)
    (tmp_path / "disk/a/up").symlink_to("..")
    assert FolderTree(tmp_path / "root").walk()[0] == ["more/a/1", "same", "z"]


def test_unreadable_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_frames(tmp_path / "a", numbered(1))
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def closed(path: Path) -> object:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(BadInput, match=r"closed: cannot be read \(Permission denied\); give it read permission"):
        FolderTree(tmp_path).walk()


def test_unreadable_clip_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_frames(tmp_path / "a", numbered(1))

    def closed(path: Path) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", closed)
    monkeypatch.setattr(os, "scandir", closed)
    for look in (FolderTree(tmp_path).frames, FolderTree(tmp_path).has_video):
        with pytest.raises(BadInput, match=r"a: cannot be read \(Permission denied\); give it read permission"):
            look("a")


@pytest.mark.parametrize("path", ["a" * 300, "a\0b"])
def test_impossible_folder_name_does_not_exist(tmp_path: Path, path: str) -> None:
    tree = FolderTree(tmp_path)
    assert not tree.has(path)
    assert not tree.has_video(path)
    assert tree.left_out(path) is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.avi", True),
        ("b", True),
        ("c", True),
        ("take.2", True),
        ("DCIM", True),
        ("d", False),
        ("e", False),
        ("take", False),
    ],
)
def test_videos_are_recognised(tmp_path: Path, path: str, expected: bool) -> None:
    (tmp_path / "c").mkdir()
    for video in ("a.avi", "b.mp4", "c/c.avi", "take.2.mp4", "DCIM.MOV"):
        (tmp_path / video).touch()
    write_frames(tmp_path / "d", numbered(1))
    assert FolderTree(tmp_path).has_video(path) == expected


def test_paths_of_900_000_frames_fit_into_100_megabytes() -> None:
    names = numbered(90, "{:05}_00001.jpg")
    tracemalloc.start()
    clips = [FrameFolder(Path(f"/data/DFEW/Clip/clip_224x224/{clip:05}"), names) for clip in range(10_000)]
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(map(len, clips)) == 900_000
    assert used < 100e6
    assert list(clips[-1])[89] == Path("/data/DFEW/Clip/clip_224x224/09999/00090_00001.jpg")
