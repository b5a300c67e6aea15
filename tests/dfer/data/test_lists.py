from pathlib import Path
from typing import Any

import pytest

from dfer.data.data_set import DataSet
from dfer.data.folders import FolderTree
from dfer.data.lists import read_lists
from dfer.data.packing import open_place, pack
from dfer.errors import BadInput
from helpers.made_data import numbered, write_frames


def make(root: Path, text: str, **folders: int) -> Path:
    for name, frames in folders.items():
        write_frames(root / "faces" / name, numbered(frames))
    (root / "list.txt").write_text(text, encoding="utf-8")
    return root / "list.txt"


def read_list(file: Path, root: Path, **options: Any) -> DataSet:
    return read_lists([(file, open_place(root))], **options)


def read(root: Path, text: str, **folders: int) -> list[tuple[str, int, int]]:
    data = read_list(make(root, text, **folders), root / "faces")
    return [(Path(str(clip.frames)).name, len(clip.frames), clip.label) for clip in data.test]


@pytest.mark.parametrize(
    "text",
    [
        "a 3 1\nb 2 0\n",
        "a\t3   1\r\n\r\n  b 2 0  ",
        "a,3,1\nb,2,0\n",
        "a, 3, 1\nb, 2, 0\n",
        "a 1\nb 0\n",
        "a 3.0 1.0\nb 2.0 0.0\n",
        "# folder frames label\na 3 1\n# not b\nb 2 0\n",
        "a,1\nb,0\n",
        '"a",1\n"b",0\n',
        "video_name,label\na,1\nb,0\n",
        "path frames label\na 3 1\nb 2 0\n",
        "\ufeffa 3 1\nb 2 0\n",
        "\ufeffvideo,label\na,1\nb,0\n",
        "./a 3 1\n./b 2 0\n",
        "a/ 3 1\nb/ 2 0\n",
        "a.mp4,1\nb.avi,0\n",
        "/home/user/DFEW/frames/a 3 1\n/home/user/DFEW/frames/b 2 0\n",
        "/home/user/DFEW/frames/a.mp4,1\n/home/user/DFEW/frames/b.mp4,0\n",
        "D:\\data\\frames\\a 3 1\nD:\\data\\frames\\b 2 0\n",
        "frames/a 3 1\nframes/b 2 0\n",
    ],
)
def test_all_formats_read_the_same(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text, a=3, b=2) == [("a", 3, 1), ("b", 2, 0)]


def test_folders_may_contain_spaces_and_commas(tmp_path: Path) -> None:
    folders = {"my clip, one": 2, "b  c": 1}
    assert read(tmp_path, "my clip, one 2 4\nb  c 1 0\n", **folders) == [("my clip, one", 2, 4), ("b  c", 1, 0)]
    assert read(tmp_path, "my clip, one,4\nb  c,0\n", **folders) == [("my clip, one", 2, 4), ("b  c", 1, 0)]


def test_existing_folder_decides_whether_a_number_is_a_count(tmp_path: Path) -> None:
    assert read(tmp_path, "clip 1 4\nclip 2 3\n", **{"clip 1": 2, "clip 2": 2}) == [("clip 1", 2, 4), ("clip 2", 2, 3)]


def test_current_place_takes_precedence_over_the_listed_one(tmp_path: Path) -> None:
    old = tmp_path / "old" / "a"
    write_frames(old, numbered(5))
    assert read(tmp_path, f"{old} 5 0\n", a=3) == [("a", 3, 0)]
    (tmp_path / "elsewhere").mkdir()
    clips = read_list(tmp_path / "list.txt", tmp_path / "elsewhere").test
    assert str(clips[0].frames) == str(old)


def test_missing_clip_is_not_replaced_by_another_of_the_same_name(tmp_path: Path) -> None:
    """One shortening for all lines: scene2/a is missing, though scene1/a is there."""
    list_file = make(
        tmp_path, "/x/scene1/a 1 0\n/x/scene1/b 1 0\n/x/scene2/c 1 1\n", **{"scene1/a": 1, "scene1/b": 1, "c": 1}
    )
    with pytest.raises(BadInput, match="no folder for 1 of 3 clips, first at line 3: /x/scene2/c"):
        read_list(list_file, tmp_path / "faces")


