import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dfer.data.packing
import pack_clips
from dfer.data.clips import ClipsOnDisk
from dfer.data.data_set import ListedClip
from dfer.data.folders import FolderTree
from dfer.data.lists import read_lists
from dfer.data.packing import Store, open_place, pack
from dfer.errors import BadInput
from helpers.full_disk import full_disk
from helpers.locks import held_elsewhere
from helpers.made_data import numbered, write_frames
from pack_clips import main

CLIPS = {"scene a/1": 3, "scene a/2": 7, "b": 1}


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for first, (path, count) in enumerate(CLIPS.items()):
        write_frames(tmp_path / "folders" / path, numbered(count), first=first)
    return tmp_path / "folders"


def source(place: object, size: int = 16) -> ClipsOnDisk:
    clips = [ListedClip(place.frames(path), 0, path) for path in CLIPS]  # type: ignore[attr-defined]
    return ClipsOnDisk(clips, size=size, segments=2, per_segment=2)


def test_store_gives_the_same_tensors_as_the_folders(folders: Path, tmp_path: Path) -> None:
    assert pack(folders, tmp_path / "store", 16) == (3, 11, 0, None)
    plain, packed = source(FolderTree(folders)), source(open_place(tmp_path / "store"))
    for index in range(3):
        for seed in (None, 1, 2):
            one, other = (
                clips.frames(index, None if seed is None else torch.Generator().manual_seed(seed))
                for clips in (plain, packed)
            )
            assert one.equal(other)
            assert other.dtype == torch.uint8
            assert other.is_contiguous()
        assert plain.content(index) == packed.content(index)
        assert packed.check(index) == plain.check(index)


def test_numpy_alone_reads_the_frames(folders: Path, tmp_path: Path) -> None:
    pack(folders, tmp_path / "store", 16)
    frames = np.load(tmp_path / "store/frames.npy")
    assert frames.shape == (11, 3, 16, 16)
    assert frames.dtype == np.uint8
    start, count, _ = json.loads((tmp_path / "store/index.json").read_text())["clips"]["scene a/2"]
    wanted = FolderTree(folders).frames("scene a/2").load(range(7), 16).numpy()
    np.testing.assert_array_equal(frames[start : start + count], wanted)


def test_lists_find_their_clips_in_a_store(folders: Path, tmp_path: Path) -> None:
    (folders / "c.json").write_text('{"status": "no face"}')
    pack(folders, tmp_path / "store", 16)
    lines = ("scene a/1 3 0", "b.avi 1 1", "c.avi 9 1")
    (tmp_path / "list.txt").write_text("".join(f"/home/x/folders/{line}\n" for line in lines))
    for place in (FolderTree(folders), open_place(tmp_path / "store")):
        data = read_lists([(tmp_path / "list.txt", place)])
        assert [(len(clip.frames), clip.label) for clip in data.test] == [(3, 0), (1, 1)]
        (remark,) = data.remarks
        assert "no frames from prepare_videos.py for 1 of 3 clips, first at line 3" in remark


def test_pickled_store_carries_no_frames(folders: Path, tmp_path: Path) -> None:
    pack(folders, tmp_path / "store", 16)
    packed = source(Store(tmp_path / "store"))
    copied = pickle.dumps(packed)
    assert len(copied) < 2_000
    assert pickle.loads(copied).frames(1, None).equal(packed.frames(1, None))


def test_other_size_is_refused(folders: Path, tmp_path: Path) -> None:
    pack(folders, tmp_path / "store", 16)
    with pytest.raises(BadInput, match=r"contains frames of 16 x 16, not 24 x 24; give --size 16, or pack again"):
        source(Store(tmp_path / "store"), size=24).frames(0, None)


def cut(store: Path) -> None:
    with open(store / "frames.npy", "r+b") as file:
        file.truncate((store / "frames.npy").stat().st_size - 100)


def exchange(store: Path) -> None:
    frames = np.load(store / "frames.npy")
    np.save(store / "frames.npy", frames[::-1])


def another_size(store: Path) -> None:
    index = json.loads((store / "index.json").read_text())
    (store / "index.json").write_text(json.dumps({**index, "size": 8}))


def another_shape(store: Path) -> None:
    np.save(store / "frames.npy", np.load(store / "frames.npy")[1:])


def header(store: Path) -> None:
    content = (store / "frames.npy").read_bytes()
    (store / "frames.npy").write_bytes(content.replace(b"}", b" ", 1))


def shifted(store: Path) -> None:
    """Shift a middle clip, which is not read when the store is opened."""
    index = json.loads((store / "index.json").read_text())
    index["clips"]["scene a/1"][0] += 1
    (store / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        header,
        shifted,
        exchange,
        another_shape,
        another_size,
        lambda store: (store / "frames.npy").unlink(),
        lambda store: (store / "index.json").unlink(),
        lambda store: (store / "index.json").write_text("{"),
        lambda store: (store / "index.json").write_text("[]"),
        lambda store: (store / "index.json").write_text('{"size": 16, "clips": {"a": [1]}, "left_out": {}}'),
        lambda store: (store / "frames.npy").write_bytes(b""),
        lambda store: (store / "frames.npy").write_text("text"),
    ],
)
def test_damaged_store_is_refused(folders: Path, tmp_path: Path, damage: object) -> None:
    pack(folders, tmp_path / "store", 16)
    damage(tmp_path / "store")  # type: ignore[operator]
    with pytest.raises(
        BadInput, match=r"store: is not a complete store of clips \(.*\); pack it again with pack_clips\.py"
    ) as e:
        open_place(tmp_path / "store")
    assert "\n" not in str(e.value)


