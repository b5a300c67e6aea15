"""Clips to series: one vector per frame, from a network of this package without its head or from a timm model."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from agdt_layers import AGDTNet, load_weights
from dfer.atomic_files import whole_file
from dfer.data.augmentation import MEAN, STD, to_unit
from dfer.data.clips import ClipsOnDisk, PlainClips
from dfer.data.parts import RunData
from dfer.errors import BadInput
from dfer.progress import track
from dfer.training.trained_file import TrainedFacts, load_trained

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
Extractor = Callable[[Tensor], Tensor]
"""Clips (B, T, 3, H, W) from 0 to 1 to vectors (B, T, C)."""


def of_run(file: Path) -> tuple[Extractor, TrainedFacts]:
    """The frame vectors of a trained AGDTNet."""
    net, facts = load_trained(file)
    if not isinstance(net, AGDTNet):
        raise BadInput(f"{file}: expected an agdtnet, got a {facts.net.get('model')}, which has no frame vectors")
    return _extractor(net.to(DEVICE).encode, facts.mean, facts.std), facts


def of_timm(name: str, weights: Path | None) -> Extractor:
    """A timm model without its classifier, with the weights of a file or else those that timm downloads."""
    try:
        import timm
    except ImportError:
        raise BadInput("--timm needs timm: pip install timm") from None
    try:
        model = timm.create_model(name, pretrained=weights is None, num_classes=0).eval()
        if weights is not None:
            load_weights(model, weights)
    except Exception as error:  # of timm, of the network, or of the file
        raise BadInput(f"--timm {name}: {' '.join(str(error).split())}") from None
    own = model.to(DEVICE).pretrained_cfg

    def vectors(clips: Tensor) -> Tensor:
        return model(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])

    return _extractor(vectors, own.get("mean", MEAN), own.get("std", STD))


def _extractor(vectors: Extractor, mean: tuple[float, ...], std: tuple[float, ...]) -> Extractor:
    def extract(clips: Tensor) -> Tensor:
        return vectors((clips - clips.new_tensor(mean).view(3, 1, 1)) / clips.new_tensor(std).view(3, 1, 1))

    return extract


def extract_features(data: RunData, extract: Extractor, out: Path, *, batch_size: int, workers: int) -> tuple[int, int]:
    """Write a file for read_series; return the numbers of series and of channels."""
    vectors, labels, parts = [], [], []
    sources = list(data.parts.values())
    people = [clip.subject for source in sources if isinstance(source, ClipsOnDisk) for clip in source.clips]
    for part, source in data.parts.items():
        loader = DataLoader(PlainClips(source), batch_size=batch_size, num_workers=workers)
        for clips, of_clips in track(loader, f"{part} clips", len(loader)):
            with torch.inference_mode():
                found = extract(to_unit(clips.to(DEVICE))).cpu()
            if found.ndim != 3:
                raise BadInput(f"expected a vector for each frame, got {tuple(found.shape)} for {tuple(clips.shape)}")
            vectors += list(found.float().numpy())
            labels += of_clips.tolist()
            parts += [part] * len(of_clips)
    arrays = {"vectors": np.concatenate(vectors), "names": np.array(data.names), "parts": np.array(parts)}
    arrays |= {"lengths": np.array([len(each) for each in vectors]), "labels": np.array(labels)}
    if len(people) == len(labels) and None not in people:
        arrays["subjects"] = np.array(people, dtype=str)
    with whole_file(out) as beside, beside.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    return len(vectors), vectors[0].shape[1]
