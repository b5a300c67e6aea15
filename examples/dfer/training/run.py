"""One run from clips to results: train, choose the best epoch, test it, write the results."""

import json
import logging
import os
import sys
import time
import warnings
from contextlib import ExitStack, redirect_stdout
from datetime import timedelta
from typing import Any

from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.strategies import DDPStrategy

from dfer.atomic_files import whole_file
from dfer.contact_sheet import draw_contact_sheet
from dfer.data.checks import check_frames, copies
from dfer.data.parts import RunData
from dfer.evaluation.results import Results, write_results
from dfer.training.checkpoints import BestAndLast, WholeFiles, epochs_done, read_checkpoint
from dfer.training.device import (
    Processes,
    check_compiler,
    check_processes,
    choose_device,
    end_exchange,
    lost_processes_reported,
    this_process,
    to_channels_last,
)
from dfer.training.identity import contents, identity, record, refuse_other_run
from dfer.training.load_data import load_data
from dfer.training.loading import make_loaders, read_once, smallest_share
from dfer.training.module import Recognition
from dfer.training.networks import build_net, check_model, load_pretrained
from dfer.training.run_folder import CHANGES, CHECKPOINT, CLIPS, SETTINGS, run_folder, settings_file, write_clip_table
from dfer.training.settings import Settings

# How long a process waits for another: longer than disks differ in speed, short enough to end a hung run.
PATIENCE = timedelta(minutes=10)


def run(settings: Settings) -> None:
    """Check everything before anything is written. Only rank 0 prints and writes."""
    # Advertisements and notes of Lightning for its own developers.
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    processes = this_process()
    check_processes(processes, settings.training.batch_size)
    check_model(settings.net, frames=settings.clips.frames, size=settings.clips.size)
    with ExitStack() as stack:
        if processes.first:
            stack.enter_context(run_folder(settings.out, resume=settings.resume))
        else:
            stack.enter_context(redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
        stack.enter_context(lost_processes_reported())
        _run(settings, processes)


def _run(settings: Settings, processes: Processes) -> None:
    began, out, training = time.monotonic(), settings.out, settings.training
    checkpoint = read_checkpoint(out / CHECKPOINT) if settings.resume else None
    data = load_data(settings)
    for remark in data.remarks:
        print(f"note: {remark}")
    if data.changes:
        print(f"note: each clip that was left out or repaired is named in {CHANGES}")
    checked = check_frames(data.parts) if settings.check_frames else {}
    if checked:
        print(f"{sum(clip.frames for part in checked.values() for clip in part)} frames decoded, none is broken")
    clips = contents(data)
    run_identity, done, records = identity(settings, data, clips, checked), 0, []
    if checkpoint is not None:
        refuse_other_run(checkpoint["identity"], run_identity)
        done = epochs_done(checkpoint, training.epochs)
        run_identity, records = checkpoint["identity"], checkpoint["records"]
    parts = {"training": data.training, "test": data.test}
    if training.select_on == "validation":
        parts["validation"] = data.validation
    for remark in copies(parts, {part: clips[part] for part in parts}):
        print(f"note: {remark}")
    records = [*records, record(settings, run_identity, epochs_done=done)]
    loaders = make_loaders(data, training, processes, epochs_done=done)
    smallest = smallest_share(len(data.training.labels), training.batch_size, processes)
    check_model(settings.net, frames=settings.clips.frames, size=settings.clips.size, batch=smallest)
    device = choose_device(training, processes)
    if device.compiled:
        check_compiler(device.accelerator)
    seed_everything(training.seed, verbose=False)
    frame = data.test.frames(0, None).shape[1:]
    net = build_net(settings.net, len(data.names), settings.clips.frames, frame[-1])
    if settings.net.pretrained is not None and checkpoint is None:
        print(f"{settings.net.pretrained}: {load_pretrained(net, settings.net)}")
    if device.channels_last:
        to_channels_last(net)
    print(
        f"{' + '.join(str(len(part.labels)) for part in data.parts.values())} clips to train, choose and test on; "
        f"{settings.clips.frames} frames of {' x '.join(map(str, frame[-2:]))}\n"
        f"{sum(p.numel() for p in net.parameters()) / 1e6:.1f} M parameters, {device}"
    )
    read_once(loaders)
    module = Recognition(
        net,
        classes=len(data.names),
        settings=training,
        steps=len(loaders.training),
        identity=run_identity,
        records=records,
        augmented=data.augmented,
    )
    kept = BestAndLast(out / CHECKPOINT)
    watched = processes.first and sys.stdout.isatty()
    trainer = Trainer(
        max_epochs=training.epochs,
        accelerator=device.accelerator,
        **distribution(processes),
        precision="bf16-mixed" if device.bfloat16 else "32-true",
        callbacks=[kept, *([RichProgressBar()] if watched else [])],
        plugins=[WholeFiles()],
        enable_progress_bar=watched,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        logger=False,
    )
    if processes.first:
        _write_before(settings, data, records, clips)
    resumed = None if checkpoint is None else out / CHECKPOINT
    trainer.fit(module, loaders.training, loaders.validation, ckpt_path=resumed, weights_only=True)
    net.load_state_dict(kept.best["net"])
    trainer.test(module, loaders.test, verbose=False)
    # Every process must take part in this sum.
    confusion = module.confusion.compute().cpu()
    end_exchange()
    if processes.first:
        write_results(settings, Results(net, data, module.history, confusion, kept.best["row"]["epoch"], records))
    print(f"{time.monotonic() - began:.0f} s in all; pictures, metrics.json, weights.safetensors: {out.resolve()}")


def distribution(processes: Processes) -> dict[str, Any]:
    """Arguments of Lightning's trainer, which reads the rest from the environment. SharedBatches divides the clips."""
    if processes.count == 1:
        return {"devices": 1}
    return {
        "devices": processes.local,
        "num_nodes": processes.count // processes.local,
        "strategy": DDPStrategy(timeout=PATIENCE),
        "use_distributed_sampler": False,
    }


def _write_before(settings: Settings, data: RunData, records: list[Any], clips: dict[str, list[bytes]]) -> None:
    """Write the files that exist before the first epoch."""
    out = settings.out
    with whole_file(out / SETTINGS) as path:
        path.write_text(json.dumps(settings_file(records), indent=2) + "\n")
    write_clip_table(out / CLIPS, data, clips)
    if data.changes:
        with whole_file(out / CHANGES) as path:
            path.write_text("\n".join(data.changes) + "\n")
    if settings.contact_sheet:
        sheet = out / "contact_sheet.png"
        draw_contact_sheet(sheet, data.training, data.names, augmented=data.augmented, seed=settings.training.seed)
        print(f"contact sheet: {sheet.resolve()}")
