"""The comparison of attention layers on Fashion-MNIST: a protocol fixed in a file, a record per run, and tables."""

import gzip
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import agdt_layers
from agdt_layers.attention import AdaptiveGlobalAttention
from dfer.data.clips import seeded
from dfer.errors import BadInput
from dfer.evaluation.complexity import count_multiply_adds
from dfer.evaluation.tables import table
from dfer.experiments.campaign import Result, write_result
from dfer.experiments.picture_nets import picture_net
from dfer.experiments.statistics import holm, paired, points, standard_deviation
from dfer.models.wide_resnet18 import parameters

CLASSES = 10


class Run(NamedTuple):
    pictures: int
    row: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.pictures}-{self.row.replace(', ', '-').replace(' ', '-')}-seed{self.seed}"


@dataclass(frozen=True)
class Protocol:
    """The section "pictures" of docs/experiments/protocol.json. `settings` is part of every record.

    Attributes:
        seeds: number per row, seeds 0, 1, 2, ...
        training_pictures: sizes of the training set, each an experiment of its own.
        epochs, batch_size: by size of the training set, as text, since JSON has no other keys.
        comparisons: pairs of rows that are tested, with Holm's correction over all sizes.
        described: pairs whose difference is reported without a test.
    """

    seeds: Mapping[str, int]
    training_pictures: Sequence[int]
    epochs: Mapping[str, int]
    batch_size: Mapping[str, int]
    learning_rate: float
    weight_decay: float
    comparisons: Sequence[Sequence[str]]
    described: Sequence[Sequence[str]]

    @classmethod
    def read(cls, path: Path) -> "Protocol":
        try:
            section = json.loads(path.read_text())["pictures"]["design"]
            return cls(**section)
        except (OSError, ValueError, KeyError, TypeError):
            raise BadInput(f"{path}: expected the protocol's JSON with the section pictures; restore it") from None

    def settings(self, run: Run) -> dict[str, Any]:
        return {
            "epochs": self.epochs[str(run.pictures)],
            "batch_size": self.batch_size[str(run.pictures)],
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
        }

    def runs(self) -> list[Run]:
        """Ordered by training size, then seed, so that whole seeds can be compared if the time ends early."""
        return [
            Run(pictures, row, seed)
            for pictures in sorted(self.training_pictures)
            for seed in range(max(self.seeds.values()))
            for row, count in self.seeds.items()
            if seed < count
        ]


class Pictures(NamedTuple):
    """Pictures (N, 1, 28, 28) in uint8 and labels (N,) of both parts."""

    training: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]

    @property
    def sha256(self) -> str:
        total = hashlib.sha256()
        for values in (*self.training, *self.test):
            total.update(values.numpy().tobytes())
        return total.hexdigest()


def read_pictures(data: Path, protocol: Protocol) -> Pictures:
    pictures = Pictures(_read_part(data, "train"), _read_part(data, "t10k"))
    for size in protocol.training_pictures:
        if size > len(pictures.training[1]):
            raise BadInput(f"{data}: expected at least {size} training pictures, got {len(pictures.training[1])}")
    return pictures


def make(
    folder: Path, pictures: Pictures, settings: Callable[[Run], dict[str, Any]], runs: Sequence[Run]
) -> Iterator[tuple[Run, Result]]:
    """Train and test each run in one thread, and write its record before yielding it."""
    torch.set_num_threads(1)
    for run in runs:
        record = train_and_test(run, settings(run), *pictures)
        write_result(folder, run, record)
        yield run, record


