"""What a run leaves behind: a table on the screen, numbers, pictures and the trained weights in a folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from agdt_layers import AGDTNet, AttentionWeights, capture_attention
from dfer.atomic_files import whole_file
from dfer.data.augmentation import normalise, to_unit
from dfer.data.clips import ClipSource
from dfer.data.parts import RunData
from dfer.evaluation.pictures import draw_attention, draw_confusion, draw_curves
from dfer.evaluation.scores import Scores, scores_of


@dataclass(frozen=True)
class Results:
    net: AGDTNet
    data: RunData
    settings: dict[str, Any]
    history: list[dict[str, float]]
    confusion: Tensor
    epoch: int
    selected_on: str


def write_results(out: Path, results: Results) -> None:
    names, confusion = results.data.names, results.confusion
    scores = scores_of(confusion)
    report = {
        "uar": scores.uar,
        "war": scores.war,
        "recall": dict(zip(names, scores.recall, strict=True)),
        "confusion": confusion.tolist(),
        "epoch": results.epoch,
        "epoch_selected_on": results.selected_on,
        "settings": results.settings,
        "history": results.history,
    }
    with whole_file(out / "metrics.json") as path:
        path.write_text(json.dumps(report, indent=2) + "\n")
    with whole_file(out / "weights.safetensors") as path:
        save_file({name: tensor.contiguous() for name, tensor in results.net.state_dict().items()}, path)
    title = f"UAR {100 * scores.uar:.1f} %, WAR {100 * scores.war:.1f} %"
    draw_confusion(out / "confusion.png", confusion, names, title)
    draw_curves(out / "curves.png", results.history, results.epoch)
    _draw_attention_of(out / "attention.png", results.net, results.data)
    _print_scores(names, confusion, scores)
    print(f"  of epoch {results.epoch}, chosen on the {results.selected_on} clips\n")


def _print_scores(names: tuple[str, ...], confusion: Tensor, scores: Scores) -> None:
    wide = max(len("class"), *map(len, names))
    print(f"\n  {'class':>{wide}}   clips   recall")
    for name, clips, recall in zip(names, confusion.sum(dim=1).tolist(), scores.recall, strict=True):
        print(f"  {name:>{wide}}   {clips:5}   " + ("     -" if recall is None else f"{100 * recall:5.1f} %"))
    print(f"\n  UAR {100 * scores.uar:.1f} %   WAR {100 * scores.war:.1f} %")


def _draw_attention_of(path: Path, net: AGDTNet, data: RunData) -> None:
    shown = _one_of_each_class(data.test, most=4)
    clips = to_unit(torch.stack([data.test.frames(i, None) for i in shown]))
    with torch.inference_mode(), capture_attention(net.eval()) as maps:
        logits = net(normalise(clips).to(next(net.parameters()).device))
    # The earlier of the two blocks has the finer map. What can stand in AGA's place has none to show.
    weights = maps.get("backbone.attention.layer2")
    if isinstance(weights, AttentionWeights):
        answers = [data.names[i] for i in logits.argmax(dim=1).tolist()]
        truths = [data.names[data.test.labels[i]] for i in shown]
        captions = [f"{truth}, recognised as {answer}" for truth, answer in zip(truths, answers, strict=True)]
        draw_attention(path, clips, weights.spatial.float().cpu(), captions)


def _one_of_each_class(source: ClipSource, most: int) -> list[int]:
    """Clips of different classes; where every person shows every class in turn, also of different persons."""
    places: dict[int, list[int]] = {}
    for index, label in enumerate(source.labels):
        places.setdefault(label, []).append(index)
    return [places[label][rank % len(places[label])] for rank, label in enumerate(sorted(places)[:most])]
