"""What the benchmark compares: each case gives rows of ratios, ours against a named peer."""

import importlib
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from agdt_layers import AdaptiveGlobalAttention, AGDTNet, AGDTStream, DTFormer, build_agdtnet
from dfer.benchmarking.timing import interleaved_medians, peak_bytes

SHAPES = ((16, 64, 28, 28), (16, 128, 14, 14), (16, 256, 7, 7), (16, 512, 7, 7), (16, 256, 56, 56))
LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


@dataclass(frozen=True)
class Row:
    """One ratio: ours / peer, in the unit of both; ``bound`` is the target, if there is one."""

    target: int
    case: str
    peer: str
    unit: str
    ours: float
    theirs: float
    bound: float | None = None

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs


@dataclass(frozen=True)
class Settings:
    device: str
    seconds: float

    def medians(self, runs: dict[str, Callable[[], object]]) -> dict[str, float]:
        return interleaved_medians(runs, seconds=self.seconds, device=self.device)


def rivals(channels: int) -> dict[str, nn.Module]:
    """timm's attention layers, if timm is installed."""
    try:
        layers = {name: importlib.import_module(f"timm.layers.{file}") for name, file in _TIMM.items()}
    except ImportError:
        return {}
    return {name: getattr(module, name)(channels) for name, module in layers.items()}


_TIMM = {"CbamModule": "cbam", "SEModule": "squeeze_excite", "EcaModule": "eca"}


class LiteralAttention(nn.Module):
    """AGA as the equations are printed: the C x C matrices formed, the global convolution run over the map."""

    def __init__(self, layer: AdaptiveGlobalAttention) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        channel, spatial, context = self.layer.channel, self.layer.spatial, self.layer.context
        assert channel is not None
        assert channel.gate is not None
        local = channel.local(x.mean(dim=(2, 3))[:, None])[:, 0]
        spread = channel.fc(x.amax(dim=(2, 3)))
        a = (local[:, :, None] * spread[:, None, :]).mean(dim=2)
        b = (spread[:, :, None] * local[:, None, :]).mean(dim=2)
        w = torch.sigmoid(channel.gate(torch.stack([a, b], dim=1)))[:, 0]
        x_c = x * torch.sigmoid(w * a + (1 - w) * b)[:, :, None, None]
        z_att = spatial.conv(torch.stack([x_c.mean(dim=1), x_c.amax(dim=1)], dim=1))
        x_s = x_c * torch.sigmoid(z_att)
        strips = context.horizontal(x) + context.vertical(x) + context.bias[:, None, None]
        z_gc = torch.sigmoid(strips.mean(dim=(2, 3)))
        return x + x_s * (z_gc * z_gc.mean(dim=0))[:, :, None, None]


def forward(layer: nn.Module, x: Tensor) -> Callable[[], object]:
    def run() -> object:
        with torch.no_grad():
            return layer(x)

    return run


def forward_backward(layer: nn.Module, x: Tensor) -> Callable[[], object]:
    leaf = x.clone().requires_grad_()
    parameters = list(layer.parameters())
    gradient = torch.randn_like(layer(x))

    def run() -> object:
        out = layer(leaf)
        return out, torch.autograd.grad(out, [leaf, *parameters], gradient)

    return run


def maps(shape: tuple[int, ...], layout: str, device: str) -> Tensor:
    return torch.randn(shape, device=device).to(memory_format=LAYOUTS[layout])


def against_rivals(settings: Settings) -> Iterator[Row]:
    """Target 1: AGA against timm's layers, and against one plain pass over the map."""
    for shape in SHAPES:
        for layout in LAYOUTS:
            x = maps(shape, layout, settings.device)
            layers: dict[str, nn.Module] = {
                "AGA": AdaptiveGlobalAttention(shape[1], num_frames=shape[0]),
                **rivals(shape[1]),
                "x * s": Scale(),
            }
            layers = {name: layer.to(settings.device) for name, layer in layers.items()}
            for way, prepare, bound in (("forward", forward, 0.9), ("forward + backward", forward_backward, 1.0)):
                medians = settings.medians({name: prepare(layer, x) for name, layer in layers.items()})
                for name in layers:
                    if name != "AGA":
                        yield Row(
                            1,
                            f"AGA {_named(shape)} {layout} {way}",
                            name,
                            "ms",
                            medians["AGA"],
                            medians[name],
                            bound if name == "CbamModule" else None,
                        )


