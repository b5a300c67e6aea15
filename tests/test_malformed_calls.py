"""An invalid argument of any public name raises a ValueError or TypeError from this package.

Each argument of a valid call is replaced, one at a time, by invalid values of its kind. test_checks.py tests the
messages; this file tests that no argument goes unchecked.
"""

from __future__ import annotations

import linecache
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import agdt_layers as agdt

SOURCE = str(Path(agdt.__file__).parent)

INTEGER = [0, -1, 2.5, "3", True, [3], 1j, float("nan"), np.float64(3), torch.tensor(3), int]
SIZE = [*INTEGER, None, 100_000, 2**70]
KERNEL = [*INTEGER, 4, 1_000_001]
FLAG = ["no", "", 0, 1, None, [], torch.tensor(True)]
CHOICE = ["nope", "", 3, ["mean"], b"mean", True]
MODULE = [3, "resnet18", nn.Conv2d, len, [nn.Conv2d(3, 3, 1)], torch.zeros(3)]
# Invalid values by argument. The prefix "call_" marks an argument of the call that the constructor also has.
INVALID: dict[str, list[Any]] = {
    "channels": SIZE,
    "num_classes": SIZE,
    "depth": SIZE,
    "heads": [*SIZE, 3],
    "mlp_channels": SIZE,
    "max_frames": SIZE,
    "step": INTEGER,
    "reduction": INTEGER,
    "num_frames": INTEGER,
    "call_num_frames": [*INTEGER, 4],
    "kernel_size": KERNEL,
    "local_kernel_size": KERNEL,
    "spatial_kernel_size": [*KERNEL, None],
    "context_kernel_size": [*KERNEL, None],
    "context_groups": [*INTEGER, 3],
    "context_window": INTEGER,
    "gate": FLAG,
    "residual_scale": FLAG,
    "differential": FLAG,
    "causal": FLAG,
    "dry_run": FLAG,
    "channels_last": ["no", 0, 1, [], {"0": 1}, {"other": True}],
    "boundary": [*CHOICE, None],
    "temporal": [*CHOICE, None, nn.Linear],
    "attention": CHOICE,
    "dropout": [None, "0.1", -0.1, 1, 1.5, float("nan"), [0.1], torch.tensor(0.1), True],
    "device": ["gpu", "cuda:999", "", 3.5, ["cpu"], b"cpu", torch.float32, True],
    "dtype": [torch.int64, torch.complex64, "float32", float, np.float32, 32, torch.float8_e4m3fn],
    "backbone": [*MODULE, nn.Sequential(nn.Conv2d(4, 4, 1)), nn.Linear(3, 3), nn.Flatten()],
    "encoder": [*MODULE, None, agdt.DTFormer(6, heads=1, depth=1)],
    "model": [*MODULE, None],
    "net": [*MODULE, None, nn.Conv2d(3, 3, 1)],
    "places": ["0", None, 3, [], ["nope"], [""], [3], {"0": None}, {"0": nn.Conv2d(4, 4, 1)}, {"0"}],
    "example_input": [None, 3, (), [torch.zeros(1, 3, 8, 12)], torch.zeros(3), torch.zeros(1, 5, 8, 12).long()],
    "source": [None, 3, b"weights.pt", "absent.pt", "", "a\0b", {}, {"weight": 3}, {"other": torch.ones(3)}],
}
# Invalid tensors and masks, derived from the valid ones.
INVALID_TENSORS: dict[str, Callable[[Tensor], Any]] = {
    "None": lambda x: None,
    "a list": lambda x: list(x),
    "an array": lambda x: x.numpy(),
    "an axis more": lambda x: x[None],
    "two axes more": lambda x: x[None, None],
    "no axis": lambda x: x.sum(),
    "one axis": lambda x: x.flatten(),
    "an empty axis": lambda x: x[..., :0],
    "other channels": lambda x: x.index_select({3: 2, 4: 1, 5: 2}[x.ndim], torch.tensor([0])),
    "channels on another axis": lambda x: x.transpose({3: 1, 4: 2, 5: 1}[x.ndim], {3: 2, 4: 1, 5: 2}[x.ndim]),
    "int64": lambda x: x.long(),
    "bool": lambda x: x > 0,
    "complex": lambda x: torch.complex(x, x),
    "sparse": lambda x: x.to_sparse(),
    "nested": lambda x: torch.nested.nested_tensor(list(x)),
    "meta": lambda x: x.to("meta"),
}
INVALID_MASKS: dict[str, Callable[[Tensor], Any]] = {
    "text": lambda mask: "mask",
    "a list": lambda mask: mask.tolist(),
    "an array": lambda mask: mask.numpy(),
    "int64": lambda mask: mask.long(),
    "of one clip": lambda mask: mask[0],
    "of fewer clips": lambda mask: mask[:1],
    "of fewer frames": lambda mask: mask[:, :1],
    "transposed": lambda mask: mask.T,
    "a clip without frames": lambda mask: mask & torch.tensor([[False], [True]]),
    "sparse": lambda mask: mask.to_sparse(),
    "meta": lambda mask: mask.to("meta"),
}
# Exceptions: TemporalMean accepts vectors of any width and has no device; a stream also accepts a run of frames.
VALID = {
    "TemporalMean": {"other channels", "channels on another axis", "an empty axis", "meta"},
    "AGDTStream": {"an axis more"},
}


