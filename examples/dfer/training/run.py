"""One run from clips to results: fit, choose the best epoch, test it, and write everything down."""

import json
import logging
import sys
import time
import warnings

import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import RichProgressBar

from dfer.atomic_files import whole_file
from dfer.data.contact_sheet import draw_contact_sheet
from dfer.data.questions import check_frames
from dfer.evaluation.results import Results, write_results
from dfer.training.checkpoints import BestAndLast, WholeFiles, epochs_done, read_checkpoint
from dfer.training.device import choose_device
from dfer.training.identity import identity, record
from dfer.training.load_data import load_data
from dfer.training.loading import make_loaders, read_once
from dfer.training.module import Recognition
from dfer.training.networks import build_net, check_model
from dfer.training.recipes import RECIPES
from dfer.training.run_folder import CHANGES, CHECKPOINT, SETTINGS, run_folder
from dfer.training.settings import Settings


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
    if data.changes:
        print(f"note: each clip that was left out or repaired is named in {CHANGES}")
    if settings.check_frames:
        print(f"{check_frames(data.training, data.validation, data.test)} frames decoded, none is broken")
    run_identity = identity(settings, data)
    done = 0 if checkpoint is None else epochs_done(checkpoint, run_identity, training.epochs)
    seed_everything(training.seed, verbose=False)
    net, device = build_net(settings.net, len(data.names), settings.clips.frames), choose_device(training)
    if device.channels_last:
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    parts = (data.training, data.validation, data.test)
    print(
        f"{' + '.join(str(len(part.labels)) for part in parts)} clips to train, choose and test on; "
        f"{settings.clips.frames} frames of {settings.clips.size} x {settings.clips.size}\n"
        f"{sum(p.numel() for p in net.parameters()) / 1e6:.1f} M parameters, {device}"
    )
    loaders = make_loaders(data, training, epochs_done=done)
    read_once(loaders)
    module = Recognition(
        net,
        classes=len(data.names),
        recipe=RECIPES[training.recipe],
        steps=len(loaders.training),
        seed=training.seed,
        identity=run_identity,
        augmented=data.augmented,
    )
    best_and_last = BestAndLast(out / CHECKPOINT)
    watched = sys.stdout.isatty()
    trainer = Trainer(
        max_epochs=training.epochs,
        accelerator=device.accelerator,
        devices=1,
        precision="bf16-mixed" if device.bfloat16 else "32-true",
        callbacks=[best_and_last, *([RichProgressBar()] if watched else [])],
        plugins=[WholeFiles()],
        enable_progress_bar=watched,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        logger=False,
    )
    with whole_file(out / SETTINGS) as path:
        path.write_text(json.dumps(record(settings), indent=2) + "\n")
    if data.changes:
        with whole_file(out / CHANGES) as path:
            path.write_text("\n".join(data.changes) + "\n")
    if settings.contact_sheet:
        sheet = out / "contact_sheet.png"
        draw_contact_sheet(sheet, data.training, data.names, augmented=data.augmented, seed=training.seed)
        print(f"contact sheet: {sheet.resolve()}")
    trainer.fit(
        module,
        loaders.training,
        loaders.validation,
        ckpt_path=None if checkpoint is None else out / CHECKPOINT,
        weights_only=True,
    )
    net.load_state_dict(best_and_last.weights)
    trainer.test(module, loaders.test, verbose=False)
    write_results(settings, Results(net, data, module.history, module.confusion.compute().cpu(), best_and_last.epoch))
    print(f"{time.monotonic() - began:.0f} s in all; pictures, metrics.json, weights.safetensors: {out.resolve()}")