def operator_calls(settings: Settings) -> Iterator[Row]:
    """What bounds target 1 on small maps: how many operators are called, views included."""
    shape = SHAPES[2]
    layers = {"AGA": AdaptiveGlobalAttention(shape[1], num_frames=shape[0]), **rivals(shape[1])}
    x = maps(shape, "NCHW", settings.device)
    for way, prepare in (("forward", forward), ("forward + backward", forward_backward)):
        calls = {}
        for name, layer in layers.items():
            run = prepare(layer.to(settings.device), x)
            with _Calls() as counter:
                run()
            calls[name] = counter.number
        if "CbamModule" in calls:
            case = f"operator calls of AGA {_named(shape)} {way}"
            yield Row(1, case, "CbamModule", "calls", calls["AGA"], calls["CbamModule"])


class _Calls(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.number = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.number += 1
        return func(*args, **(kwargs or {}))


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


def against_the_literal_form(settings: Settings) -> Iterator[Row]:
    """Target 2: dense AGA against its equations as printed."""
    for shape in SHAPES:
        x = maps(shape, "NCHW", settings.device)
        layer = AdaptiveGlobalAttention(shape[1], num_frames=shape[0], context_groups=1).to(settings.device)
        medians = settings.medians({"AGA": forward(layer, x), "literal": forward(LiteralAttention(layer), x)})
        case = f"AGA, dense context, {_named(shape)} forward"
        yield Row(2, case, "literal equations", "ms", medians["AGA"], medians["literal"], 0.25)


def memory(settings: Settings) -> Iterator[Row]:
    """Target 3: what forward + backward occupies beyond the input, the output and the input's gradient."""
    shape = SHAPES[-1]
    for layout in LAYOUTS:
        x = maps(shape, layout, settings.device)
        layers = {"AGA": AdaptiveGlobalAttention(shape[1], num_frames=shape[0]), **rivals(shape[1])}
        for name, layer in layers.items():
            if name in ("AGA", "CbamModule"):
                peak = peak_bytes(forward_backward(layer.to(settings.device), x), settings.device)
                extra = (peak - 2 * x.nbytes) / 2**20
                bound = 2.0 if name == "AGA" else None
                yield Row(3, f"extra memory of {name} {_named(shape)} {layout}", "input", "MiB", extra,
                          x.nbytes / 2**20, bound)  # fmt: skip


class TrainingStep(nn.Module):
    """A net with its loss, so that one call and its backward pass are a training step."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, clips: Tensor) -> Tensor:
        return F.cross_entropy(self.net(clips), torch.zeros(len(clips), dtype=torch.long, device=clips.device))


def whole_nets(settings: Settings) -> Iterator[Row]:
    """Target 4: AGDTNet against the same ResNet18 with averaging in time."""
    nets: dict[str, AGDTNet] = {
        "AGDTNet": build_agdtnet().to(settings.device),
        "ResNet18 + mean": build_agdtnet(attention="none", temporal="mean").to(settings.device),
    }
    for batch, bound in ((1, 1.08), (4, 1.05)):
        clips = torch.randn(batch, 16, 3, 112, 112, device=settings.device)
        medians = settings.medians({name: forward(net.eval(), clips) for name, net in nets.items()})
        yield _of_nets(4, f"AGDTNet forward, batch {batch}", "ms", medians, bound)
    clips = torch.randn(1, 16, 3, 112, 112, device=settings.device)
    steps = {name: _training_step(net.train(), clips) for name, net in nets.items()}
    yield _of_nets(4, "AGDTNet training step, batch 1", "ms", settings.medians(steps), 1.12)
    peaks = {name: peak_bytes(step, settings.device) / 2**20 for name, step in steps.items()}
    yield _of_nets(4, "AGDTNet training step, batch 1, peak memory", "MiB", peaks, 1.10)


def _training_step(net: nn.Module, clips: Tensor) -> Callable[[], object]:
    step = TrainingStep(net)

    def run() -> object:
        loss = step(clips)
        return torch.autograd.grad(loss, list(net.parameters()))

    return run


def _of_nets(target: int, case: str, unit: str, figures: dict[str, float], bound: float) -> Row:
    return Row(target, case, "ResNet18 + mean", unit, figures["AGDTNet"], figures["ResNet18 + mean"], bound)


def temporal_encoder(settings: Settings) -> Iterator[Row]:
    """Target 5: DTFormer against torch's encoder of the same sizes."""
    ours = DTFormer().to(settings.device)
    layer = nn.TransformerEncoderLayer(512, 8, 1024, 0.0, "gelu", batch_first=True, norm_first=True)
    theirs = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).to(settings.device)
    x = torch.randn(8, 16, 512, device=settings.device)
    medians = settings.medians({"ours": forward_backward(ours, x), "theirs": forward_backward(theirs, x)})
    yield Row(5, "DTFormer (8, 16, 512) forward + backward", "nn.TransformerEncoder", "ms", medians["ours"],
              medians["theirs"], 1.15)  # fmt: skip


