from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dfer.bad_input import BadInput
from dfer.data.lists import load_frames, read_clip_list


def write_clip(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True)
    for grey, name in enumerate(names):
        Image.new("RGB", (20, 10), (grey, grey, grey)).save(folder / name)


def test_folders_may_contain_spaces_and_frames_sort_naturally(tmp_path: Path) -> None:
    write_clip(tmp_path / "my clips/a  b", ["10.png", "2.png", "1.png"])
    (tmp_path / "list.txt").write_text("my clips/a  b 3 4\n\n")
    clips, remarks = read_clip_list(tmp_path / "list.txt", tmp_path)
    assert [path.name for path in clips[0].frames] == ["1.png", "2.png", "10.png"]
    assert clips[0].label == 4
    assert remarks == []


def test_the_disk_is_believed_and_the_difference_reported(tmp_path: Path) -> None:
    write_clip(tmp_path / "a", ["1.png", "2.png"])
    (tmp_path / "list.txt").write_text("a 2 0\na 16 1\n")
    clips, remarks = read_clip_list(tmp_path / "list.txt", tmp_path)
    assert [len(clip.frames) for clip in clips] == [2, 2]
    assert len(remarks) == 1
    assert "1 of 2 frame counts" in remarks[0]
    assert "line 2 says 16, the disk has 2" in remarks[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 2\n", r"list.txt:1: expected `<frame folder> <number of frames> <label from 0>`, got 'a 2'"),
        ("a 2 0\na two 1\n", r"list.txt:2: expected .* got 'a two 1'"),
        ("a 2 -1\n", r"list.txt:1: expected .* got 'a 2 -1'"),
        ("b 2 0\n", r"list.txt:1: no folder .*does --frames-root point to where the list starts"),
        ("empty 2 0\n", r"list.txt:1: .*holds no pictures .*extract its frames or delete the line"),
        ("\n", r"list.txt: the list is empty"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, text: str, message: str) -> None:
    write_clip(tmp_path / "a", ["1.png", "2.png"])
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(BadInput, match=message):
        read_clip_list(tmp_path / "list.txt", tmp_path)


def test_a_missing_or_binary_list_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x80")
    for name in ("nowhere.txt", "binary"):
        with pytest.raises(BadInput, match=f"{name}: cannot be read as a clip list"):
            read_clip_list(tmp_path / name, tmp_path)


def test_frames_are_resized_bilinearly(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 250, 40).astype(np.uint8)[None, :, None], (20, 1, 3))
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    frame = load_frames([tmp_path / "ramp.png"], size=10)
    assert frame.shape == (1, 3, 10, 10)
    np.testing.assert_allclose(frame[0, 0, 0].numpy(), ramp[0, :, 0].reshape(10, 4).mean(axis=1), atol=6)


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"not a picture")
    with pytest.raises(BadInput, match=r"1\.jpg: cannot be read as a picture .*extract the frame again"):
        load_frames([tmp_path / "1.jpg"], size=10)
