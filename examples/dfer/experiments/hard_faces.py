"""The ablation on rendered faces made hard: narrow nets, each trained in one thread, several at once."""

import math
import platform
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, redirect_stdout
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

import agdt_layers
from agdt_layers import build_agdtnet, insert_attention
from agdt_layers.agdtnet import ATTENTIONS
from dfer.atomic_files import remove_partial_files
from dfer.data.augmentation import prepare
from dfer.data.clips import ClipSource, EpochOrder, seeded
from dfer.data.parts import RunData, hard_data
from dfer.errors import BadInput
from dfer.evaluation.complexity import count_multiply_adds
from dfer.evaluation.published import PublishedScore
from dfer.evaluation.scores import scores_of
from dfer.experiments.campaign import ROWS, Result, Run, flag, write_result
from dfer.models.wide_resnet18 import WIDER, ResNet18OfWidths, parameters, usual_widths, wider_dtformer
from dfer.rendering.hard_clips import CLASSES
from dfer.versions import commit
from dfer.workers import WorkerDied, run_jobs

DIRECTED = [name for name in CLASSES if " " in name]
OTHERS = [name for name in CLASSES if " " not in name]


def described(default: int, text: str, least: int) -> Any:
    return field(default=default, metadata={"help": text, "least": least})


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """The settings that all runs share.

    The seed of a run determines its people, initial weights, order of clips and dropout.
    """

    training_people: int = described(40, "people to train on", 1)
    validation_people: int = described(6, "people whose clips choose the epoch", 1)
    test_people: int = described(20, "people to test on", 1)
    takes: int = described(3, "clips of each class by each person", 1)
    frames: int = described(4, "frames per clip", 2)
    size: int = described(40, "side of a frame in pixels", 32)
    width: int = described(16, "channels of the first stage; a ResNet18 has 64", 8)
    epochs: int = described(5, "passes over the training clips", 1)
    batch_size: int = described(16, "clips per step", 2)

    def __post_init__(self) -> None:
        for entry in fields(self):
            value, least = getattr(self, entry.name), entry.metadata["least"]
            if value < least:
                raise BadInput(f"{flag(entry.name)}: expected a whole number from {least}, got {value}")
        if self.width % 8:
            raise BadInput(f"--width: expected a multiple of 8, the heads of the encoder, got {self.width}")


def mean_recall(classes: Collection[str], result: Result) -> float:
    return sum(result["recall"][name] for name in classes) / len(classes)


@dataclass(frozen=True)
class HardFaces:
    protocol: Protocol
    workers: int

    @property
    def folds(self) -> Sequence[int | None]:
        return (None,)

    def published(self, results: Iterable[Result]) -> Mapping[str, PublishedScore]:
        return {}

    def columns(self) -> Mapping[str, Callable[[Result], float]]:
        return {"directed": partial(mean_recall, DIRECTED), "others": partial(mean_recall, OTHERS)}

    def settings(self, run: Run) -> dict[str, Any]:
        return asdict(self.protocol)

    def make(self, folder: Path, runs: Sequence[Run]) -> Iterator[Result]:
        """Yield results in the order of completion."""
        folder.mkdir(parents=True, exist_ok=True)
        remove_partial_files(folder)
        start = partial(_runner, folder, self.protocol)
        with closing(run_jobs(start, runs, self.workers)) as outcomes:
            for _, outcome in outcomes:
                if isinstance(outcome, WorkerDied):
                    raise BadInput(f"{outcome}; run the same command to make the missing runs")
                if isinstance(outcome, Exception):
                    raise outcome
                yield outcome

    def method(self, settings: Mapping[str, Any]) -> str:
        s = settings
        return (
            f"Each seed draws its own people: {s['training_people']} to train on, {s['validation_people']} to choose "
            f"the epoch by, {s['test_people']} to test, each showing the eight classes {s['takes']} times, so that WAR "
            f"equals UAR; {s['frames']} frames of {s['size']} x {s['size']}, {s['epochs']} epochs, a backbone of "
            f"{s['width']} channels in its first stage. `directed` is the mean recall of the four classes that only "
            "time tells apart in twos, `others` that of the other four."
        )


