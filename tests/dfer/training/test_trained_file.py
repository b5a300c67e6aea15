"""A trained file says all that its use needs, and loads anywhere."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from agdt_layers import build_agdtnet
from dfer.data.augmentation import MEAN, STD
from dfer.errors import BadInput
from dfer.training.run import run
from dfer.training.trained_file import TrainedFacts, load_trained, read_facts, write_trained
from helpers.prepared import EvaluationClips
from helpers.tiny_runs import NAMES, TinyNet, tiny_data, tiny_settings, use_tiny_model


def facts(**changes: Any) -> TrainedFacts:
    net = {"model": "agdtnet", "attention": "se", "temporal": "tformer", "dropout": 0.1}
    given = {"classes": ("calm", "not calm"), "mean": MEAN, "std": STD, "size": 32, "frames": 4, "net": net}
    scores = {"epoch": 3, "epoch_selected_on": "validation", "uar": 0.5, "war": 0.6, "recall": (0.5, None)}
    return TrainedFacts(**{**given, **scores, "frames_per_segment": 2, "trained_on": "a list", **changes})


def test_facts_of_a_run_are_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_tiny_model(monkeypatch)
    run(tiny_settings(tmp_path, epochs=1))
    net, told = load_trained(tmp_path / "weights.safetensors")
    assert told == TrainedFacts(
        classes=NAMES,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        size=16,
        frames=2,
        frames_per_segment=1,
        net={"model": "tiny", "attention": None, "temporal": None, "dropout": 0.2, "width": None, "causal": False},
        trained_on="drawings (rendered faces, expressions), so often wrong on real faces",
        epoch=1,
        epoch_selected_on="validation",
        uar=told.uar,
        war=told.war,
        recall=told.recall,
    )
    assert not net.training
    test = EvaluationClips(tiny_data().test)
    right = [int(net(clip[None]).argmax()) == label for clip, label in (test[i] for i in range(len(test)))]
    assert told.war == pytest.approx(sum(right) / len(right))


def test_file_loads_by_its_facts_and_by_build_agdtnet(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    net = build_agdtnet(2, num_frames=4, attention="se", temporal="tformer").eval()
    net.to(memory_format=torch.channels_last)
    write_trained(path, net, facts())
    clips = torch.randn(2, 4, 3, 32, 32)
    loaded, told = load_trained(path)
    alone = build_agdtnet(2, num_frames=4, attention="se", temporal="tformer", weights=path).eval()
    assert told == facts()
    with torch.no_grad():
        assert torch.equal(loaded(clips), alone(clips))
        torch.testing.assert_close(loaded(clips), net(clips))


def test_other_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = "expected the weights.safetensors of a run of train.py"
    with pytest.raises(BadInput, match=f"nowhere.safetensors: no such file; {expected}"):
        read_facts(tmp_path / "nowhere.safetensors")
    (tmp_path / "text.safetensors").write_text("text")
    with pytest.raises(BadInput, match=f"text.safetensors: is not a safetensors file; {expected}"):
        read_facts(tmp_path / "text.safetensors")
    with pytest.raises(BadInput, match=f"is not a safetensors file; {expected}"):
        read_facts(tmp_path)
    says_nothing = f"bare.safetensors: does not say its classes, size and frames; {expected}"
    bare = tmp_path / "bare.safetensors"
    for metadata in (None, {"format": "pt"}, {"dfer": "not JSON"}, {"dfer": "{}"}, {"dfer": "[]"}, {"dfer": "7"}):
        save_file({"weight": torch.zeros(1)}, bare, metadata)
        with pytest.raises(BadInput, match=says_nothing):
            read_facts(bare)
    write_trained(bare, TinyNet(2, 0.0), facts(net={"model": "gone", "dropout": 0.0}))
    with pytest.raises(BadInput, match=r"--model: expected one of c3d, .*, vectors\+torch-encoder, got gone"):
        load_trained(bare)


def test_file_with_a_missing_tensor_is_refused(tmp_path: Path) -> None:
    net = build_agdtnet(2, num_frames=4, attention="se", temporal="tformer")
    del net.classifier
    write_trained(tmp_path / "cut.safetensors", net, facts())
    with pytest.raises(BadInput, match=r"cut.safetensors lacks 2 tensors of its agdtnet, classifier\.weight first"):
        load_trained(tmp_path / "cut.safetensors")
