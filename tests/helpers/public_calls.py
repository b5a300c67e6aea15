"""One right call of every public name, with the role of each of its arguments."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import agdt_layers as agdt
from helpers import malformed as role


class Call(NamedTuple):
    """A function of named arguments, and the arguments; ``call_<name>`` is <name> of the second call in it."""

    run: Callable[..., Any]
    arguments: dict[str, role.Role]


def _split(arguments: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    settings = {name: value for name, value in arguments.items() if not name.startswith("call_")}
    inputs = {name.removeprefix("call_"): value for name, value in arguments.items() if name.startswith("call_")}
    return settings, inputs


def made_and_called(make: Callable[..., Any], method: str = "__call__") -> Callable[..., Any]:
    def run(**arguments: Any) -> Any:
        settings, inputs = _split(arguments)
        x = inputs.pop("x")
        return getattr(make(**settings), method)(x, **inputs)

    return run


FACTORY = {"device": role.device(), "dtype": role.dtype()}
MAPS = {"call_x": role.numbers((2, 5, 7, 11), 1, any_dtype=True)}
CLIPS = {"call_x": role.numbers((2, 3, 5, 7, 11), 2, any_dtype=True), "call_mask": role.frame_mask(2, 3)}
FOLDED = {
    "call_x": role.numbers((6, 5, 7, 11), 1, any_dtype=True),
    "call_num_frames": role.integer(3, 4, 5),
    "call_mask": role.frame_mask(2, 3),
}
VECTORS = {"call_x": role.numbers((2, 3, 4), 2, any_dtype=True), "call_mask": role.frame_mask(2, 3)}
STRICT_VECTORS = {"call_x": role.numbers((2, 3, 4), 2), "call_mask": role.frame_mask(2, 3)}
GLOBAL = {
    "channels": role.integer(5, 6),
    "spatial_kernel_size": role.kernel(3),
    "context_kernel_size": role.kernel(3),
    "context_groups": role.integer(1, 3, optional=True),
    "context_window": role.integer(2, optional=True, bounded=False),
    "residual_scale": role.flag(False),
} | FACTORY
ADAPTIVE = GLOBAL | {"local_kernel_size": role.kernel(3, optional=True), "gate": role.flag(True)}
NUM_FRAMES = {"num_frames": role.integer(3, optional=True, bounded=False)}


def backbone(channels: int = 4) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, channels, 3, 2, 1), nn.ReLU(), nn.Conv2d(channels, channels, 1)).eval()


class Gives(nn.Module):
    """A backbone that gives something else than maps."""

    def __init__(self, of: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.of = of

    def forward(self, x: Tensor) -> Any:
        return self.of(x)


def _no_backbones() -> tuple[nn.Module, ...]:
    return (
        Gives(lambda x: x.flatten(1)),
        Gives(lambda x: (x, x)),
        Gives(lambda x: {"maps": x}),
        Gives(lambda x: None),
        nn.Conv2d(4, 4, 1),
        nn.Linear(3, 3),
    )


def _loaded(model: Any, source: Any) -> Any:
    report = agdt.load_weights(model, source)
    return str(report), dict(model.state_dict())


@cache
def _file(content: str) -> Path:
    path = Path(mkdtemp()) / "weights.pt"
    if content == "tensors":
        torch.save(dict(_source()), path)
    elif content == "a model":
        torch.save(nn.Linear(2, 3), path)
    else:
        path.write_bytes(content.encode())
    return path


def _source() -> dict[str, Tensor]:
    return {"weight": torch.ones(3, 2), "bias": torch.arange(3.0)}


SOURCES = role.Role(
    lambda: _file("tensors"),
    {
        "text": (lambda: str(_file("tensors")), lambda: _file("tensors")),
        "dict": (_source, lambda: _file("tensors")),
        "wrapped": (lambda: {"state_dict": {f"module.{k}": v for k, v in _source().items()}}, lambda: _file("tensors")),
        "strided": (lambda: _source() | {"weight": torch.ones(2, 3).T}, lambda: _file("tensors")),
    },
    {
        "None": lambda: None,
        "number": lambda: 3,
        "list": lambda: list(_source()),
        "bytes": lambda: b"weights.pt",
        "absent": lambda: "absent.pt",
        "nothing": lambda: "",
        "folder": lambda: _file("tensors").parent,
        "long": lambda: "a" * 5000,
        "zero byte": lambda: "a\0b",
        "link": lambda: "https://example.org/weights.pt",
        "empty dict": dict,
        "empty file": lambda: _file(""),
        "page": lambda: _file("<!DOCTYPE html>"),
        "noise": lambda: _file("noise"),
        "model in a file": lambda: _file("a model"),
        "model": lambda: nn.Linear(2, 3),
        "numbers": lambda: {"weight": 3},
        "other keys": lambda: {"other": torch.ones(3)},
        "other shape": lambda: _source() | {"weight": torch.ones(2, 3)},
        "integers": lambda: _source() | {"weight": torch.ones(3, 2, dtype=torch.int64)},
        "complex": lambda: _source() | {"weight": torch.ones(3, 2, dtype=torch.complex64)},
        "sparse": lambda: _source() | {"weight": torch.ones(3, 2).to_sparse()},
        "meta": lambda: _source() | {"weight": torch.ones(3, 2, device="meta")},
        "list in it": lambda: _source() | {"bias": [0.0, 0.0, 0.0]},
        "two state dicts": lambda: {"a": _source(), "b": _source()},
    },
)


def _framewise(model: Any, clips: Any, mask: Any) -> Any:
    return agdt.FrameWise(model)(clips, mask=mask)


def _net(backbone: Any, temporal: Any, clips: Any, mask: Any, **settings: Any) -> Any:
    return agdt.AGDTNet(backbone, temporal, **settings).eval()(clips, mask=mask)


def _built(clips: Any, mask: Any, **settings: Any) -> Any:
    return agdt.build_agdtnet(**settings).eval()(clips, mask=mask)


def _stream(net: Any, num_frames: Any, frame: Any) -> Any:
    stream = agdt.AGDTStream(net, num_frames=num_frames)
    first = stream.push(frame)
    return first, stream.push(frame)


def _inserted(model: Any, attention: Any, **settings: Any) -> Any:
    plan = agdt.insert_attention(model, attention, **settings)
    return str(plan), list(model.state_dict())


def _captured(model: Any, clips: Any) -> Any:
    with agdt.capture_attention(model) as maps:
        model(clips)
    return {name: tuple(value) if isinstance(value, tuple) else value for name, value in maps.items()}


def _removed(model: Any) -> Any:
    agdt.remove_attention(model)
    return list(model.state_dict())


def _folded(model: Any) -> Any:
    return agdt.fold_batch_norms(model).model(torch.ones(1, 3, 8, 12))


def _with_attention() -> nn.Module:
    model = backbone()
    agdt.insert_attention(model, ["0"], example_input=torch.zeros(1, 3, 8, 12))
    return model


@cache
def _streamed() -> nn.Module:
    return agdt.build_agdtnet(3, backbone=backbone(), temporal="mean", num_frames=4).eval()


IMAGE_CLIPS = {"clips": role.numbers((2, 5, 3, 8, 12), 2), "mask": role.frame_mask(2, 5)}
PLACES = role.anything(
    ["0"],
    *("0", None, 3, [], {}, ["nope"], [""], [3], [None], {"0": None}, {"0": nn.Conv2d(4, 4, 1)}),
    *({"0": lambda channels: None}, {"0": lambda channels: nn.Conv2d(channels, 2, 1)}, {0: agdt.CBAM}, {"0"}, object()),
    odd={"a tuple": (lambda: ("0",), lambda: ["0"]), "a pattern": (lambda: ["[0]"], lambda: ["0"])},
)

CALLS: dict[str, list[Call]] = {
    "AdaptiveChannelAttention": [
        Call(
            made_and_called(agdt.AdaptiveChannelAttention),
            {"channels": role.integer(5, 6), "kernel_size": role.kernel(3, optional=True), "gate": role.flag(True)}
            | FACTORY
            | MAPS,
        )
    ],
    "AdaptiveGlobalAttention": [
        Call(made_and_called(agdt.AdaptiveGlobalAttention), ADAPTIVE | NUM_FRAMES | CLIPS),
        Call(made_and_called(agdt.AdaptiveGlobalAttention), ADAPTIVE | FOLDED),
        Call(made_and_called(agdt.AdaptiveGlobalAttention, "attention_weights"), ADAPTIVE | FOLDED),
    ],
    "GlobalConvolutionalAttention": [
        Call(made_and_called(agdt.GlobalConvolutionalAttention), GLOBAL | NUM_FRAMES | CLIPS),
        Call(made_and_called(agdt.GlobalConvolutionalAttention, "attention_weights"), GLOBAL | FOLDED),
    ],
    "CBAM": [
        Call(
            made_and_called(agdt.CBAM),
            {"channels": role.integer(5, 6), "reduction": role.integer(2, bounded=False), "kernel_size": role.kernel(3)}
            | FACTORY
            | {"call_x": role.numbers((2, 5, 7, 11), 1)},
        )
    ],
    "SqueezeExcitation": [
        Call(
            made_and_called(agdt.SqueezeExcitation),
            {"channels": role.integer(5, 6), "reduction": role.integer(2, bounded=False)}
            | FACTORY
            | {"call_x": role.numbers((2, 5, 7, 11), 1)},
        )
    ],
    "DifferentialTemporalEnhancer": [
        Call(
            made_and_called(agdt.DifferentialTemporalEnhancer, method),
            {
                "channels": role.integer(4, 5),
                "step": role.integer(1, bounded=False),
                "kernel_size": role.kernel(3),
                "boundary": role.choice("wrap"),
            }
            | FACTORY
            | VECTORS,
        )
        for method in ("__call__", "gate")
    ],
    "DTFormer": [
        Call(
            made_and_called(agdt.DTFormer),
            {
                "channels": role.integer(4, 6),
                "depth": role.integer(2),
                "heads": role.integer(2, 3),
                "mlp_channels": role.integer(3),
                "max_frames": role.integer(3, 2),
                "dropout": role.probability(),
                "differential": role.flag(True),
                "step": role.integer(1, bounded=False),
                "boundary": role.choice("zero"),
            }
            | FACTORY
            | STRICT_VECTORS,
        )
    ],
    "TemporalMean": [
        Call(
            made_and_called(agdt.TemporalMean),
            VECTORS
            | {
                "call_x": role.numbers((2, 3, 4), 2, any_dtype=True, meets_parameters=False).without(
                    "another number of channels", "channels on another axis", "an empty last axis"
                )
            },
        )
    ],
    "ResNet18": [
        Call(
            made_and_called(lambda **settings: agdt.ResNet18(**settings).eval()),
            FACTORY | {"call_x": role.numbers((2, 3, 32, 40), 1)},
        )
    ],
    "FrameWise": [Call(_framewise, {"model": role.module(backbone)} | IMAGE_CLIPS)],
    "AGDTNet": [
        Call(
            _net,
            {
                "backbone": role.module(backbone, *_no_backbones(), optional=False),
                "temporal": role.module(agdt.TemporalMean, agdt.DTFormer(6, heads=1, depth=1), "mean"),
                "num_classes": role.integer(3),
            }
            | FACTORY
            | IMAGE_CLIPS,
        )
    ],
    "build_agdtnet": [
        Call(
            _built,
            {
                "num_classes": role.integer(3),
                "num_frames": role.integer(5, 4),
                "backbone": role.module(lambda: backbone(8), *_no_backbones(), optional=True),
                "temporal": role.choice("dtformer"),
                "dropout": role.probability(),
                "causal": role.flag(False),
            }
            | FACTORY
            | IMAGE_CLIPS,
        ),
        Call(
            _built,
            {
                "num_classes": role.integer(3),
                "attention": role.choice("se", optional=True),
                "temporal": role.choice("mean"),
                "weights": role.Role(lambda: None, {}, SOURCES.wrong | {"None": lambda: {"other": torch.ones(3)}}),
                "clips": role.numbers((1, 2, 3, 32, 40), 2),
                "mask": role.frame_mask(1, 2),
            },
        ),
    ],
    "AGDTStream": [
        Call(
            _stream,
            {
                "net": role.module(_streamed, nn.Conv2d(3, 3, 1)),
                "num_frames": role.integer(2, bounded=False),
                "frame": role.numbers((2, 3, 8, 12), 1, meets_parameters=False).without("one axis more"),
            },
        )
    ],
    "insert_attention": [
        Call(
            _inserted,
            {
                "model": role.module(backbone),
                "attention": PLACES,
                "example_input": role.Role(
                    lambda: torch.zeros(1, 3, 8, 12),
                    {
                        "a tuple": (lambda: (torch.zeros(1, 3, 8, 12),), lambda: torch.zeros(1, 3, 8, 12)),
                        "on the meta device": (
                            lambda: torch.zeros(1, 3, 8, 12, device="meta"),
                            lambda: torch.zeros(1, 3, 8, 12),
                        ),
                    },
                    role.numbers((1, 3, 8, 12), 1, any_dtype=True)
                    .without("on the meta device", "made in inference mode")
                    .wrong
                    | {"()": lambda: (), "two inputs": lambda: (torch.zeros(1, 3, 8, 12), torch.zeros(1))},
                ),
                "num_frames": role.integer(2, optional=True, bounded=False),
                "channels_last": role.flag(False).without("NoneType None"),
                "dry_run": role.flag(False),
            },
        )
    ],
    "remove_attention": [Call(_removed, {"model": role.module(_with_attention, nn.Conv2d(3, 3, 1))})],
    "capture_attention": [
        Call(_captured, {"model": role.module(_with_attention), "clips": role.anything(torch.zeros(1, 3, 8, 12))})
    ],
    "fold_batch_norms": [Call(_folded, {"model": role.module(backbone)})],
    "load_weights": [Call(_loaded, {"model": role.module(lambda: nn.Linear(2, 3)), "source": SOURCES})],
}
# What the package makes and a caller only reads: these hold what they are given.
RECORDS = ("AttentionWeights", "FoldedModel", "InsertionPlan", "Placement", "WeightsReport")