def _runner(folder: Path, protocol: Protocol) -> Callable[[Run], Result]:
    torch.set_num_threads(1)  # so that a result does not depend on the number of cores
    return partial(_make, folder, protocol)


def _make(folder: Path, protocol: Protocol, run: Run) -> Result:
    with (folder / f"{run.name}.log").open("w", buffering=1) as log, redirect_stdout(log):
        result = train_and_test(protocol, run.row, run.seed)
    write_result(folder, run, result)
    return result


# Peaks of one cycle, for narrow nets from scratch. The temporal encoder has no batch norm, so it takes smaller steps.
LEARNING_RATE, TEMPORAL_LEARNING_RATE, WEIGHT_DECAY = 2e-3, 7e-4, 0.05
DROPOUT = 0.1


def train_and_test(protocol: Protocol, row: str, seed: int) -> Result:
    """Train and test one row, and return the content of its result file."""
    began = time.monotonic()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    data = data_of(protocol, seed)
    torch.manual_seed(seed)
    net = build_row(row, len(data.names), frames=protocol.frames, width=protocol.width, dropout=DROPOUT)
    clip = (1, protocol.frames, 3, protocol.size, protocol.size)
    cost = {"parameters": parameters(net), "multiply_adds": count_multiply_adds(net.eval(), clip)}
    net.to(device)
    history, best = train_best_epoch(net, data, epochs=protocol.epochs, batch_size=protocol.batch_size, seed=seed)
    _, confusion = evaluate(net, data.test, len(data.names), protocol.batch_size)
    found = scores_of(confusion)
    return {
        "row": row,
        "seed": seed,
        "settings": asdict(protocol),
        "uar": found.uar,
        "war": found.war,
        "recall": dict(zip(data.names, found.recall, strict=True)),
        "confusion": confusion.tolist(),
        "epoch": best,
        "epoch_selected_on": "validation",
        "history": history,
        **cost,
        "device": device,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "agdt_layers": agdt_layers.__version__,
        },
        "commit": commit(),
        "seconds": time.monotonic() - began,
    }


@lru_cache(maxsize=1)
def data_of(protocol: Protocol, seed: int) -> RunData:
    """Cached: the runs of one seed follow each other."""
    return hard_data(
        training=protocol.training_people,
        validation=protocol.validation_people,
        test=protocol.test_people,
        takes=protocol.takes,
        frames=protocol.frames,
        size=protocol.size,
        seed=seed,
    )


def build_row(row: str, classes: int, *, frames: int, width: int, dropout: float) -> nn.Module:
    """The net of one of ROWS: clips (B, T, 3, H, W) to scores (B, classes).

    Args:
        row: its name.
        classes: number of classes.
        frames: T.
        width: channels of the first stage; 64 for a ResNet18.
        dropout: of the temporal encoder.
    """
    if row == WIDER:
        return wider_dtformer(classes, frames, width=width, dropout=dropout)
    attention, temporal = ROWS[row]
    backbone = ResNet18OfWidths(usual_widths(width))
    if attention != "none":
        layer = ATTENTIONS[attention]
        insert_attention(backbone, {"layer2": layer, "layer3": layer}, example_input=torch.zeros(1, 3, 64, 64))
    return build_agdtnet(classes, num_frames=frames, backbone=backbone, temporal=temporal, dropout=dropout)


