"""The outputs of a training run: a printed table, and numbers, pictures and weights in a folder."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from agdt_layers import AttentionWeights, GlobalConvolutionalAttention, capture_attention
from dfer.atomic_files import whole_file
from dfer.data.augmentation import normalise, to_unit
from dfer.data.clips import ClipSource
from dfer.data.parts import RunData
from dfer.evaluation.pictures import draw_attention, draw_confusion, draw_curves
from dfer.evaluation.scores import Scores, scores_of
from dfer.training.run_folder import METRICS, WEIGHTS, settings_file
from dfer.training.settings import Settings, chosen_on, trained_on
from dfer.training.trained_file import TrainedFacts, write_trained


@dataclass(frozen=True)
class Results:
    net: nn.Module
    data: RunData
    history: list[dict[str, float]]
    confusion: Tensor
    """Of the test clips."""
    epoch: int
    records: list[dict[str, Any]]
    """Records of the start and of every resumption."""


def write_results(settings: Settings, results: Results) -> None:
    names, confusion, out = results.data.names, results.confusion, settings.out
    selected_on = settings.training.select_on
    scores = scores_of(confusion)
    report = {
        "uar": scores.uar,
        "war": scores.war,
        "recall": dict(zip(names, scores.recall, strict=True)),
        "confusion": confusion.tolist(),
        "epoch": results.epoch,
        "epoch_selected_on": selected_on,
        "settings": settings_file(results.records),
        "history": results.history,
    }
    with whole_file(out / METRICS) as path:
        path.write_text(json.dumps(report, indent=2) + "\n")
    write_trained(out / WEIGHTS, results.net, _facts(settings, results, scores))
    title = f"UAR {100 * scores.uar:.1f} %, WAR {100 * scores.war:.1f} %"
    draw_confusion(out / "confusion.png", confusion, names, title)
    draw_curves(out / "curves.png", results.history, results.epoch)
    _draw_attention_of(out / "attention.png", results.net, results.data)
    _print_scores(names, confusion, scores)
    print(f"  of epoch {results.epoch}, {chosen_on(selected_on)}\n")


def _facts(settings: Settings, results: Results, scores: Scores) -> TrainedFacts:
    clips = settings.clips
    return TrainedFacts(
        classes=results.data.names,
        mean=results.data.mean,
        std=results.data.std,
        size=results.data.test.frames(0, None).shape[-1],
        frames=clips.frames,
        frames_per_segment=clips.per_segment,
        net={name: value for name, value in asdict(settings.net).items() if name != "pretrained"},
        trained_on=trained_on(clips),
        epoch=results.epoch,
        epoch_selected_on=settings.training.select_on,
        uar=scores.uar,
        war=scores.war,
        recall=tuple(scores.recall),
    )


def _print_scores(names: tuple[str, ...], confusion: Tensor, scores: Scores) -> None:
    wide = max(len("class"), *map(len, names))
    print(f"\n  {'class':>{wide}}   clips   recall")
    for name, clips, recall in zip(names, confusion.sum(dim=1).tolist(), scores.recall, strict=True):
        print(f"  {name:>{wide}}   {clips:5}   " + ("     -" if recall is None else f"{100 * recall:5.1f} %"))
    print(f"\n  UAR {100 * scores.uar:.1f} %   WAR {100 * scores.war:.1f} %")


def _draw_attention_of(path: Path, net: nn.Module, data: RunData) -> None:
    """Draw the finest maps of AGA; nothing for a model without AGA."""
    if not any(isinstance(module, GlobalConvolutionalAttention) for module in net.modules()):
        return
    shown = _one_of_each_class(data.test, most=4)
    clips = to_unit(torch.stack([data.test.frames(i, None) for i in shown]))
    with torch.inference_mode(), capture_attention(net.eval()) as maps:
        logits = net(normalise(clips).to(next(net.parameters()).device))
    spatial = [weights.spatial for weights in maps.values() if isinstance(weights, AttentionWeights)]
    answers = [data.names[i] for i in logits.argmax(dim=1).tolist()]
    truths = [data.names[data.test.labels[i]] for i in shown]
    captions = [f"{truth}, recognised as {answer}" for truth, answer in zip(truths, answers, strict=True)]
    finest = max(spatial, key=lambda weights: weights.shape[-1])
    draw_attention(path, clips, finest.float().cpu(), captions)


def _one_of_each_class(source: ClipSource, most: int) -> list[int]:
    """Clips of different classes and, if every person shows every class in turn, of different people."""
    places: dict[int, list[int]] = {}
    for index, label in enumerate(source.labels):
        places.setdefault(label, []).append(index)
    return [places[label][rank % len(places[label])] for rank, label in enumerate(sorted(places)[:most])]