def compiled(settings: Settings) -> Iterator[Row]:
    """Target 7: AGA compiled against eager."""
    for shape in (SHAPES[1], SHAPES[4]):
        x = maps(shape, "NCHW", settings.device)
        layer = AdaptiveGlobalAttention(shape[1], num_frames=shape[0]).to(settings.device)
        fast: Any = torch.compile(layer, fullgraph=True, dynamic=True)
        medians = settings.medians({"compiled": forward(fast, x), "eager": forward(layer, x)})
        yield Row(
            7, f"AGA {_named(shape)} forward, compiled", "eager", "ms", medians["compiled"], medians["eager"], 0.6
        )


def half_precision(settings: Settings) -> Iterator[Row]:
    """Target 8: AGDTNet in bfloat16 with channels_last against float32."""
    clips = torch.randn(1, 16, 3, 112, 112, device=settings.device)
    full = build_agdtnet().to(settings.device).eval()
    half = build_agdtnet(dtype=torch.bfloat16).to(settings.device).eval()
    half.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    low = clips.bfloat16()
    medians = settings.medians({"half": forward(half, low), "full": forward(full, clips)})
    yield Row(
        8, "AGDTNet forward, bfloat16 + channels_last", "float32", "ms", medians["half"], medians["full"], 1 / 1.8
    )


def import_time(settings: Settings) -> Iterator[Row]:
    """Target 9: what `import agdt_layers` takes after `import torch`, in fresh processes."""
    del settings
    command = [sys.executable, "-X", "importtime", "-c", "import torch, agdt_layers"]
    milliseconds = []
    for _ in range(9):
        log = subprocess.run(command, check=True, capture_output=True, text=True).stderr
        # A line is "import time: self | cumulative | module", in microseconds; those of submodules are indented.
        total = next(line.split("|")[1] for line in log.splitlines() if line.endswith("| agdt_layers"))
        milliseconds.append(int(total) / 1e3)
    yield Row(9, "import agdt_layers, after torch", "0.1 s", "ms", statistics.median(milliseconds), 100, 1.0)


def stream(settings: Settings) -> Iterator[Row]:
    """Target 10: a camera's next answer against the whole clip again, and how much of it is the backbone's."""
    net = build_agdtnet(causal=True).to(settings.device).eval()
    camera = AGDTStream(net)
    frame = torch.randn(1, 3, 112, 112, device=settings.device)
    clip = torch.randn(1, camera.num_frames, 3, 112, 112, device=settings.device)
    for _ in range(camera.num_frames):
        camera.push(frame)
    medians = settings.medians(
        {"frame": lambda: camera.push(frame), "backbone": forward(net.backbone, frame), "clip": forward(net, clip)}
    )
    case = f"AGDTStream, a frame after {camera.num_frames}"
    yield Row(10, case, "the whole clip", "ms", medians["frame"], medians["clip"], 1 / 8)
    yield Row(10, "ResNet18 alone, a frame", "the whole clip", "ms", medians["backbone"], medians["clip"])


def _named(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


CASES = {
    "rivals": against_rivals,
    "calls": operator_calls,
    "literal": against_the_literal_form,
    "memory": memory,
    "nets": whole_nets,
    "temporal": temporal_encoder,
    "compiled": compiled,
    "bfloat16": half_precision,
    "import": import_time,
    "stream": stream,
}
