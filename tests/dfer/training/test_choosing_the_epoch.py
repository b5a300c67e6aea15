"""The epoch that is kept: the best, not the last; what its losses are means of."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from dfer.data.parts import RunData
from dfer.evaluation.scores import Scores
from dfer.training import module, networks
from dfer.training.checkpoints import rank
from dfer.training.recipes import RECIPES
from dfer.training.run import run
from helpers.prepared import EvaluationClips
from helpers.tiny_runs import NAMES, TinyNet, tiny_data, tiny_settings, use_tiny_model


def test_best_epoch_is_tested_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_tiny_model(monkeypatch)
    uars = iter([0.2, 0.9, 0.5])
    monkeypatch.setattr(module, "scores_of", lambda confusion: Scores(0.0, next(uars), [0.0]))
    after: list[dict[str, Tensor]] = []
    save = module.Recognition.on_save_checkpoint

    def saved(self: module.Recognition, checkpoint: dict[str, Any]) -> None:
        after.append({name: tensor.clone() for name, tensor in self.net.state_dict().items()})
        save(self, checkpoint)

    monkeypatch.setattr(module.Recognition, "on_save_checkpoint", saved)
    run(tiny_settings(tmp_path / "out", epochs=3))
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert report["epoch"] == 2
    weights = load_file(tmp_path / "out" / "weights.safetensors")
    assert all(torch.equal(weights[name], after[1][name]) for name in weights)
    assert not all(torch.equal(weights[name], after[2][name]) for name in weights)
    # What was tested is what was kept.
    net = TinyNet(len(NAMES), 0.0).eval()
    net.load_state_dict(weights)
    test = EvaluationClips(tiny_data().test)
    confusion = torch.zeros(3, 3, dtype=torch.int64)
    for i in range(len(test)):
        confusion[test[i][1], net(test[i][0][None]).argmax()] += 1
    assert report["confusion"] == confusion.tolist()


def test_ties_are_broken_by_the_loss() -> None:
    def row(uar: float, loss: float) -> dict[str, float]:
        return {"validation_uar": uar, "validation_loss": loss, "training_loss": 0.0, "validation_war": 1 - uar}

    rows = [row(0.5, 1.0), row(0.5, 0.8), row(0.5, 0.9), row(0.4, 0.1)]
    assert max(rows, key=rank) is rows[1]
    assert max([*rows, row(0.6, 5.0)], key=rank)["validation_uar"] == 0.6


def test_earlier_of_equal_epochs_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "still", STILL)
    use_tiny_model(monkeypatch, plain_data())
    monkeypatch.setitem(networks.MODELS, "tiny", lambda *_: PlainNet())
    run(tiny_settings(tmp_path / "out", recipe="still", epochs=3))
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["epoch"] == 1


class PlainNet(nn.Module):
    """The same in training and evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(3, len(NAMES))

    def forward(self, clips: Tensor) -> Tensor:
        return self.classifier(clips.mean(dim=(1, 3, 4)))


# No step is large enough to change a number.
STILL = replace(RECIPES["dfew"], learning_rate=1e-30, weight_decay=0.0)


def plain_data() -> RunData:
    data = tiny_data()
    return RunData(NAMES, data.training, data.validation, data.test, augmented=False)


def test_losses_are_means_over_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty clips in batches of 6, 6, 6, 2 and seven in 6, 1."""
    monkeypatch.setitem(RECIPES, "still", STILL)
    data = plain_data()
    use_tiny_model(monkeypatch, data)
    monkeypatch.setitem(networks.MODELS, "tiny", lambda *_: PlainNet())
    run(tiny_settings(tmp_path / "out", recipe="still", epochs=1, batch_size=6))
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    net = PlainNet()
    net.load_state_dict(load_file(tmp_path / "out" / "weights.safetensors"))
    for part in ("training", "validation"):
        clips = EvaluationClips(getattr(data, part))
        with torch.no_grad():
            losses = [cross_entropy(net(clips[i][0][None]), torch.tensor([clips[i][1]])) for i in range(len(clips))]
        assert report["history"][0][f"{part}_loss"] == pytest.approx(float(torch.stack(losses).mean()), rel=1e-5)