def test_frame_count_on_disk_overrides_the_list_and_is_reported(tmp_path: Path) -> None:
    list_file = make(tmp_path, "a 2 0\nb 16 1\nb 3 1\n", a=2, b=2)
    data = read_list(list_file, tmp_path / "faces")
    assert [len(clip.frames) for clip in data.test] == [2, 2, 2]
    assert data.remarks == [
        f"{list_file}: another number of frames for 2 of 3 clips, first at line 2: b (listed 16, on disk 2); "
        "the files on disk win"
    ]
    assert [str(change) for change in data.changes] == [
        f"{list_file}:2: b (listed 16, on disk 2): another number of frames; the files on disk win",
        f"{list_file}:3: b (listed 3, on disk 2): another number of frames; the files on disk win",
    ]


def test_missing_folders_are_counted_in_one_message(tmp_path: Path) -> None:
    lines = [f"{'gone' if line in (5, 7, 40) else 'a'}{line} 1 0" for line in range(1, 41)]
    there = {f"a{line}": 1 for line in range(1, 41) if line not in (5, 7, 40)}
    list_file = make(tmp_path, "\n".join(lines), **there)
    with pytest.raises(BadInput) as refusal:
        read_list(list_file, tmp_path / "faces")
    assert str(refusal.value) == (
        f"{list_file}: no folder for 3 of 40 clips, first at line 5: gone5, gone7, gone40; "
        "does --frames-root point to where the folders are now? --skip-missing leaves them out"
    )
    data = read_list(list_file, tmp_path / "faces", skip_missing=True)
    assert len(data.test) == 37
    assert data.remarks == [
        f"{list_file}: no folder for 3 of 40 clips, first at line 5: gone5, gone7, gone40; left out"
    ]
    assert len(data.changes) == 3
    list_file.write_text("gone 1 0\n" * 60)
    with pytest.raises(BadInput, match=r"no folder for 60 of 60 clips, .* and 10 more; does --frames-root point"):
        read_list(list_file, tmp_path / "faces", skip_missing=True)


def test_label_names_are_numbered_alphabetically_or_as_given(tmp_path: Path) -> None:
    list_file = make(tmp_path, "a 3 Sad\nb 2 happy\n", a=3, b=2, c=1)
    (tmp_path / "test.txt").write_text("c,1,Calm\na,3,sad\n")
    files = [(file, FolderTree(tmp_path / "faces")) for file in (list_file, tmp_path / "test.txt")]
    data = read_lists(files)
    assert data.names == ("calm", "happy", "sad")
    assert [[clip.label for clip in part] for part in (data.training, data.test)] == [[2, 1], [0, 2]]
    data = read_lists(files, names=("Happy", "Sad", "Calm"))
    assert ([clip.label for clip in data.training], data.names) == ([1, 0], ("Happy", "Sad", "Calm"))
    with pytest.raises(BadInput, match=r"test\.txt:1: expected one of the classes Happy,Sad, got Calm"):
        read_lists(files, names=("Happy", "Sad"))
    (tmp_path / "test.txt").write_text("c,1,0\n")
    with pytest.raises(BadInput, match=r"list\.txt: its labels are names, those of .*test\.txt numbers"):
        read_lists(files)


def test_first_label_shifts_labels(tmp_path: Path) -> None:
    files = [(make(tmp_path, "a 3 1\nb 2 4.0\n", a=3, b=2), FolderTree(tmp_path / "faces"))]
    assert [clip.label for clip in read_lists(files, first_label=1).test] == [0, 3]
    with pytest.raises(BadInput, match=r"list\.txt:1: label 1 is below --first-label 2"):
        read_lists(files, first_label=2)


def test_comments_are_counted_and_skipped(tmp_path: Path) -> None:
    data = read_list(make(tmp_path, "# mine\na 3 1\n#b 2 0\n", a=3, b=2), tmp_path / "faces")
    assert [clip.label for clip in data.test] == [1]
    assert data.remarks == [f"{tmp_path / 'list.txt'}: 2 lines begin with # and are not read"]


@pytest.mark.parametrize(
    "text", ["ClipID,Boredom,Engagement,Confusion,Frustration \n1.avi,0,1,0,0\n", "1100011002.avi,0,2,0,0\n"]
)
def test_daisee_table_is_refused_with_its_flag(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match=r"is a table of DAiSEE, .* give the folder of its tables with --daisee"):
        read(tmp_path, text)


def test_dfew_split_is_refused_with_its_flag(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"is a split of DFEW, .* give DFEW's folder with --dfew"):
        read(tmp_path, "video_name,label\n1,3\n2,1\n")


