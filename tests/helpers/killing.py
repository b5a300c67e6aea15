"""Kill training runs at random moments, resume them, and compare them with an uninterrupted run."""

import random
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from helpers.train_processes import finished, start


def arguments(clips: Path, recipe: str, *, model: str, epochs: int, workers: int) -> list[str]:
    return [
        *("--list", str(clips / "train.txt"), "--test-list", str(clips / "test.txt")),
        *("--model", model, "--recipe", recipe, "--epochs", str(epochs), "--workers", str(workers)),
        *("--frames", "2", "--size", "16", "--batch-size", "8", "--dropout", "0.2"),
    ]


def kill_and_compare(flags: list[str], folder: Path, *, kills: int, draw: random.Random) -> list[float]:
    """Kill a run `kills` times at moments drawn uniformly from the length of a whole run, resuming it each time.

    Every run that finishes must have the same weights and optimiser state as the uninterrupted run, bit for bit.
    Returns the moments as fractions of a whole run.
    """
    whole, out, printed = folder / "whole", folder / "killed", folder / "printed"
    finished(start(["--help"], printed))  # start the fork server, so that its start is not measured
    began = time.monotonic()
    assert finished(start([*flags, "--out", str(whole)], printed)) == 0, printed.read_text()
    length = time.monotonic() - began
    moments: list[float] = []
    while True:
        resume = ["--resume"] if (out / "last.ckpt").exists() else []
        process = start([*flags, "--out", str(out), *resume], printed)
        if len(moments) < kills:
            moment = draw.random()
            process.join(moment * length)
            if process.exitcode is None:
                process.kill()
                process.join()
                moments.append(moment)
                continue
        assert finished(process) == 0, printed.read_text()
        compare(whole, out)
        assert not [file.name for file in out.iterdir() if file.name.startswith(".") and file.name != ".lock"]
        if len(moments) == kills:
            return moments
        shutil.rmtree(out)


def compare(one: Path, other: Path) -> None:
    first, second = (load_file(out / "weights.safetensors") for out in (one, other))
    equal(first, second, "weights")
    checkpoints = [torch.load(out / "last.ckpt", weights_only=True) for out in (one, other)]
    for part in ("state_dict", "optimizer_states", "identity"):
        equal(checkpoints[0][part], checkpoints[1][part], part)


def equal(one: Any, other: Any, where: str) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            equal(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for index, (first, second) in enumerate(zip(one, other, strict=True)):
            equal(first, second, f"{where}.{index}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where