def train_and_test(
    run: Run, settings: dict[str, Any], training: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]
) -> Result:
    """The record of a run. Its seed draws the training pictures, their order and the flips, the same for every row."""
    began = time.process_time()
    drawn = torch.Generator().manual_seed(seeded(run.seed, "pictures", 0))
    chosen = torch.randperm(len(training[1]), generator=drawn)[: run.pictures]
    pictures, labels = normalised(training[0][chosen]), training[1][chosen]
    torch.manual_seed(run.seed)
    net = picture_net(run.row, CLASSES)
    optimiser = torch.optim.AdamW(
        net.parameters(), settings["learning_rate"], weight_decay=settings["weight_decay"], fused=True
    )
    epochs, batch = settings["epochs"], settings["batch_size"]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings["learning_rate"], total_steps=epochs * -(-len(labels) // batch), pct_start=0.2
    )
    net.train()
    for _ in range(epochs):
        for index in torch.randperm(len(labels), generator=drawn).split(batch):
            flip = torch.rand(len(index), 1, 1, 1, generator=drawn) < 0.5
            inputs = torch.where(flip, pictures[index].flip(3), pictures[index])
            loss = cross_entropy(net(inputs), labels[index])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    net.eval()
    with torch.no_grad():
        answers = torch.cat([net(normalised(part)).argmax(dim=1) for part in test[0].split(500)])
    return {
        "pictures": run.pictures, "row": run.row, "seed": run.seed, "settings": settings,
        "accuracy": float((answers == test[1]).double().mean()),
        "last_loss": loss.item(),
        "gates": gate_spread(net, normalised(test[0][:500])),
        "parameters": parameters(net),
        "multiply_adds": count_multiply_adds(net, (1, 1, 28, 28)),
        "versions": {"agdt_layers": agdt_layers.__version__, "torch": torch.__version__},
        "core_seconds": time.process_time() - began,
    }  # fmt: skip


def normalised(pictures: Tensor) -> Tensor:
    """Normalise with the usual mean and standard deviation of Fashion-MNIST."""
    return (pictures.float() / 255 - 0.286) / 0.353


def gate_spread(net: nn.Module, pictures: Tensor) -> list[dict[str, float]]:
    """For each layer with a gate: its mean and standard deviation, and the mean standard deviation in a channel."""
    found: list[dict[str, float]] = []

    def keep(layer: nn.Module, inputs: object, output: tuple[Tensor, Tensor | None]) -> None:
        gate = output[1]
        if gate is not None:
            within = gate.std(dim=0).mean()
            found.append({"mean": float(gate.mean()), "sd": float(gate.std()), "sd_in_channel": float(within)})

    layers = [layer.channel for layer in net.modules() if isinstance(layer, AdaptiveGlobalAttention)]
    hooks = [layer.register_forward_hook(keep) for layer in layers if layer is not None]
    with torch.no_grad():
        net(pictures)
    for hook in hooks:
        hook.remove()
    return found


