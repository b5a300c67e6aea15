"""Measure how many clips per second one core loads, from folders of JPEG files and from a packed store.

    PYTHONPATH=src:examples python -m dfer.benchmarking.loading

The data are rendered faces. The loaders take turns, batch by batch. The figures are medians of CPU time of one
process, so other programs and the disk do not count.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from dfer.arguments import Paragraphs
from dfer.data.augmentation import prepare
from dfer.data.clips import ClipsOnDisk, DrawnClips
from dfer.data.data_set import ListedClip
from dfer.data.folders import FolderTree
from dfer.data.packing import Store, pack
from dfer.rendering.clips import render_clips
from dfer.rendering.motion import EXPRESSIONS

BATCH, FRAMES, SIZE = 40, 32, 112


def write_clips(root: Path, side: int) -> None:
    """Write one batch of clips as JPEG files of side x side pixels."""
    rendered = render_clips("expressions", people=-(-BATCH // len(EXPRESSIONS)), frames=FRAMES, size=SIZE, seed=0)
    for number, clip in enumerate(rendered.clips[:BATCH]):
        folder = root / f"{number:05}"
        folder.mkdir(parents=True)
        for place, frame in enumerate(clip.permute(0, 2, 3, 1).numpy(), start=1):
            picture = Image.fromarray(frame)
            if side != SIZE:
                picture = picture.resize((side, side), Image.Resampling.BICUBIC)
            picture.save(folder / f"{place:05}.jpg", quality=90)


def source(place: FolderTree, paths: Sequence[str]) -> ClipsOnDisk:
    clips = [ListedClip(place.frames(path), 0, path) for path in paths]
    return ClipsOnDisk(clips, size=SIZE, segments=8, per_segment=2)


class AugmentedClips(DrawnClips):
    """Augments each clip as it is loaded."""

    def __getitem__(self, key: tuple[int, ...]) -> Any:
        clip, drawn, label = super().__getitem__(key)
        return prepare(clip[None], drawn[None])[0], label


def batches(clips: Dataset[Any]) -> Iterator[object]:
    """Yield one batch per epoch, without end."""
    epoch = 0
    while True:
        epoch += 1
        yield from DataLoader(clips, batch_size=BATCH, sampler=[(epoch, index) for index in range(BATCH)])


def measure(side: int, seconds: float) -> dict[str, float]:
    """Clips per second of each loader."""
    with tempfile.TemporaryDirectory() as temporary:
        folders, store = Path(temporary, "folders"), Path(temporary, "store")
        write_clips(folders, side)
        pack(folders, store, SIZE)
        tree = FolderTree(folders)
        paths, _ = tree.walk()
        ways = {
            "folders, augmented one by one": batches(AugmentedClips(source(tree, paths), 0)),
            "folders": batches(DrawnClips(source(tree, paths), 0)),
            "store": batches(DrawnClips(source(Store(store), paths), 0)),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        while sum(map(sum, times.values())) < seconds or len(times["store"]) < 7:
            for name, loaded in ways.items():
                began = time.process_time()
                next(loaded)
                times[name].append(time.process_time() - began)
    return {name: BATCH / statistics.median(each) for name, each in times.items()}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="loading.py", description=__doc__, formatter_class=Paragraphs)
    parser.add_argument("--seconds", type=float, default=20.0, help="measuring time for each size (20)")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    print(f"clips per second of one core: 16 of {FRAMES} frames at {SIZE} x {SIZE}")
    for side in (SIZE, 2 * SIZE):
        speeds = measure(side, args.seconds)
        print(f"JPEG files of {side} x {side}")
        for name, speed in speeds.items():
            print(f"  {name:30}{speed:8.0f}   {speed / speeds['folders']:5.2f} x folders")
    return 0


if __name__ == "__main__":
    main()
