"""export_stream.py: its two files, their scores in ONNX Runtime, and refusals."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

import export_stream
from agdt_layers import AGDTStream, build_agdtnet
from dfer.training.trained_file import load_trained, write_trained
from dfer.video import onnx_export
from helpers.made_rows import CLASSES, facts
from helpers.strategies import random_tensor
from helpers.tiny_runs import TinyNet

pytestmark = pytest.mark.skipif(
    not hasattr(torch.compiler, "is_exporting"), reason="the exporter of torch before 2.7 refuses a dynamic batch here"
)


def made_run(folder: Path, *, causal: bool) -> Path:
    torch.manual_seed(0)
    net = build_agdtnet(3, num_frames=4, causal=causal).eval()
    with torch.no_grad():
        for parameter in net.backbone.attention.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    settings = {"model": "agdtnet", "attention": "aga", "temporal": "dtformer", "dropout": 0.0, "causal": causal}
    write_trained(folder / "weights.safetensors", net, facts(net=settings))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_run(tmp_path_factory.mktemp("run"), causal=True)


def test_files_of_a_run_give_the_scores_of_its_stream(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export_stream.main([str(run)]) == 0
    said = capsys.readouterr().out
    assert "checked in ONNX Runtime" in said
    assert "approximates" not in said
    about = json.loads((run / "stream.json").read_text())
    assert (tuple(about["classes"]), about["size"], about["num_frames"]) == (CLASSES, 32, 4)
    assert (about["mean"], about["std"]) == (list(facts().mean), list(facts().std))
    session = onnxruntime.InferenceSession(run / "stream.onnx", providers=["CPUExecutionProvider"])
    assert [entry.name for entry in session.get_inputs()] == ["frames", *about["state"]]
    state = {name: np.zeros((1, *kept["shape"]), kept["dtype"]) for name, kept in about["state"].items()}
    stream = AGDTStream(load_trained(run / "weights.safetensors")[0], num_frames=4)
    for frame in random_tensor((10, 1, 3, 32, 32), 0, torch.float32):
        scores, *new = session.run(None, {"frames": frame.numpy(), **state})
        state = dict(zip(state, new, strict=True))
        torch.testing.assert_close(torch.from_numpy(scores), stream.push(frame), rtol=1e-5, atol=1e-5)


@pytest.fixture
def difference(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the export, which takes seconds, and set the difference that its check finds."""
    found = [0.0]
    monkeypatch.setattr(onnx_export, "_export", lambda step, state, size, path: path.touch())
    monkeypatch.setattr(onnx_export, "_largest_difference", lambda *_: found[0])
    return found


def test_stream_of_a_non_causal_network_is_reported_as_approximate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], difference: list[float]
) -> None:
    assert export_stream.main([str(made_run(tmp_path, causal=False)), "--out", str(tmp_path / "new")]) == 0
    assert "only approximates" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["stream.json", "stream.onnx"]


@pytest.mark.parametrize("wrong", [1e-3, float("nan")])
def test_no_file_is_written_when_the_check_fails(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], difference: list[float], wrong: float
) -> None:
    difference[0] = wrong
    assert export_stream.main([str(run), "--out", str(tmp_path)]) == 2
    assert "differ by" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("case", ["absent", "not streamed", "no package", "torch 2.6"])
def test_bad_input_is_reported_in_one_line(
    run: Path, tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {
        "absent": "no such file",
        "not streamed": "got a tiny",
        "no package": "pip install onnx onnxscript",
        "torch 2.6": "use torch 2.7",
    }[case]
    net: nn.Module = TinyNet(3, 0.0)
    if case == "not streamed":
        monkeypatch.setattr("dfer.training.trained_file.load_trained", lambda _: (net, facts(net={"model": "tiny"})))
    if case == "torch 2.6":
        monkeypatch.delattr(torch.compiler, "is_exporting")
    if case == "no package":
        monkeypatch.setattr(onnx_export, "find_spec", lambda name: None if name == "onnx" else True)
    assert export_stream.main([str(tmp_path / "absent" if case == "absent" else run)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("export_stream.py: ")
    assert said.count("\n") == 1
    assert expected in said
