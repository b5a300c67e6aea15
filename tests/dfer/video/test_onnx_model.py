"""recognise.py --onnx: a stream's step and a classifier of single faces, and files that do not fit."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import TensorProto, helper

import recognise
from agdt_layers import build_agdtnet
from dfer.errors import BadInput
from dfer.training.trained_file import write_trained
from dfer.video.onnx_export import export_stream
from dfer.video.onnx_model import load_onnx
from dfer.video.recogniser import RecognitionSettings, load_recogniser
from dfer.video.timeline_files import RowFile
from helpers.footage import talking_face
from helpers.made_rows import facts
from helpers.strategies import random_tensor
from helpers.videos import write_video

ABOUT: Mapping[str, Any] = {
    "classes": ["red", "green", "blue"], "size": 24, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5],
    "num_frames": 3, "output": "logits",
}  # fmt: skip


def classifier(
    path: Path, shape: tuple[object, ...] = ("N", 3, 24, 24), *, softmax: bool = False, **about: Any
) -> Path:
    """The mean of each colour as its score."""
    nodes = [helper.make_node("ReduceMean", ["face", "axes"], ["mean"], keepdims=0)]
    nodes.append(helper.make_node("Softmax" if softmax else "Identity", ["mean"], ["scores"]))
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("face", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (shape[0], 3))],
        [helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    path.with_suffix(".json").write_text(json.dumps({**ABOUT, **about}))
    return path


@pytest.mark.parametrize("batch", ["N", 1])
@pytest.mark.parametrize("softmax", [False, True])
def test_probabilities_of_a_classifier_are_averaged_over_the_last_frames(
    tmp_path: Path, batch: object, softmax: bool
) -> None:
    output = "probabilities" if softmax else "logits"
    faces, found = load_onnx(classifier(tmp_path / "a.onnx", (batch, 3, 24, 24), softmax=softmax, output=output))
    assert (found.classes, found.size, found.frames) == (("red", "green", "blue"), 24, 3)
    frames = {1: random_tensor((7, 3, 24, 24), 0, torch.float32), 2: random_tensor((2, 3, 24, 24), 1, torch.float32)}
    first, second = faces.push({face: run[:4] for face, run in frames.items()}), faces.push({1: frames[1][4:]})
    each = {face: run.mean(dim=(2, 3)).softmax(1) for face, run in frames.items()}
    averages = {face: [own[max(0, n - 2) : n + 1].mean(0) for n in range(len(own))] for face, own in each.items()}
    torch.testing.assert_close(torch.cat([first[1], second[1]]), torch.stack(averages[1]))
    torch.testing.assert_close(first[2], torch.stack(averages[2]))
    faces.keep_only([2])
    torch.testing.assert_close(faces.push({1: frames[1][4:5]})[1][0], each[1][4])


def test_exported_step_gives_the_probabilities_of_the_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = build_agdtnet(3, num_frames=4, causal=True).eval()
    settings = {"model": "agdtnet", "attention": "aga", "temporal": "dtformer", "dropout": 0.0, "causal": True}
    write_trained(tmp_path / "weights.safetensors", net, facts(net=settings))
    export_stream(net, facts(net=settings), tmp_path)
    faces, found = load_onnx(tmp_path / "stream.onnx")
    assert found == facts(net=settings)
    streams = load_recogniser(tmp_path, RecognitionSettings())._streams
    runs = {face: random_tensor((n, 3, 32, 32), face, torch.float32) for face, n in ((1, 6), (2, 3))}
    for part in (runs, {2: runs[1]}):
        expected = streams.push(part)
        for face, own in faces.push(part).items():
            torch.testing.assert_close(own, expected[face], rtol=1e-4, atol=1e-5)


def test_classifier_gives_a_timeline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = write_video(tmp_path / "a.mp4", talking_face()[:8])
    model = classifier(tmp_path / "colours.onnx")
    assert recognise.main([str(video), "--onnx", str(model), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "data that colours.onnx does not name" in said
    assert "3 frames of 24 x 24 pixels" in said
    rows = list(RowFile(tmp_path / "out" / "a.mp4.csv"))
    assert len(rows) == 8
    assert all(row.probabilities is not None and sum(row.probabilities) == pytest.approx(1, abs=1e-3) for row in rows)
    page = (tmp_path / "out" / "a.mp4.html").read_text()
    assert "Epoch" not in page


@pytest.mark.parametrize(
    ("shape", "about", "expected"),
    [
        (("N", 24, 24, 3), {}, r"takes face tensor\(float\) \['N', 24, 24, 3\] .* expected float32 face"),
        (("N", 3, 48, 48), {}, "takes face"),
        ((8, 3, 24, 24), {}, "N dynamic or 1"),
        (("N", 3, 24, 24), {"classes": ["one", "two"]}, r"gives \['N', 3\]; expected .* \['N', 2\]"),
        (("N", 3, 24, 24), {"size": "24"}, r"a.json: size is '24'; expected \"classes\""),
        (("N", 3, 24, 24), {"std": [1, 0, 1]}, "std is"),
        (("N", 3, 24, 24), {"num_frames": 0}, "num_frames is 0"),
        (("N", 3, 24, 24), {"output": None}, "output is None"),
        *[
            (
                ("N", 3, 24, 24),
                {"state": state, "trained": asdict(facts())},
                "expected the stream.json of export_stream.py",
            )
            for state in ([], {"seen": {"dtype": "int64"}}, {"seen": {"shape": [], "dtype": "int65"}}, {"seen": 1})
        ],
    ],
)
def test_misfit_model_is_refused_with_its_shapes(
    tmp_path: Path, shape: tuple[object, ...], about: dict[str, Any], expected: str
) -> None:
    with pytest.raises(BadInput, match=expected) as refused:
        load_onnx(classifier(tmp_path / "a.onnx", shape, **about))
    assert "\n" not in str(refused.value)


def test_outputs_that_are_not_probabilities_are_refused(tmp_path: Path) -> None:
    faces, _ = load_onnx(classifier(tmp_path / "a.onnx", output="probabilities"))
    with pytest.raises(BadInput, match='should "output" be "logits"'):
        faces.push({1: random_tensor((1, 3, 24, 24), 0, torch.float32)})


@pytest.mark.parametrize("case", ["no model", "no description", "not JSON", "not ONNX"])
def test_damaged_or_missing_files_are_reported_in_one_line(
    tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = classifier(tmp_path / "a.onnx")
    {
        "no model": model.unlink,
        "no description": model.with_suffix(".json").unlink,
        "not JSON": lambda: model.with_suffix(".json").write_text("{"),
        "not ONNX": lambda: model.write_text("text"),
    }[case]()
    video = write_video(tmp_path / "a.mp4", talking_face()[:2])
    assert recognise.main([str(video), "--onnx", str(model), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("recognise.py: ")
    assert said.count("\n") == 1
