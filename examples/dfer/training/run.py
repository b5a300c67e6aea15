"""One run from clips to results: fit, choose the best epoch, test it, and write everything down."""

import argparse
import logging
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import RichProgressBar
from torch.utils.data import DataLoader

from agdt_layers import AGDTNet, build_agdtnet
from dfer.bad_input import BadInput
from dfer.data.clips import EpochOrder, EvaluationClips, TrainingClips
from dfer.data.parts import RunData, listed_data, rendered_data
from dfer.evaluation.results import Results, write_results
from dfer.training.checkpoints import BestAndLast
from dfer.training.module import Recognition


def load_data(args: argparse.Namespace) -> RunData:
    if args.list is None:
        return rendered_data(args.labels, frames=args.frames, size=args.size, seed=args.seed, select_on=args.select_on)
    return listed_data(
        args.list,
        args.test_list,
        args.frames_root,
        args.class_names,
        size=args.size,
        frames=args.frames,
        per_segment=args.frames_per_segment,
        select_on=args.select_on,
        seed=args.seed,
    )


def build_net(args: argparse.Namespace, classes: int) -> AGDTNet:
    try:
        return build_agdtnet(
            classes,
            num_frames=args.frames,
            attention=args.attention,
            temporal=args.temporal,
            weights=args.weights,
            dropout=args.dropout,
        )
    except (OSError, ValueError) as error:
        raise BadInput(f"--weights {args.weights}: {' '.join(str(error).split())}") from None


def run(args: argparse.Namespace) -> None:
    # The library's adverts and the notes it has for its own developers are not for the person who trains.
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    began = time.monotonic()
    settings = {
        k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items() if k not in ("resume", "workers")
    }
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out {args.out}: cannot be made a folder ({error.strerror}); name another") from None
    checkpoints = BestAndLast(args.out)
    if args.resume:
        epochs_done = checkpoints.epochs_done(settings)
    else:
        epochs_done = 0
        checkpoints.forget()
    data = load_data(args)
    for remark in data.remarks:
        print(f"note: {remark}")
    seed_everything(args.seed, verbose=False)
    net = build_net(args, len(data.names))
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    parts = (data.training, data.validation, data.test)
    print(
        f"{' + '.join(str(len(part.labels)) for part in parts)} clips to train, choose and test on; "
        f"{args.frames} frames of {args.size} x {args.size}; "
        f"{sum(p.numel() for p in net.parameters()) / 1e6:.1f} M parameters"
    )

    module = Recognition(net, classes=len(data.names), recipe=args.recipe, seed=args.seed, settings=settings)
    cuda = torch.cuda.is_available()
    watched = sys.stdout.isatty()
    trainer = Trainer(
        max_epochs=args.epochs,
        accelerator="cuda" if cuda else "cpu",
        devices=1,
        precision="bf16-mixed" if cuda else "32-true",
        callbacks=[checkpoints, *([RichProgressBar()] if watched else [])],
        enable_progress_bar=watched,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        logger=False,
    )
    loading: dict[str, Any] = {"batch_size": args.batch_size, "num_workers": args.workers, "pin_memory": cuda}
    order = EpochOrder(len(data.training.labels), args.seed)
    # Lightning tells the order its epoch, but in a resumed run only after it has asked for the first clips.
    order.set_epoch(epochs_done)
    trainer.fit(
        module,
        DataLoader(TrainingClips(data.training, args.seed, augmented=data.augmented), sampler=order, **loading),
        DataLoader(EvaluationClips(data.validation), **loading),
        ckpt_path=checkpoints.last if args.resume else None,
        weights_only=True,
    )
    module.load_state_dict(torch.load(checkpoints.best, map_location="cpu", weights_only=True)["state_dict"])
    trainer.test(module, DataLoader(EvaluationClips(data.test), **loading), verbose=False)
    write_results(
        args.out,
        Results(
            net=net,
            data=data,
            settings=settings,
            history=module.history,
            confusion=module.confusion.compute().cpu(),
            epoch=checkpoints.best_epoch,
            selected_on=args.select_on,
        ),
    )
    print(f"{time.monotonic() - began:.0f} s in all; pictures, metrics.json, weights.safetensors: {args.out.resolve()}")