def build_and_call(make: Callable[..., Any], method: str = "__call__") -> Callable[..., Any]:
    def run(x: Any, **arguments: Any) -> Any:
        call = {name for name in arguments if name == "mask" or name.startswith("call_")}
        made = make(**{name: value for name, value in arguments.items() if name not in call})
        return getattr(made, method)(x, **{name.removeprefix("call_"): arguments[name] for name in call})

    return run


def backbone() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU())


def _captured(model: Any) -> None:
    with agdt.capture_attention(model):
        model(torch.zeros(1, 3, 8, 12))


def _insert(places: Any, **settings: Any) -> None:
    agdt.insert_attention(attention=places, **settings)


def with_attention() -> nn.Module:
    model = backbone()
    agdt.insert_attention(model, ["0"], example_input=torch.zeros(1, 3, 8, 12))
    return model


MAPS, CLIPS, VECTORS, FACES = (torch.rand(s) for s in ((6, 5, 7, 11), (2, 3, 5, 7, 11), (2, 3, 4), (2, 5, 3, 8, 12)))
MASK, FIVE = (
    torch.tensor([[True] * 3, [True, True, False]]),
    torch.tensor([[True] * 5, [True, True, True, False, False]]),
)
FACTORY = {"device": "cpu", "dtype": torch.float32}
GLOBAL = {"channels": 5, "spatial_kernel_size": 3, "context_kernel_size": 3, "context_groups": 1, "context_window": 2}
GLOBAL |= {"residual_scale": False, **FACTORY}
ADAPTIVE = GLOBAL | {"local_kernel_size": 3, "gate": True}
UNFOLDED = {"x": CLIPS, "num_frames": 3, "mask": MASK}
FOLDED = {"x": MAPS, "call_num_frames": 3, "mask": MASK}
ENHANCER = {"channels": 4, "step": 1, "kernel_size": 3, "boundary": "wrap", **FACTORY, "x": VECTORS, "mask": MASK}
DTFORMER = {"channels": 4, "depth": 2, "heads": 2, "mlp_channels": 3, "max_frames": 3, "dropout": 0.0}
DTFORMER |= {"differential": True, "step": 1, "boundary": "zero", **FACTORY, "x": VECTORS, "mask": MASK}
NET = {"backbone": backbone, "num_classes": 3, **FACTORY, "x": FACES, "mask": FIVE}
BUILT = {"num_frames": 5, "temporal": "mean", "dropout": 0.0, "causal": False}
PLACED = {"num_frames": 2, "channels_last": False, "dry_run": False, "example_input": torch.zeros(1, 3, 8, 12)}
BASELINE = {"channels": 5, "reduction": 2, **FACTORY, "x": MAPS}


def _net(encoder: Any, **settings: Any) -> Any:
    return agdt.AGDTNet(temporal=encoder, **settings).eval()


