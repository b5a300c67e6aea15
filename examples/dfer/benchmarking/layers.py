"""Single layers: attention against its peers, the temporal encoder against torch's."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from agdt_layers import AdaptiveGlobalAttention, DTFormer
from dfer.benchmarking.literal_attention import LiteralAttention
from dfer.benchmarking.peers import OWN_CBAM, TIMM_CBAM, Scale, peers
from dfer.benchmarking.rows import LAYOUTS, Row, Settings, forward, forward_backward, maps, named
from dfer.benchmarking.timing import peak_bytes

SHAPES = ((16, 64, 28, 28), (16, 128, 14, 14), (16, 256, 7, 7), (16, 512, 7, 7), (16, 256, 56, 56))
WAYS = {"forward": forward, "forward + backward": forward_backward}
BOUNDS = {(TIMM_CBAM, "forward"): 0.9, (OWN_CBAM, "forward"): 1.2, (TIMM_CBAM, "forward + backward"): 1.0}


def attention(settings: Settings) -> Iterator[Row]:
    """AGA against its peers, and against one plain pass over the map."""
    for shape in SHAPES:
        for layout in LAYOUTS:
            x = maps(shape, layout, settings.device)
            aga = AdaptiveGlobalAttention(shape[1], num_frames=shape[0])
            layers: dict[str, nn.Module] = {"AGA": aga, **peers(shape[1]), "x * s": Scale()}
            layers = {name: layer.to(settings.device) for name, layer in layers.items()}
            for way, prepare in WAYS.items():
                medians = settings.medians({name: prepare(layer, x) for name, layer in layers.items()})
                for name in layers:
                    if name != "AGA":
                        yield Row(
                            f"AGA, {way}, against {name}",
                            f"AGA {named(shape)} {layout} {way}",
                            name,
                            "ms",
                            medians["AGA"],
                            medians[name],
                            BOUNDS.get((name, way)),
                        )


def against_the_literal_form(settings: Settings) -> Iterator[Row]:
    """AGA with dense context against its equations as printed."""
    group = "AGA with dense context, forward, against the equations as printed"
    for shape in SHAPES:
        x = maps(shape, "NCHW", settings.device)
        layer = AdaptiveGlobalAttention(shape[1], num_frames=shape[0], context_groups=1).to(settings.device)
        medians = settings.medians({"AGA": forward(layer, x), "literal": forward(LiteralAttention(layer), x)})
        case = f"AGA, dense context, {named(shape)} forward"
        yield Row(group, case, "literal equations", "ms", medians["AGA"], medians["literal"], 0.25)


def memory(settings: Settings) -> Iterator[Row]:
    """What forward + backward occupies beyond the input, the output and the input's gradient."""
    shape = SHAPES[-1]
    for layout in LAYOUTS:
        x = maps(shape, layout, settings.device)
        layers: dict[str, nn.Module] = {"AGA": AdaptiveGlobalAttention(shape[1], num_frames=shape[0])}
        layers |= peers(shape[1])
        for name, layer in layers.items():
            if name in ("AGA", OWN_CBAM, TIMM_CBAM):
                peak = peak_bytes(forward_backward(layer.to(settings.device), x), settings.device)
                yield Row(
                    f"Extra memory of {name}, forward + backward, against its input",
                    f"extra memory of {name} {named(shape)} {layout}",
                    "input",
                    "MiB",
                    (peak - 2 * x.nbytes) / 2**20,
                    x.nbytes / 2**20,
                    2.0 if name == "AGA" else None,
                )


def compiled(settings: Settings) -> Iterator[Row]:
    """AGA compiled against eager."""
    for shape in (SHAPES[1], SHAPES[4]):
        x = maps(shape, "NCHW", settings.device)
        layer = AdaptiveGlobalAttention(shape[1], num_frames=shape[0]).to(settings.device)
        fast: Any = torch.compile(layer, fullgraph=True, dynamic=True)
        medians = settings.medians({"compiled": forward(fast, x), "eager": forward(layer, x)})
        case = f"AGA {named(shape)} forward, compiled"
        yield Row("AGA, forward, compiled, against eager", case, "eager", "ms", medians["compiled"], medians["eager"],
                  0.6)  # fmt: skip


def temporal_encoder(settings: Settings) -> Iterator[Row]:
    """DTFormer against torch's encoder of the same sizes."""
    ours = DTFormer().to(settings.device)
    layer = nn.TransformerEncoderLayer(512, 8, 1024, 0.0, "gelu", batch_first=True, norm_first=True)
    theirs = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).to(settings.device)
    x = torch.randn(8, 16, 512, device=settings.device)
    medians = settings.medians({"ours": forward_backward(ours, x), "theirs": forward_backward(theirs, x)})
    yield Row(
        "DTFormer, forward + backward, against nn.TransformerEncoder",
        "DTFormer (8, 16, 512) forward + backward",
        "nn.TransformerEncoder",
        "ms",
        medians["ours"],
        medians["theirs"],
        1.15,
    )
