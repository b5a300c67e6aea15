"""One run from clips to results: fit, choose the best epoch, test it, and write everything down."""

import json
import logging
import sys
import time
import warnings
from typing import Any

import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import RichProgressBar
from torch.utils.data import DataLoader, Dataset

from dfer.atomic_files import whole_file
from dfer.data.clips import EpochOrder, EvaluationClips, TrainingClips
from dfer.data.parts import RunData, listed_data, rendered_data
from dfer.evaluation.results import Results, write_results
from dfer.training.balanced_order import BalancedOrder
from dfer.training.checkpoints import BestAndLast, WholeFiles, epochs_done, read_checkpoint
from dfer.training.identity import identity, record
from dfer.training.module import Recognition
from dfer.training.networks import build_net, check_model
from dfer.training.recipes import RECIPES
from dfer.training.run_folder import CHECKPOINT, SETTINGS, run_folder
from dfer.training.settings import Settings
from dfer.training.stopping import ignore_interrupts


def load_data(settings: Settings) -> RunData:
    clips, training = settings.clips, settings.training
    if clips.list is None or clips.test_list is None:
        return rendered_data(
            str(clips.labels), frames=clips.frames, size=clips.size, seed=training.seed, select_on=training.select_on
        )
    return listed_data(
        clips.list,
        clips.test_list,
        clips.frames_root,
        clips.names,
        size=clips.size,
        frames=clips.frames,
        per_segment=clips.per_segment,
        select_on=training.select_on,
        seed=training.seed,
    )


def run(settings: Settings) -> None:
    """Everything is checked before anything is written."""
    # The library's adverts and the notes it has for its own developers are not for the person who trains.
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    check_model(settings.net)
    with run_folder(settings.out, resume=settings.resume):
        _run(settings)


def _run(settings: Settings) -> None:
    began, out, training = time.monotonic(), settings.out, settings.training
    checkpoint = read_checkpoint(out / CHECKPOINT) if settings.resume else None
    data = load_data(settings)
    for remark in data.remarks:
        print(f"note: {remark}")
    run_identity = identity(settings, data)
    done = 0 if checkpoint is None else epochs_done(checkpoint, run_identity, training.epochs)
    seed_everything(training.seed, verbose=False)
    net = build_net(settings.net, len(data.names), settings.clips.frames)
    if training.channels_last:
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    recipe = RECIPES[training.recipe]
    cuda = torch.cuda.is_available()
    half = training.precision == "bfloat16" or (
        training.precision == "auto" and cuda and torch.cuda.is_bf16_supported()
    )
    parts = (data.training, data.validation, data.test)
    print(
        f"{' + '.join(str(len(part.labels)) for part in parts)} clips to train, choose and test on; "
        f"{settings.clips.frames} frames of {settings.clips.size} x {settings.clips.size}\n"
        f"{sum(p.numel() for p in net.parameters()) / 1e6:.1f} M parameters, on "
        f"{torch.cuda.get_device_name() if cuda else 'the CPU'}, {'bfloat16 autocast' if half else 'float32'}"
        f"{', channels_last' if training.channels_last else ''}"
    )

    def loader(clips: Dataset[Any], **order: Any) -> DataLoader[Any]:
        return DataLoader(
            clips,
            batch_size=training.batch_size,
            num_workers=training.workers,
            persistent_workers=training.workers > 0,
            worker_init_fn=ignore_interrupts,
            pin_memory=cuda,
            **order,
        )

    labels = data.training.labels
    order = BalancedOrder(labels, training.seed) if recipe.balanced else EpochOrder(len(labels), training.seed)
    # Lightning tells the order its epoch, but in a resumed run only after it has asked for the first clips.
    order.set_epoch(done)
    training_clips = loader(TrainingClips(data.training, training.seed, augmented=data.augmented), sampler=order)
    validation_clips, test_clips = (loader(EvaluationClips(part)) for part in parts[1:])
    # A broken frame is better found now than after the last epoch.
    for clips in (validation_clips, test_clips):
        for _ in clips:
            pass
    module = Recognition(
        net,
        classes=len(data.names),
        recipe=recipe,
        steps=len(training_clips),
        seed=training.seed,
        identity=run_identity,
    )
    best_and_last = BestAndLast(out / CHECKPOINT)
    watched = sys.stdout.isatty()
    trainer = Trainer(
        max_epochs=training.epochs,
        accelerator="cuda" if cuda else "cpu",
        devices=1,
        precision="bf16-mixed" if half else "32-true",
        callbacks=[best_and_last, *([RichProgressBar()] if watched else [])],
        plugins=[WholeFiles()],
        enable_progress_bar=watched,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        logger=False,
    )
    with whole_file(out / SETTINGS) as path:
        path.write_text(json.dumps(record(settings), indent=2) + "\n")
    trainer.fit(
        module,
        training_clips,
        validation_clips,
        ckpt_path=None if checkpoint is None else out / CHECKPOINT,
        weights_only=True,
    )
    net.load_state_dict(best_and_last.weights)
    trainer.test(module, test_clips, verbose=False)
    write_results(settings, Results(net, data, module.history, module.confusion.compute().cpu(), best_and_last.epoch))
    print(f"{time.monotonic() - began:.0f} s in all; pictures, metrics.json, weights.safetensors: {out.resolve()}")