# A valid call of each public name: a function and its arguments. Callable arguments are called for a fresh value.
CALLS: list[tuple[str, Callable[..., Any], dict[str, Any]]] = [
    (
        "AdaptiveChannelAttention",
        build_and_call(agdt.AdaptiveChannelAttention),
        {"channels": 5, "kernel_size": 3, "gate": True, **FACTORY, "x": MAPS},
    ),
    ("AdaptiveGlobalAttention", build_and_call(agdt.AdaptiveGlobalAttention), ADAPTIVE | UNFOLDED),
    ("AdaptiveGlobalAttention", build_and_call(agdt.AdaptiveGlobalAttention, "attention_weights"), ADAPTIVE | FOLDED),
    ("GlobalConvolutionalAttention", build_and_call(agdt.GlobalConvolutionalAttention), GLOBAL | FOLDED),
    ("CBAM", build_and_call(agdt.CBAM), BASELINE | {"kernel_size": 3}),
    ("SqueezeExcitation", build_and_call(agdt.SqueezeExcitation), BASELINE),
    ("DifferentialTemporalEnhancer", build_and_call(agdt.DifferentialTemporalEnhancer), ENHANCER),
    ("DifferentialTemporalEnhancer", build_and_call(agdt.DifferentialTemporalEnhancer, "gate"), ENHANCER),
    ("DTFormer", build_and_call(agdt.DTFormer), DTFORMER),
    ("TemporalMean", build_and_call(agdt.TemporalMean), {"x": VECTORS, "mask": MASK}),
    ("ResNet18", build_and_call(agdt.ResNet18), {**FACTORY, "x": torch.rand(2, 3, 32, 40)}),
    ("FrameWise", build_and_call(agdt.FrameWise), {"model": backbone, "x": FACES, "mask": FIVE}),
    ("AGDTNet", build_and_call(_net), NET | {"encoder": agdt.TemporalMean}),
    ("build_agdtnet", build_and_call(agdt.build_agdtnet), NET | BUILT),
    ("build_agdtnet", agdt.build_agdtnet, {"attention": "none", "temporal": "mean", "causal": False}),
    (
        "AGDTStream",
        build_and_call(agdt.AGDTStream, "push"),
        {
            "net": lambda: agdt.build_agdtnet(3, backbone=backbone(), temporal="mean").eval(),
            "num_frames": 2,
            "x": torch.rand(2, 3, 8, 12),
        },
    ),
    (
        "StreamStep",
        agdt.StreamStep,
        {"net": lambda: agdt.build_agdtnet(3, backbone=backbone(), temporal="mean").eval(), "num_frames": 2},
    ),
    ("insert_attention", _insert, {"model": backbone, "places": ["0"], **PLACED}),
    ("remove_attention", agdt.remove_attention, {"model": with_attention}),
    ("capture_attention", _captured, {"model": with_attention}),
    ("fold_batch_norms", agdt.fold_batch_norms, {"model": backbone}),
    ("load_weights", agdt.load_weights, {"model": lambda: nn.Linear(2, 3), "source": nn.Linear(2, 3).state_dict()}),
]
# Classes that users only read.
RECORDS = {"AttentionWeights", "FoldedModel", "InsertionPlan", "Placement", "WeightsReport"}
ARGUMENTS = [(place, argument) for place, (_, _, arguments) in enumerate(CALLS) for argument in arguments]


def fresh(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value() if callable(value) else value for name, value in arguments.items()}


def invalid_values(name: str, argument: str, right: Any) -> Iterator[tuple[str, Any]]:
    if argument in ("x", "mask"):
        for label, make in (INVALID_TENSORS if argument == "x" else INVALID_MASKS).items():
            if argument == "mask" or label not in VALID.get(name, ()):
                yield label, make(right)
    else:
        for value in INVALID[argument]:
            yield f"{value!r:.60}", value


def fault(run: Callable[..., Any], arguments: dict[str, Any]) -> str | None:
    """Return what is wrong with the outcome of an invalid call, or None if it raises as expected."""
    try:
        run(**arguments)
    except (ValueError, TypeError, FileNotFoundError) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        line = linecache.getline(frame.filename, frame.lineno or 0)
        if not frame.filename.startswith(SOURCE) or not line.strip().startswith("raise "):
            return f"not raised by this package: {error!r:.200}"
        return f"longer than two lines: {error}" if len(str(error)) > 320 else None
    except Exception as error:
        return f"{error!r:.200}"
    return "accepted"


def test_every_public_name_has_a_valid_call() -> None:
    assert {name for name, _, _ in CALLS} | RECORDS == set(agdt.__all__)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call[0])
def test_valid_call_is_accepted(call: tuple[str, Callable[..., Any], dict[str, Any]]) -> None:
    call[1](**fresh(call[2]))


@pytest.mark.parametrize(("place", "argument"), ARGUMENTS, ids=[f"{CALLS[p][0]}-{a}" for p, a in ARGUMENTS])
def test_invalid_argument_raises_this_packages_error(place: int, argument: str) -> None:
    name, run, arguments = CALLS[place]
    faults = {}
    for label, value in invalid_values(name, argument, arguments[argument]):
        with warnings.catch_warnings(action="ignore"):
            faults[label] = fault(run, fresh(arguments) | {argument: value})
    assert not {label: found for label, found in faults.items() if found is not None}