def test_damage_in_the_middle_is_found_by_reading_all(folders: Path, tmp_path: Path) -> None:
    pack(folders, tmp_path / "store", 16)
    frames = np.load(tmp_path / "store/frames.npy")
    frames[2] ^= 1
    np.save(tmp_path / "store/frames.npy", frames)
    packed = source(Store(tmp_path / "store"))
    checked = [packed.check(index) for index in range(3)]
    assert [len(clip.broken) for clip in checked] == [1, 0, 0]
    assert "the frames of scene a/1 differ from the packed ones" in checked[0].broken[0]


def test_failed_packing_leaves_nothing(folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "scene a/2/4.jpg").write_bytes(b"broken")
    assert main([str(folders), "--out", str(tmp_path / "store"), "--size", "16"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("pack_clips.py: ")
    assert "4.jpg: cannot be read as a picture" in printed
    assert printed.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["folders"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_packing_leaves_nothing(
    folders: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    """The signal comes after the first clip."""
    decoded, calls = dfer.data.packing.decoded, iter(range(9))

    def interrupted(*arguments: Any) -> memoryview:
        if next(calls):
            os.kill(os.getpid(), number)
        return decoded(*arguments)

    arguments = [str(folders), "--out", str(tmp_path / "store"), "--size", "16"]
    with monkeypatch.context() as patched:
        patched.setattr(dfer.data.packing, "decoded", interrupted)
        assert main(arguments) == 128 + number
    assert capsys.readouterr().err == (
        f"pack_clips.py: stopped by {number.name}; there is no store yet, the same command packs from the first clip\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["folders"]
    assert main(arguments) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_killed_packing_leaves_no_store(folders: Path, tmp_path: Path, number: signal.Signals) -> None:
    for clip in range(300):
        write_frames(folders / f"more/{clip}", numbered(9), first=clip)
    out = tmp_path / "there" / "store"
    arguments = [str(folders), "--out", str(out), "--size", "64"]
    with subprocess.Popen(
        [sys.executable, str(Path(pack_clips.__file__)), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        frames = out.parent / ".store.partial" / "frames.npy"
        while not (frames.exists() and frames.stat().st_size > 200_000):
            assert process.poll() is None, "it ended before"
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    left = sorted(path.name for path in out.parent.iterdir())
    if number == signal.SIGKILL:
        assert (process.returncode, errors, left) == (-number, "", [".store.lock", ".store.partial"])
    else:
        assert (process.returncode, left) == (128 + number, [])
        assert errors.startswith(f"pack_clips.py: stopped by {number.name}; ")
        assert errors.count("\n") == 1
    assert main(arguments) == 0
    assert os.listdir(out.parent) == ["store"]
    assert Store(out).frames("scene a/2").check(16)[:2] == (7, [])


def test_second_process_on_one_store_is_refused(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    partial = tmp_path / ".store.partial"
    partial.mkdir()
    with held_elsewhere(tmp_path / ".store.lock"):
        assert main([str(folders), "--out", str(tmp_path / "store"), "--size", "16"]) == 2
        assert main([str(folders), "--out", str(tmp_path / "other"), "--size", "16"]) == 0
    assert capsys.readouterr().err == (
        f"pack_clips.py: --out {tmp_path / 'store'}: another pack_clips.py is writing to it; wait until it ends, "
        "or choose another\n"
    )
    assert partial.is_dir()


@pytest.mark.parametrize("largest_file", [2_000, 8_500], ids=["in the middle", "in the last bytes"])
def test_full_disk_is_reported_in_one_line(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], largest_file: int
) -> None:
    """The file of frames has 8,576 bytes."""
    arguments = [str(folders), "--out", str(tmp_path / "store"), "--size", "16"]
    with full_disk(largest_file):
        assert main(arguments) == 2
    assert capsys.readouterr().err == (
        f"pack_clips.py: --out {tmp_path / 'store'}: cannot be written (File too large); "
        "free some space, or choose another folder\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["folders"]
    assert main(arguments) == 0
    assert (tmp_path / "store" / "frames.npy").stat().st_size == 8_576


def test_too_small_size_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path), "--out", str(tmp_path / "store"), "--size", "8"])
    assert stop.value.code == 2
    assert "--size: expected at least 16, got 8" in capsys.readouterr().err


def test_leftovers_of_a_killed_packing_are_overwritten(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".store.partial").mkdir()
    (tmp_path / ".store.partial/frames.npy").write_bytes(b"half")
    assert main([str(folders), "--out", str(tmp_path / "store"), "--size", "16"]) == 0
    assert capsys.readouterr().out == f"3 clips, 11 frames, 0.00 GB: {tmp_path / 'store'}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folders", "store"]


def test_too_little_space_is_refused_before_packing(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 8_000

    monkeypatch.setattr(dfer.data.packing.shutil, "disk_usage", lambda path: Usage)
    with pytest.raises(BadInput, match=r"needs 0\.0 GB, and 0\.0 GB are free; choose another disk"):
        pack(folders, tmp_path / "store", 16)
    assert not (tmp_path / ".store.partial").exists()


def test_read_only_folder_is_refused(folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main([str(folders), "--out", str(tmp_path / "file/store")]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["nowhere", "empty", "there"])
def test_wrong_folders_are_refused(folders: Path, tmp_path: Path, wrong: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "there").mkdir()
    message = {
        "nowhere": r"nowhere: is not a folder",
        "empty": r"empty: contains no folders of pictures",
        "there": r"--out .*there: already exists; delete it or choose another",
    }[wrong]
    given = folders if wrong == "there" else tmp_path / wrong
    with pytest.raises(BadInput, match=message):
        pack(given, tmp_path / ("there" if wrong == "there" else "store"), 16)
    assert os.listdir(tmp_path / "there") == []
