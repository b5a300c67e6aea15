"""One run of the ablation: train a row with a seed, choose the epoch on validation people, test on others."""

import platform
import time
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import torch

import agdt_layers
from dfer.data.parts import RunData, hard_data
from dfer.evaluation.complexity import count_multiply_adds
from dfer.evaluation.scores import scores_of
from dfer.experiments.best_epoch import evaluate, train_best_epoch
from dfer.experiments.nets import build_row
from dfer.experiments.protocol import Protocol
from dfer.models.wide_resnet18 import parameters
from dfer.training.identity import commit

DROPOUT = 0.1


@lru_cache(maxsize=1)
def data_of(protocol: Protocol, seed: int) -> RunData:
    """The runs of a seed follow each other: a worker renders its people once."""
    return hard_data(
        training=protocol.training_people,
        validation=protocol.validation_people,
        test=protocol.test_people,
        takes=protocol.takes,
        frames=protocol.frames,
        size=protocol.size,
        seed=seed,
    )


def train_and_test(protocol: Protocol, row: str, seed: int) -> dict[str, Any]:
    """The result of a run as it goes into its file. One thread, so that the number of cores decides nothing."""
    began = time.monotonic()
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    data = data_of(protocol, seed)
    torch.manual_seed(seed)
    net = build_row(row, len(data.names), frames=protocol.frames, width=protocol.width, dropout=DROPOUT)
    clip = (1, protocol.frames, 3, protocol.size, protocol.size)
    cost = {"parameters": parameters(net), "multiply_adds": count_multiply_adds(net.eval(), clip)}
    net.to(device)
    history, best = train_best_epoch(net, data, epochs=protocol.epochs, batch_size=protocol.batch_size, seed=seed)
    _, confusion = evaluate(net, data.test, len(data.names), protocol.batch_size)
    scores = scores_of(confusion)
    return {
        "row": row,
        "seed": seed,
        "settings": asdict(protocol),
        "uar": scores.uar,
        "war": scores.war,
        "recall": dict(zip(data.names, scores.recall, strict=True)),
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
