"""Every error message of agdt_layers/checks.py, raised through a public name and compared word for word."""

import inspect
import pickle
import re
import traceback
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agdt_layers import (
    AdaptiveGlobalAttention,
    AGDTStream,
    DifferentialTemporalEnhancer,
    DTFormer,
    FrameWise,
    ResNet18,
    SqueezeExcitation,
    TemporalMean,
    build_agdtnet,
    checks,
    insert_attention,
)

FRAMES, CLIPS, VECTORS = torch.rand(6, 5, 7, 11), torch.rand(2, 3, 5, 7, 11), torch.rand(2, 3, 4)
FACES = torch.rand(2, 4, 3, 8, 12)
MASK = torch.tensor([[True, True, True], [True, False, False]])
with torch.inference_mode():
    INFERRED = CLIPS + 0
AGA, SE, MEAN = AdaptiveGlobalAttention(5), SqueezeExcitation(5), TemporalMean()
ENHANCER = DifferentialTemporalEnhancer(4)
NET = build_agdtnet(3, backbone=nn.Conv2d(3, 4, 3, 2), temporal="mean", num_frames=4).eval()


class Half(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[: len(x) // 2]


def loaded(**changes: object) -> None:
    """Load a stream's state with some entries changed, or left out if they are None."""
    stream = AGDTStream(NET, num_frames=2)
    stream.push(FACES[:, 0])
    state = {**stream.state_dict(), **changes}
    stream.load_state_dict({name: value for name, value in state.items() if value is not None})


# Each message with a call that raises it.
TYPE_ERRORS: dict[str, Callable[[], object]] = {
    "AdaptiveGlobalAttention expects channels to be an integer, got '64'.": lambda: AdaptiveGlobalAttention("64"),
    "DifferentialTemporalEnhancer expects boundary to be one of zero, wrap, roll; got 3.": lambda: (
        DifferentialTemporalEnhancer(5, boundary=3)
    ),
    "AdaptiveGlobalAttention expects residual_scale to be True or False, got 1.": lambda: AdaptiveGlobalAttention(
        5, residual_scale=1
    ),
    "DTFormer expects dropout to be a number in [0, 1), got '0.1'.": lambda: DTFormer(6, heads=3, dropout="0.1"),
    "FrameWise expects model to be a torch.nn.Module, got 3.": lambda: FrameWise(3),
    "FrameWise expects model to be a torch.nn.Module, got <class 'agdt_layers.resnet.ResNet18'>. Create one: "
    "ResNet18(...).": lambda: FrameWise(ResNet18),
    "insert_attention expects attention['0'] to be a layer class or a function of the number of channels, got "
    "AdaptiveGlobalAttention. Pass the class, or a functools.partial of it.": lambda: insert_attention(
        nn.Conv2d(3, 5, 3), {"0": AGA}, example_input=FACES
    ),
    "AGDTStream expects state to be a dict with names as keys, got None.": lambda: AGDTStream(
        NET, num_frames=2
    ).load_state_dict(None),
    "AdaptiveGlobalAttention expects dtype to be one of torch.float32, torch.float64, torch.float16, "
    "torch.bfloat16; got 'float32'.": lambda: AdaptiveGlobalAttention(5, dtype="float32"),
    'AdaptiveGlobalAttention expects device to be a torch.device or a string such as "cpu"; got 1.5.': lambda: (
        AdaptiveGlobalAttention(5, device=1.5)
    ),
    "AdaptiveGlobalAttention expects channels to be an integer, got list.": lambda: AdaptiveGlobalAttention(
        list(range(100))
    ),
    "AdaptiveGlobalAttention expects a torch.Tensor, got list.": lambda: AGA([[1.0]]),
    "AdaptiveGlobalAttention expects a real floating-point tensor, got torch.int64. Convert it with "
    "x.float().": lambda: AGA(CLIPS.long()),
    "AdaptiveGlobalAttention expects a real floating-point tensor, got torch.uint8. Convert it with x.float() / "
    "255.": lambda: AGA(CLIPS.byte()),
    "AdaptiveGlobalAttention expects a real floating-point tensor, got torch.complex64. Use x.abs() or "
    "x.real.": lambda: AGA(CLIPS.to(torch.complex64)),
    "AdaptiveGlobalAttention expects x to be a dense tensor, got a quantised one. Use x.dequantize().": lambda: AGA(
        torch.quantize_per_tensor(CLIPS, 0.1, 0, torch.qint8)
    ),
    "TemporalMean expects x to be a dense tensor, got a nested one. Use torch.nested.to_padded_tensor(x, 0) and "
    "a mask.": lambda: MEAN(torch.nested.nested_tensor(list(VECTORS))),
    "TemporalMean expects mask to be a dense tensor, got a nested one. Use torch.nested.to_padded_tensor(mask, "
    "0).": lambda: MEAN(VECTORS, mask=torch.nested.nested_tensor(list(MASK))),
    "AdaptiveGlobalAttention expects x to be a dense tensor, got torch.sparse_coo. Use x.to_dense().": lambda: AGA(
        CLIPS.to_sparse()
    ),
    "insert_attention expects example_input to be a tensor or a tuple of the model's inputs, got None.": lambda: (
        insert_attention(nn.Conv2d(3, 4, 3), [""], example_input=None)
    ),
    "SqueezeExcitation expects its parameters' dtype, torch.float32; got torch.float64. Convert the input with "
    "x.to(torch.float32) or the layer with .to(torch.float64).": lambda: SE(FRAMES.double()),
    "AGDTStream expects 'vectors' to be a floating-point tensor with values, got [1.0].": lambda: loaded(vectors=[1.0]),
    "TemporalMean expects mask to be a bool tensor (B, T), True where a frame is real; got torch.float32. "
    "Convert it with mask.bool().": lambda: MEAN(VECTORS, mask=MASK.float()),
    "TemporalMean expects mask to be a bool tensor (B, T), True where a frame is real; got list. Convert it with "
    "mask.bool().": lambda: MEAN(VECTORS, mask=MASK.tolist()),
}
VALUE_ERRORS: dict[str, Callable[[], object]] = {
    "AdaptiveGlobalAttention expects channels to be at least 1, got 0.": lambda: AdaptiveGlobalAttention(0),
    "AdaptiveGlobalAttention expects channels to be at most 65,536, got 1000000000.": lambda: AdaptiveGlobalAttention(
        10**9
    ),
    "AdaptiveGlobalAttention expects an odd spatial_kernel_size, so that the output is as long as the input; got "
    "6. Use 5 or 7.": lambda: AdaptiveGlobalAttention(5, spatial_kernel_size=6),
    "DTFormer expects heads to divide channels=6, got 4. Possible: 1, 2, 3, 6.": lambda: DTFormer(6, heads=4),
    "DifferentialTemporalEnhancer expects boundary to be one of zero, wrap, roll; got 'reflect'.": lambda: (
        DifferentialTemporalEnhancer(5, boundary="reflect")
    ),
    "DTFormer expects dropout in [0, 1), got 1.5.": lambda: DTFormer(6, heads=3, dropout=1.5),
    "AdaptiveGlobalAttention expects device to be available here, such as \"cpu\"; got 'nowhere'.": lambda: (
        AdaptiveGlobalAttention(5, device="nowhere")
    ),
    "AdaptiveGlobalAttention got a tensor created in inference mode, but its parameters require gradients. Call it "
    "under torch.no_grad(), or pass x.clone().": lambda: AGA(INFERRED),
    "AdaptiveGlobalAttention expects its input on cpu, where its parameters are; got meta. Move "
    'it with x.to("cpu").': lambda: AGA(CLIPS.to("meta")),
    "AdaptiveGlobalAttention got (2, 0, 5, 7, 11): axis 1 (T) must not be empty.": lambda: AGA(CLIPS[:, :0]),
    "SqueezeExcitation expects (N, C, H, W) with C = 5; got 3 axes, (5, 7, 11).": lambda: SE(FRAMES[0]),
    "SqueezeExcitation expects (N, C, H, W) with C = 5; got 5 axes, (2, 3, 5, 7, 11). Fold a clip first: "
    "x.flatten(0, 1).": lambda: SE(CLIPS),
    "SqueezeExcitation expects (N, C, H, W); got (6, 7, 11, 5): axis 1 should be the 5 channels. Is it (N, H, W, "
    "C)? Then x.permute(0, 3, 1, 2).": lambda: SE(FRAMES.movedim(1, 3)),
    "SqueezeExcitation expects (N, C, H, W); got (6, 4, 7, 11): axis 1 should be the 5 channels. The layer was "
    "created for a different number of channels.": lambda: SE(FRAMES[:, :4]),
    "AGDTNet expects clips (B, T, C, H, W) with C = 3; got 3 axes, (3, 8, 12).": lambda: NET(FACES[0, 0]),
    "AGDTNet expects clips (B, T, C, H, W) with C = 3; got 4 axes, (4, 3, 8, 12). One clip is "
    "x.unsqueeze(0).": lambda: NET(FACES[0]),
    "AGDTNet expects (B, T, C, H, W); got (2, 3, 4, 8, 12): axis 2 should be the 3 channels. Is it (B, C, T, H, "
    "W)? Then x.transpose(1, 2).": lambda: NET(FACES.transpose(1, 2)),
    "AGDTNet expects (B, T, C, H, W); got (2, 4, 8, 12, 3): axis 2 should be the 3 channels. Is it (B, T, H, W, "
    "C)? Then x.permute(0, 1, 4, 2, 3).": lambda: NET(FACES.movedim(2, 4)),
    "AGDTNet expects (B, T, C, H, W); got (2, 4, 2, 8, 12): axis 2 should be the 3 channels. The layer was "
    "created for a different number of channels.": lambda: NET(FACES[:, :, :2]),
    "AdaptiveGlobalAttention got num_frames=2, but axis 1 of (2, 3, 5, 7, 11) means T = 3. Omit num_frames for "
    "(B, T, C, H, W).": lambda: AGA(CLIPS, num_frames=2),
    "AdaptiveGlobalAttention expects (B, T, C, H, W), (B, C, H, W) or folded (B*T, C, H, W) with C = 5; got 3 "
    "axes, (2, 3, 4).": lambda: AGA(VECTORS),
    "AdaptiveGlobalAttention expects folded frames (B*T, C, H, W) with T = num_frames = 4; got (6, 5, 7, 11): "
    "axis 0, 6, is not a multiple of 4. Pass num_frames=1 for single images.": lambda: AGA(FRAMES, num_frames=4),
    "AdaptiveGlobalAttention expects the 6 frames of the clips, 3 per clip, on axis 0; got (3, 5, 7, 11). "
    "The model changed the size of axis 0 before this layer: place the layer earlier.": lambda: FrameWise(
        nn.Sequential(Half(), AGA)
    )(CLIPS),
    "DifferentialTemporalEnhancer expects frame vectors (B, T, C) with C = 4; got 5 axes, (2, 3, 5, 7, 11).": lambda: (
        ENHANCER(CLIPS)
    ),
    "DifferentialTemporalEnhancer expects frame vectors (B, T, C) with C = 4; got 2 axes, (3, 4). One clip is "
    "x.unsqueeze(0).": lambda: ENHANCER(VECTORS[0]),
    "DifferentialTemporalEnhancer expects (B, T, C); got (2, 4, 3): axis 2 should be the 4 channels. Is it (B, "
    "C, T)? Then x.transpose(1, 2).": lambda: ENHANCER(VECTORS.transpose(1, 2)),
    "DifferentialTemporalEnhancer expects (B, T, C); got (2, 3, 3): axis 2 should be the 4 channels. The layer "
    "was created for a different number of channels.": lambda: ENHANCER(VECTORS[..., :3]),
    "AGDTStream expects the state of a stream of the same net with the keys seen, vectors; got seen.": lambda: loaded(
        vectors=None
    ),
    "AGDTStream expects the state of a stream of the same net and num_frames, with 'vectors' (B, 1, 4); got (2, "
    "1, 3).": lambda: loaded(vectors=torch.zeros(2, 1, 3)),
    "AGDTStream expects the same number of streams, B, in every tensor; got [1, 2].": lambda: loaded(
        seen=torch.zeros(1, dtype=torch.int64)
    ),
    "TemporalMean expects mask (B, T) = (2, 3), True where a frame is real; got (1, 3).": lambda: MEAN(
        VECTORS, mask=MASK[:1]
    ),
    'TemporalMean expects mask on cpu, where its input is; got meta. Move it with mask.to("cpu").': lambda: MEAN(
        VECTORS, mask=MASK.to("meta")
    ),
    "ResNet18 got a mask but not num_frames, the frames per clip. Pass num_frames=mask.shape[1].": lambda: ResNet18()(
        FACES.flatten(0, 1), mask=MASK
    ),
    "TemporalMean got a mask whose row 1 is all False: clip 1 has no real frame. Drop the clip, or invert the "
    "mask if True marks padding.": lambda: MEAN(VECTORS, mask=MASK & torch.tensor([[True], [False]])),
}


def raised(call: Callable[[], object]) -> Exception:
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("message", [*TYPE_ERRORS, *VALUE_ERRORS])
def test_invalid_call_raises_the_exact_message(message: str) -> None:
    error = raised((TYPE_ERRORS | VALUE_ERRORS)[message])
    assert type(error) is (TypeError if message in TYPE_ERRORS else ValueError)
    assert str(error) == message


def test_every_raise_statement_in_checks_is_reached() -> None:
    source = inspect.getsource(checks).splitlines()
    expected = {number for number, line in enumerate(source, 1) if re.match(r" +raise \w", line)}
    reached = set()
    for call in (TYPE_ERRORS | VALUE_ERRORS).values():
        frames = traceback.extract_tb(raised(call).__traceback__)
        reached.add([frame.lineno for frame in frames if frame.filename == checks.__file__][-1])
    assert reached == expected


def test_numpy_integers_become_python_integers() -> None:
    net = build_agdtnet(np.int64(7), num_frames=np.int32(2), attention="none", temporal="mean")
    assert type(net.num_classes) is int
    former = DTFormer(np.int64(6), depth=np.int64(1), heads=np.uint8(3), max_frames=np.int16(4))
    assert (type(former.channels), type(former.max_frames)) == (int, int)
    made = AdaptiveGlobalAttention(
        np.int64(5), num_frames=np.int64(3), context_window=np.int64(2), context_groups=np.int64(1)
    )
    assert (type(made.num_frames), type(made.context_window), type(made.channels)) == (int, int, int)
    assert pickle.loads(pickle.dumps(made.state_dict())).keys() == made.state_dict().keys()


@pytest.mark.parametrize("value", [True, False])
def test_numpy_booleans_are_accepted_as_flags(value: bool) -> None:
    assert (AdaptiveGlobalAttention(5, residual_scale=np.bool_(value)).residual_scale is not None) is value
