"""A trained network's stream as two files: stream.onnx, one step, and stream.json, what a program needs to run it."""

import json
import logging
import math
import warnings
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from torch.export import Dim

from agdt_layers import AGDTNet, AGDTStream, StreamStep
from dfer.atomic_files import whole_file
from dfer.errors import BadInput
from dfer.training.trained_file import TrainedFacts

MODEL, DESCRIPTION = "stream.onnx", "stream.json"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
# Largest difference of a score that passes the check, in units of the largest score or of 1.
TOLERANCE = 1e-4


def export_stream(net: AGDTNet, facts: TrainedFacts, folder: Path) -> float:
    """Write both files, after a check in ONNX Runtime; return the largest difference of a score that it found.

    The model maps ``frames`` (B, 3, H, W) and the state to ``scores`` (B, classes), before the softmax, and the new
    state, in the order in which the description names the state. Raises BadInput where a package is missing or the
    scores differ from those of AGDTStream; no file is written then.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise BadInput(f"{', '.join(missing)}: not installed; pip install {' '.join(PACKAGES)}")
    if not hasattr(torch.compiler, "is_exporting"):
        raise BadInput(
            f"the exporter of torch {torch.__version__} refuses a dynamic batch here; use torch 2.7 or newer"
        )
    step = StreamStep(net, num_frames=facts.frames)
    state = step.initial_state(2)
    with whole_file(folder / MODEL) as model, whole_file(folder / DESCRIPTION) as description:
        _export(step, state, facts.size, model)
        difference = _largest_difference(net, facts, state, model)
        if not difference <= TOLERANCE:
            raise BadInput(
                f"{MODEL}: its scores differ by {difference:.1e} from those of AGDTStream; nothing is written"
            )
        description.write_text(json.dumps(describe(facts, state), indent=1) + "\n", encoding="utf-8")
    return difference


def describe(facts: TrainedFacts, state: dict[str, Tensor]) -> dict[str, object]:
    kept = {name: {"shape": list(own.shape[1:]), "dtype": str(own.dtype).split(".")[1]} for name, own in state.items()}
    return {
        "classes": facts.classes,
        "size": facts.size,
        "mean": facts.mean,
        "std": facts.std,
        "num_frames": facts.frames,
        # All zeros before the first frame; the axis of the batch comes before these shapes.
        "state": kept,
        "trained": asdict(facts),
    }


def _export(step: StreamStep, state: dict[str, Tensor], size: int, path: Path) -> None:
    batch = Dim("batch")
    sizes = ({0: batch}, {name: {0: batch} for name in state})
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.export.export(step, (torch.zeros(2, 3, size, size), state), dynamic_shapes=sizes)
        torch.onnx.export(
            program,
            (),
            path,
            input_names=["frames", *state],
            output_names=["scores", *(f"new {name}" for name in state)],
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _largest_difference(net: AGDTNet, facts: TrainedFacts, state: dict[str, Tensor], path: Path) -> float:
    """Between AGDTStream and the file, over 2 T random frames of two streams."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    stream, values = AGDTStream(net, num_frames=facts.frames), {name: own.numpy() for name, own in state.items()}
    generator, largest = torch.Generator().manual_seed(0), 0.0
    for _ in range(2 * facts.frames):
        frames = torch.randn(2, 3, facts.size, facts.size, generator=generator)
        expected = stream.push(frames)
        scores, *new = session.run(None, {"frames": frames.numpy(), **values})
        values = dict(zip(values, new, strict=True))
        difference = (torch.from_numpy(scores) - expected).abs().max() / expected.abs().max().clamp(min=1)
        largest = max(largest, float(difference)) if math.isfinite(float(difference)) else math.inf
    return largest
