"""One run of the ablation: train a row with a seed, choose the epoch on validation people, test on others."""

import logging
import time
import warnings
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from dfer.data.hard_rendered import hard_data
from dfer.data.parts import RunData
from dfer.evaluation.complexity import count_multiply_adds
from dfer.evaluation.scores import scores_of
from dfer.experiments.nets import build_row, parameters
from dfer.experiments.protocol import Protocol
from dfer.training.checkpoints import rank
from dfer.training.device import choose_device
from dfer.training.identity import PACKAGES, commit, installed
from dfer.training.loading import make_loaders
from dfer.training.module import Recognition
from dfer.training.recipes import Recipe, one_cycle, parameter_groups
from dfer.training.settings import TrainingSettings


def adamw(net: nn.Module) -> Optimizer:
    """Larger steps than train.py's for rendered faces: the nets are narrower and the batches larger."""
    return AdamW(parameter_groups(net, {"temporal.": 7e-4, "": 2e-3}), weight_decay=0.05, fused=True)


RECIPE = Recipe(adamw, one_cycle, "step", dropout=0.1)


class BestEpoch(Checkpoint):
    """Keeps the weights of the best epoch in memory: a run of a minute is rather repeated than resumed."""

    def __init__(self) -> None:
        self.row: dict[str, float] = {}
        self.weights: dict[str, Tensor] = {}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Recognition)
        row = pl_module.history[-1]
        if not self.row or rank(row) > rank(self.row):
            self.row = row
            self.weights = {key: value.clone() for key, value in pl_module.net.state_dict().items()}


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
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    torch.set_num_threads(1)
    settings = TrainingSettings(
        recipe="rendered", epochs=protocol.epochs, batch_size=protocol.batch_size, workers=0, seed=seed
    )
    device = choose_device(settings)
    data = data_of(protocol, seed)
    seed_everything(seed, verbose=False)
    net = build_row(row, len(data.names), frames=protocol.frames, width=protocol.width, dropout=RECIPE.dropout)
    clip = (1, protocol.frames, 3, protocol.size, protocol.size)
    cost = {"parameters": parameters(net), "multiply_adds": count_multiply_adds(net.eval(), clip)}
    net.train()
    loaders = make_loaders(data, settings, epochs_done=0)
    module = Recognition(
        net,
        classes=len(data.names),
        recipe=RECIPE,
        steps=len(loaders.training),
        seed=seed,
        identity={},
        augmented=data.augmented,
    )
    best = BestEpoch()
    trainer = Trainer(
        max_epochs=protocol.epochs,
        accelerator=device.accelerator,
        devices=1,
        precision="bf16-mixed" if device.bfloat16 else "32-true",
        callbacks=[best],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        logger=False,
    )
    trainer.fit(module, loaders.training, loaders.validation)
    net.load_state_dict(best.weights)
    trainer.test(module, loaders.test, verbose=False)
    confusion = module.confusion.compute().cpu()
    scores = scores_of(confusion)
    return {
        "row": row,
        "seed": seed,
        "settings": asdict(protocol),
        "uar": scores.uar,
        "war": scores.war,
        "recall": dict(zip(data.names, scores.recall, strict=True)),
        "confusion": confusion.tolist(),
        "epoch": best.row["epoch"],
        "epoch_selected_on": "validation",
        "history": module.history,
        **cost,
        "device": str(device),
        "versions": {name: installed(name) for name in PACKAGES},
        "commit": commit(),
        "seconds": time.monotonic() - began,
    }