def train_best_epoch(
    net: nn.Module, data: RunData, *, epochs: int, batch_size: int, seed: int
) -> tuple[list[dict[str, Any]], int]:
    """Train the net and load the weights of its best epoch: the highest validation UAR, then the lowest loss.

    Prints one line per epoch. Uses bfloat16 autocast on a GPU.

    Args:
        net: clips (B, T, 3, H, W) to scores, its temporal encoder in the child `temporal`.
        data: training clips, and validation clips that choose the epoch.
        epochs: passes over the training clips.
        batch_size: clips per step.
        seed: of the order and of dropout.

    Returns:
        A dictionary per epoch, and the number of the best epoch, from 1.
    """
    temporal = [p for name, p in net.named_parameters() if name.startswith("temporal.")]
    others = [p for name, p in net.named_parameters() if not name.startswith("temporal.")]
    peaks = [TEMPORAL_LEARNING_RATE, LEARNING_RATE] if temporal else [LEARNING_RATE]
    groups: list[dict[str, Any]] = [{"params": group} for group in (temporal, others) if group]
    optimiser = AdamW(groups, weight_decay=WEIGHT_DECAY, fused=True)
    order = EpochOrder(len(data.training.labels), seed)
    steps = -(-len(order) // batch_size)
    schedule = OneCycleLR(optimiser, peaks, total_steps=steps * epochs, pct_start=0.2)
    history: list[dict[str, Any]] = []
    kept: dict[str, Tensor] = {}
    for epoch in range(epochs):
        began = time.monotonic()
        order.set_epoch(epoch)
        net.train()
        indices = torch.tensor([index for _, index in order])
        total = 0.0
        for step, chosen in enumerate(indices.split(batch_size)):
            # Seed dropout by step, so that it does not depend on earlier draws.
            torch.manual_seed(seeded(seed, "dropout", epoch, step))
            logits, labels = scores(net, data.training, chosen)
            loss = cross_entropy(logits, labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(chosen)
        if not math.isfinite(total):
            raise BadInput(f"the loss is {total} in epoch {epoch + 1} of seed {seed}; give fewer --epochs")
        validation_loss, confusion = evaluate(net, data.validation, len(data.names), batch_size)
        row = {
            "epoch": epoch + 1,
            "training_loss": total / len(indices),
            "validation_loss": validation_loss,
            "validation_uar": scores_of(confusion).uar,
            "seconds": time.monotonic() - began,
        }
        history.append(row)
        if max(history, key=_rank) is row:
            kept = {name: value.clone() for name, value in net.state_dict().items()}
        print(
            f"epoch {epoch + 1:3}/{epochs}  loss {row['training_loss']:.3f}  validation loss {validation_loss:.3f}  "
            f"UAR {100 * row['validation_uar']:5.1f} %{row['seconds']:5.0f} s"
        )
    net.load_state_dict(kept)
    return history, max(history, key=_rank)["epoch"]


def _rank(row: dict[str, Any]) -> tuple[float, float]:
    return row["validation_uar"], -row["validation_loss"]


def evaluate(net: nn.Module, part: ClipSource, classes: int, batch_size: int) -> tuple[float, Tensor]:
    """The mean loss over the clips, and their confusion matrix (rows: truth, columns: answer)."""
    net.eval()
    total, confusion = 0.0, torch.zeros(classes, classes, dtype=torch.long)
    with torch.no_grad():
        for chosen in torch.arange(len(part.labels)).split(batch_size):
            logits, labels = scores(net, part, chosen)
            total += cross_entropy(logits, labels).item() * len(chosen)
            for truth, answer in zip(labels.tolist(), logits.argmax(dim=1).tolist(), strict=True):
                confusion[truth, answer] += 1
    return total / len(part.labels), confusion


def scores(net: nn.Module, part: ClipSource, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (B, classes) in float32 and labels (B,) of the chosen clips, on the net's device."""
    device = next(net.parameters()).device
    clips = torch.stack([part.frames(index, None) for index in chosen.tolist()]).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        logits = net(prepare(clips))
    return logits.float(), torch.tensor([part.labels[index] for index in chosen.tolist()], device=device)