def _read_part(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    pictures = _read_idx(folder / f"{part}-images-idx3-ubyte.gz", 3)
    labels = _read_idx(folder / f"{part}-labels-idx1-ubyte.gz", 1)
    if len(pictures) != len(labels) or pictures.shape[1:] != (28, 28):
        raise BadInput(f"{folder}: expected as many {part} labels as pictures of 28 x 28, "
                       f"got {len(labels)} labels and pictures {tuple(pictures.shape)}")  # fmt: skip
    if len(labels) and int(labels.max()) >= CLASSES:
        raise BadInput(f"{folder}: expected {part} labels from 0 to {CLASSES - 1}, got {int(labels.max())}")
    return pictures[:, None], labels.long()


def _read_idx(path: Path, dimensions: int) -> Tensor:
    """One idx file: two zero bytes, the type (8 = uint8), the number of dimensions, each size, the values."""
    try:
        content = gzip.decompress(path.read_bytes())
        header = 4 + 4 * dimensions
        sizes = np.frombuffer(content[4:header], dtype=">i4").tolist()
        if content[:4] != bytes((0, 0, 8, dimensions)):
            raise ValueError
        values = np.frombuffer(content, dtype=np.uint8, offset=header).reshape(sizes)
    except FileNotFoundError:
        raise BadInput(f"{path} is missing; Debian's package dataset-fashion-mnist puts it into "
                       "/usr/share/datasets/fashion-mnist") from None  # fmt: skip
    except (OSError, EOFError, ValueError):
        raise BadInput(f"{path}: expected a gzipped idx file with {dimensions} dimensions; fetch it again") from None
    return torch.from_numpy(values.copy())


def summarise(protocol: Protocol, records: Mapping[Run, Result]) -> dict[str, Any]:
    """Accuracies by row and seed, and the protocol's paired differences, for the existing runs.

    Holm's correction counts every comparison of the protocol, even without runs.
    """
    sizes: list[dict[str, Any]] = []
    for pictures in sorted(protocol.training_pictures):
        rows = {row: _of_row(records, pictures, row) for row in protocol.seeds}
        sizes.append({
            "pictures": pictures,
            "rows": [{"row": row, "planned": protocol.seeds[row], **_row(made)} for row, made in rows.items() if made],
            "comparisons": [_difference(rows, *pair) for pair in protocol.comparisons],
            "described": [_difference(rows, *pair) for pair in protocol.described],
        })  # fmt: skip
    tested = [difference for size in sizes for difference in size["comparisons"]]
    for difference, p in zip(tested, holm([difference.get("p", 1.0) for difference in tested]), strict=True):
        if "p" in difference:
            difference["p_holm"] = p
    for size in sizes:
        for difference in size["described"]:
            difference.pop("p", None)
    planned = protocol.runs()
    return {
        "runs": len(records),
        "planned": len(planned),
        "protocol": asdict(protocol),
        "sizes": sizes,
        "versions": next((record["versions"] for record in records.values()), None),
        "core_seconds": sum(record["core_seconds"] for record in records.values()),
    }


def _of_row(records: Mapping[Run, Result], pictures: int, row: str) -> dict[int, Result]:
    return {run.seed: record for run, record in records.items() if (run.pictures, run.row) == (pictures, row)}


def _row(made: Mapping[int, Result]) -> dict[str, Any]:
    values = [made[seed]["accuracy"] for seed in sorted(made)]
    first = next(iter(made.values()))
    gates = [[layer["sd_in_channel"] for layer in record["gates"]] for record in made.values() if record["gates"]]
    return {
        "seeds": sorted(made),
        "accuracy": values,
        "mean": float(np.mean(values)),
        "sd": standard_deviation(values) if len(values) > 1 else None,
        "gate_sd_in_channel": np.mean(gates, axis=0).tolist() if gates else None,
        "parameters": first["parameters"],
        "multiply_adds": first["multiply_adds"],
    }


def _difference(rows: Mapping[str, Mapping[int, Result]], row: str, other: str) -> dict[str, Any]:
    common = sorted(rows[row].keys() & rows[other].keys())
    named = {"row": row, "other": other, "seeds": len(common)}
    if len(common) < 2:
        return named
    test = paired(*([made[seed]["accuracy"] for seed in common] for made in (rows[row], rows[other])))
    return {**named, **asdict(test)}


def markdown(summary: dict[str, Any]) -> str:
    runs, planned = summary["runs"], summary["planned"]
    parts = [f"**Incomplete: {runs} of the protocol's {planned} runs are there.**\n"] if runs < planned else []
    for size in summary["sizes"]:
        if not size["rows"]:
            parts.append(f"**{size['pictures']:,} training pictures**: no run yet.\n")
            continue
        head = ["row", "seeds", "parameters", "M multiply-adds", "accuracy, %", "sd", "gate's sd, by block"]
        rows = []
        for row in size["rows"]:
            gate = ", ".join(f"{value:.3f}" for value in row["gate_sd_in_channel"] or ())
            sd = "" if row["sd"] is None else f"{100 * row['sd']:.2f}"
            rows.append([row["row"], f"{len(row['seeds'])} of {row['planned']}", f"{row['parameters']:,}",
                         f"{row['multiply_adds'] / 1e6:.3f}", f"{100 * row['mean']:.2f}", sd, gate])  # fmt: skip
        columns, tests = ["difference", "seeds", "points", "95 % interval", "p", "p, Holm"], []
        for test in (*size["comparisons"], *size["described"]):
            if "interval" not in test:
                continue
            low, high = test["interval"]
            p = [f"{test[key]:.3f}" if key in test else "" for key in ("p", "p_holm")]
            tests.append([f"{test['row']} minus {test['other']}", str(test["seeds"]), points(test["difference"], 2),
                          f"{points(low, 2)} to {points(high, 2)}", *p])  # fmt: skip
        parts += [f"**{size['pictures']:,} training pictures**\n", table(head, rows), table(columns, tests)]
    return "\n".join(parts)