@pytest.mark.parametrize("prefix", ["", "/home/user/"])
def test_clips_in_a_doubled_folder_are_found(tmp_path: Path, prefix: str) -> None:
    """As unzip leaves them; the same number of folders for every line."""
    list_file = make(tmp_path, f"{prefix}x/a 3 1\n{prefix}x/b 2 0\n", **{"x/x/a": 3, "x/x/b": 2, "y/a": 5})
    for place in (tmp_path / "faces", tmp_path / "store"):
        if place.name == "store":
            pack(tmp_path / "faces", place, 16)
        data = read_list(list_file, place)
        assert [len(clip.frames) for clip in data.test] == [3, 2]
        assert data.remarks == [f"{list_file}: its clips lie one folder further than it says, first in {place}/x/x/a"]


def test_pictures_of_other_formats_are_reported(tmp_path: Path) -> None:
    list_file = make(tmp_path, "a 3 1\nb 2 0\n", a=3, b=2)
    for name in ("4.gif", "5.tif"):
        (tmp_path / "faces/b" / name).touch()
    data = read_list(list_file, tmp_path / "faces")
    assert [len(clip.frames) for clip in data.test] == [3, 2]
    (remark,) = data.remarks
    assert "pictures of a format that is not read for 1 of 2 clips, first at line 2: " in remark
    assert remark.endswith("faces/b/4.gif; these are left out")
    assert len(data.changes) == 1


def test_videos_are_refused_with_a_hint_to_prepare_videos(tmp_path: Path) -> None:
    list_file = make(tmp_path, "a.avi,0\nb.avi,1\n", b=1)
    (tmp_path / "faces/a.avi").touch()
    with pytest.raises(
        BadInput, match=r"videos instead of frames for 1 of 2 clips, first at line 1: a\.avi; run prepare_videos\.py"
    ):
        read_list(list_file, tmp_path / "faces")


def test_videos_without_a_face_are_left_out_and_named(tmp_path: Path) -> None:
    list_file = make(tmp_path, "a.avi,0\nb.avi,1\nc.avi,1\n", a=1)
    for video, status in {"b": "no face", "c": "unreadable"}.items():
        (tmp_path / f"faces/{video}.json").write_text(f'{{"status": "{status}"}}')
    data = read_list(list_file, tmp_path / "faces")
    assert [clip.label for clip in data.test] == [0]
    told = f"{list_file}: no frames from prepare_videos.py for 2 of 3 clips, first at line 2: b.avi (no face)"
    assert data.remarks == [f"{told}; left out"]
    assert [str(change) for change in data.changes] == [
        f"{list_file}:2: b.avi (no face): no frames from prepare_videos.py; left out",
        f"{list_file}:3: c.avi (unreadable): no frames from prepare_videos.py; left out",
    ]
    list_file.write_text("b.avi,1\nc.avi,1\n")
    with pytest.raises(
        BadInput,
        match=r"no frames from prepare_videos.py for 2 of 2 clips, .*look into the reports of prepare_videos\.py",
    ):
        read_list(list_file, tmp_path / "faces")


def test_root_itself_can_be_the_clip(tmp_path: Path) -> None:
    write_frames(tmp_path / "faces", numbered(3))
    assert read(tmp_path, ". 3 1\n") == [("faces", 3, 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 2 0\na two x\n", r"list.txt:2: expected `<frame folder> <number of frames> <label>`.*got 'a two x'"),
        ("a,2,0\na 2 -1\n", r"list.txt:2: expected .* got 'a 2 -1'"),
        (f"[{'x' * 10**6}]", r"list.txt:1: expected .* got '\[x{99}'; correct"),
        ("a\n", r"list.txt:1: expected .* got 'a'"),
        ("b 2 0\n", r"list.txt: no folder for 1 of 1 clips, first at line 1: b; does --frames-root point"),
        ("empty 2 0\n", r"no pictures in the folder for 1 of 1 clips, first at line 1: .*empty; extract the frames"),
        ("\n", r"list.txt: the list is empty"),
        ("video,label\n", r"list.txt: the list is empty"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, text: str, message: str) -> None:
    list_file = make(tmp_path, text, a=2, empty=0)
    with pytest.raises(BadInput, match=message):
        read_list(list_file, tmp_path / "faces")


def test_missing_or_binary_list_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x80")
    for name in ("nowhere.txt", "binary"):
        with pytest.raises(BadInput, match=f"{name}: cannot be read as a clip list"):
            read_list(tmp_path / name, tmp_path)
