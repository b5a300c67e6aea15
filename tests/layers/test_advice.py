"""What a message advises is right: each is raised, followed to the letter, and gives what was meant."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from agdt_layers import (
    CBAM,
    AdaptiveGlobalAttention,
    AGDTNet,
    AGDTStream,
    DifferentialTemporalEnhancer,
    DTFormer,
    FrameWise,
    ResNet18,
    SqueezeExcitation,
    TemporalMean,
    build_agdtnet,
    insert_attention,
)

torch.manual_seed(0)
FRAMES, CLIPS, VECTORS = torch.rand(6, 5, 7, 11), torch.rand(2, 3, 5, 7, 11), torch.rand(2, 3, 4)
MASK = torch.tensor([[True, True, True], [True, False, False]])
AGA = AdaptiveGlobalAttention(5).eval()
SE = SqueezeExcitation(5).eval()
DTF = DTFormer(4, depth=1, heads=2, mlp_channels=3, max_frames=3).eval()
MEAN = TemporalMean()
HOST = nn.Conv2d(3, 4, 3).eval()
WISE = FrameWise(HOST)
FACES = torch.rand(2, 5, 3, 8, 12)


class Advice(NamedTuple):
    """A wrong call, the words of its message, and what following them gives beside what was meant."""

    wrong: Callable[[], object]
    words: str
    followed: Callable[[], Tensor]
    meant: Callable[[], Tensor]


def small_net(**settings: object) -> AGDTNet:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU())
    return build_agdtnet(3, backbone=backbone, temporal="mean", num_frames=4, **settings).eval()


NET = small_net()


def stream(*pushes: Tensor, num_frames: int = 2, net: AGDTNet = NET, reset: bool = False) -> Tensor:
    made = AGDTStream(net, num_frames=num_frames)
    for push in pushes[:-1]:
        made.push(push)
    if reset:
        made.reset()
    return made.push(pushes[-1])


def resumed(kept: int, num_frames: int) -> Tensor:
    before, after = AGDTStream(NET, num_frames=kept), AGDTStream(NET, num_frames=num_frames)
    before.push(FACES)
    after.load_state_dict(before.state_dict())
    return after.push(FACES[:, 0])


def seeded(make: Callable[[], nn.Module], x: Tensor) -> Tensor:
    torch.manual_seed(0)
    return make().eval()(x)


def cut_in_halves(x: Tensor) -> Tensor:
    return x[: len(x) // 2]


class Cut(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return cut_in_halves(x)


class Twice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, x])


UINT8 = (CLIPS * 255).byte()
QUANTISED = torch.quantize_per_tensor(CLIPS, 0.1, 0, torch.qint8)
RAGGED = torch.nested.nested_tensor([VECTORS[0], VECTORS[1, :1]])
with torch.inference_mode():
    INFERRED = CLIPS + 0

ADVICE = {
    "a smaller odd kernel": Advice(
        lambda: DifferentialTemporalEnhancer(4, kernel_size=4),
        "Take 3 or 5.",
        lambda: seeded(lambda: DifferentialTemporalEnhancer(4, kernel_size=3), VECTORS),
        lambda: seeded(lambda: DifferentialTemporalEnhancer(4), VECTORS),
    ),
    "a larger odd kernel": Advice(
        lambda: CBAM(5, kernel_size=6),
        "Take 5 or 7.",
        lambda: seeded(lambda: CBAM(5, kernel_size=7), FRAMES),
        lambda: seeded(lambda: CBAM(5), FRAMES),
    ),
    "a divisor": Advice(
        lambda: DTFormer(4, heads=3),
        "Possible: 1, 2, 4.",
        lambda: torch.stack([seeded(lambda h=h: DTFormer(4, heads=h, depth=1), VECTORS) for h in (1, 2, 4)]) * 0,
        lambda: torch.zeros(3, 2, 4),
    ),
    "an instance": Advice(
        lambda: FrameWise(ResNet18),
        "Make one: ResNet18(...).",
        lambda: seeded(lambda: FrameWise(ResNet18()), FACES[:1, :1]).flatten(0, 1),
        lambda: seeded(ResNet18, FACES[0, :1]),
    ),
    "bytes": Advice(
        lambda: AGA(UINT8),
        "Convert it with x.float() / 255.",
        lambda: AGA(UINT8.float() / 255),
        lambda: AGA(UINT8 / 255),
    ),
    "integers": Advice(
        lambda: MEAN(VECTORS.long()),
        "Convert it with x.float().",
        lambda: MEAN(VECTORS.long().float()),
        lambda: torch.zeros(2, 4),
    ),
    "complex: absolute value": Advice(
        lambda: AGA(torch.complex(CLIPS, CLIPS * 0)),
        "Take its .abs() or .real.",
        lambda: AGA(torch.complex(CLIPS, CLIPS * 0).abs()),
        lambda: AGA(CLIPS),
    ),
    "complex: real part": Advice(
        lambda: AGA(torch.complex(CLIPS, CLIPS)),
        "Take its .abs() or .real.",
        lambda: AGA(torch.complex(CLIPS, CLIPS).real),
        lambda: AGA(CLIPS),
    ),
    "quantised": Advice(
        lambda: AGA(QUANTISED),
        "Take x.dequantize().",
        lambda: AGA(QUANTISED.dequantize()),
        lambda: AGA((CLIPS * 10).round() / 10),
    ),
    "sparse": Advice(
        lambda: AGA(CLIPS.to_sparse()),
        "Take x.to_dense().",
        lambda: AGA(CLIPS.to_sparse().to_dense()),
        lambda: AGA(CLIPS),
    ),
    "nested": Advice(
        lambda: MEAN(RAGGED),
        "Take torch.nested.to_padded_tensor(x, 0) and a mask.",
        lambda: MEAN(torch.nested.to_padded_tensor(RAGGED, 0), mask=MASK),
        lambda: MEAN(VECTORS, mask=MASK),
    ),
    "inference mode: without gradients": Advice(
        lambda: AGA(INFERRED),
        "Call it with torch.no_grad(), or on x.clone().",
        lambda: torch.no_grad()(AGA)(INFERRED),
        lambda: AGA(CLIPS),
    ),
    "inference mode: a clone": Advice(
        lambda: AGA(INFERRED),
        "Call it with torch.no_grad(), or on x.clone().",
        lambda: AGA(INFERRED.clone()),
        lambda: AGA(CLIPS),
    ),
    "device": Advice(
        lambda: AGA(CLIPS.to("meta")),
        'expects its input on cpu, where its parameters are; got meta. Make it there, or move it with x.to("cpu").',
        lambda: AGA(torch.ones(2, 3, 5, 7, 11, device="cpu")),
        lambda: AGA(CLIPS * 0 + 1),
    ),
    "device of a mask": Advice(
        lambda: MEAN(VECTORS, mask=MASK.to("meta")),
        'expects mask on cpu, where its input is; got meta. Make it there, or move it with mask.to("cpu").',
        lambda: MEAN(VECTORS, mask=torch.ones(2, 3, dtype=torch.bool, device="cpu")),
        lambda: MEAN(VECTORS),
    ),
    "dtype: of the input": Advice(
        lambda: SE(FRAMES.double()),
        "Convert the input with x.to(torch.float32) or the layer with .to(torch.float64).",
        lambda: SE(FRAMES.double().to(torch.float32)),
        lambda: SE(FRAMES),
    ),
    "dtype: of the layer": Advice(
        lambda: seeded(lambda: SqueezeExcitation(5), FRAMES.double()),
        "Convert the input with x.to(torch.float32) or the layer with .to(torch.float64).",
        lambda: seeded(lambda: SqueezeExcitation(5).to(torch.float64), FRAMES.double()).float(),
        lambda: seeded(lambda: SqueezeExcitation(5), FRAMES),
    ),
    "images: fold": Advice(
        lambda: SE(CLIPS),
        "Fold a clip first: x.flatten(0, 1).",
        lambda: SE(CLIPS.flatten(0, 1)),
        lambda: torch.cat([SE(clip) for clip in CLIPS]),
    ),
    "images: channels last": Advice(
        lambda: SE(FRAMES.movedim(1, 3)),
        "Then x.permute(0, 3, 1, 2).",
        lambda: SE(FRAMES.movedim(1, 3).permute(0, 3, 1, 2)),
        lambda: SE(FRAMES),
    ),
    "clips: one": Advice(
        lambda: NET(FACES[0]),
        "One clip is x.unsqueeze(0).",
        lambda: NET(FACES[0, :4].unsqueeze(0)),
        lambda: NET(FACES[:1, :4]),
    ),
    "clips: frames after channels": Advice(
        lambda: NET(FACES.transpose(1, 2)),
        "Then x.transpose(1, 2).",
        lambda: NET(FACES.transpose(1, 2).transpose(1, 2)),
        lambda: NET(FACES),
    ),
    "clips: channels last": Advice(
        lambda: NET(FACES.movedim(2, 4)),
        "Then x.permute(0, 1, 4, 2, 3).",
        lambda: NET(FACES.movedim(2, 4).permute(0, 1, 4, 2, 3)),
        lambda: NET(FACES),
    ),
    "FrameWise: frames after channels": Advice(
        lambda: WISE(FACES.transpose(1, 2)),
        "axis 2 should be the 3 channels. Is it (B, C, T, H, W)? Then x.transpose(1, 2).",
        lambda: WISE(FACES.transpose(1, 2).transpose(1, 2)),
        lambda: WISE(FACES),
    ),
    "FrameWise: channels last": Advice(
        lambda: WISE(FACES.movedim(2, 4)),
        "axis 2 should be the 3 channels. Is it (B, T, H, W, C)? Then x.permute(0, 1, 4, 2, 3).",
        lambda: WISE(FACES.movedim(2, 4).permute(0, 1, 4, 2, 3)),
        lambda: WISE(FACES),
    ),
    "num_frames beside clips": Advice(
        lambda: AGA(CLIPS, num_frames=2),
        "Leave num_frames out for (B, T, C, H, W).",
        lambda: AGA(CLIPS),
        lambda: AGA(CLIPS, num_frames=3),
    ),
    "single images": Advice(
        lambda: AdaptiveGlobalAttention(5, num_frames=4)(FRAMES),
        "Pass num_frames=1 for single images.",
        lambda: AGA(FRAMES, num_frames=1),
        lambda: torch.cat([AGA(frame[None]) for frame in FRAMES]),
    ),
    "frames that were cut": Advice(
        lambda: FrameWise(nn.Sequential(Cut(), AGA, Twice()))(CLIPS),
        "Something between the clips and this layer cut or joined axis 0: place the layer before it.",
        lambda: FrameWise(nn.Sequential(AGA, Cut(), Twice()))(CLIPS),
        lambda: Twice()(cut_in_halves(AGA(CLIPS).flatten(0, 1))).unflatten(0, (2, 3)),
    ),
    "vectors: one clip": Advice(
        lambda: DTF(VECTORS[0]),
        "One clip is x.unsqueeze(0).",
        lambda: DTF(VECTORS[0].unsqueeze(0)),
        lambda: DTF(VECTORS)[:1],
    ),
    "vectors: channels before frames": Advice(
        lambda: DTF(VECTORS.transpose(1, 2)),
        "Then x.transpose(1, 2).",
        lambda: DTF(VECTORS.transpose(1, 2).transpose(1, 2)),
        lambda: DTF(VECTORS),
    ),
    "too many frames: fewer": Advice(
        lambda: DTF(VECTORS.repeat(1, 2, 1)),
        "Sample fewer frames or make it with max_frames=6.",
        lambda: DTF(VECTORS.repeat(1, 2, 1)[:, ::2]),
        lambda: DTF(VECTORS[:, [0, 2, 1]]),
    ),
    "too many frames: a longer encoder": Advice(
        lambda: DTF(VECTORS.repeat(1, 2, 1)),
        "Sample fewer frames or make it with max_frames=6.",
        lambda: DTFormer(4, heads=2, max_frames=6)(VECTORS.repeat(1, 2, 1)) * 0,
        lambda: torch.zeros(2, 4),
    ),
    "mask of numbers": Advice(
        lambda: MEAN(VECTORS, mask=MASK.float()),
        "Convert it with mask.bool().",
        lambda: MEAN(VECTORS, mask=MASK.float().bool()),
        lambda: MEAN(VECTORS, mask=MASK),
    ),
    "sparse mask": Advice(
        lambda: MEAN(VECTORS, mask=MASK.to_sparse()),
        "Take mask.to_dense().",
        lambda: MEAN(VECTORS, mask=MASK.to_sparse().to_dense()),
        lambda: MEAN(VECTORS, mask=MASK),
    ),
    "a clip without frames: drop it": Advice(
        lambda: MEAN(VECTORS, mask=MASK & torch.tensor([[True], [False]])),
        "Drop that clip, or is the mask inverted? True means real.",
        lambda: MEAN(VECTORS[:1], mask=MASK[:1]),
        lambda: MEAN(VECTORS[:1]),
    ),
    "a clip without frames: an inverted mask": Advice(
        lambda: MEAN(VECTORS, mask=~MASK),
        "Drop that clip, or is the mask inverted? True means real.",
        lambda: MEAN(VECTORS, mask=~(~MASK)),
        lambda: torch.stack([VECTORS[0].mean(0), VECTORS[1, 0]]),
    ),
    "DataParallel inside FrameWise": Advice(
        lambda: FrameWise(nn.DataParallel(HOST)),
        "Wrap the other way round: nn.DataParallel(FrameWise(model)).",
        lambda: nn.DataParallel(FrameWise(HOST))(FACES),
        lambda: WISE(FACES),
    ),
    "an encoder of other channels": Advice(
        lambda: AGDTNet(nn.Conv2d(3, 4, 3), DTFormer(6, heads=2), num_classes=3),
        "Make the encoder with channels=4.",
        lambda: AGDTNet(nn.Conv2d(3, 4, 3), DTFormer(heads=2, channels=4), num_classes=3)(FACES) * 0,
        lambda: torch.zeros(2, 3),
    ),
    "attention beside a backbone": Advice(
        lambda: build_agdtnet(3, backbone=HOST, attention="aga"),
        "Place it in the backbone before, insert_attention(backbone, ...), and leave attention out.",
        lambda: build_agdtnet(3, backbone=_with_attention(), temporal="mean")(FACES) * 0,
        lambda: torch.zeros(2, 3),
    ),
    "a stream of a net in train mode": Advice(
        lambda: stream(FACES[:, 0], net=small_net().train()),
        "Call net.eval().",
        lambda: stream(FACES[:, 0], net=small_net().train().eval()),
        lambda: NET(FACES[:, :1]),
    ),
    "other streams": Advice(
        lambda: stream(FACES[:, 0], FACES[:1, 1]),
        "Call reset() to start new streams.",
        lambda: stream(FACES[:, 0], FACES[:1, 1], reset=True),
        lambda: NET(FACES[:1, 1:2]),
    ),
    "a causal net's window": Advice(
        lambda: stream(FACES, num_frames=3, net=_causal()),
        "Take num_frames=2.",
        lambda: stream(FACES, num_frames=2, net=_causal())[:, :2],
        lambda: torch.stack([_causal()(FACES[:, :n]) for n in (1, 2)], 1),
    ),
    "the state of a longer window": Advice(
        lambda: resumed(3, 2),
        "Make the stream with the num_frames of the stream that was saved.",
        lambda: resumed(3, 3),
        lambda: stream(FACES, FACES[:, 0], num_frames=3),
    ),
}


def _with_attention() -> nn.Module:
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3))
    insert_attention(backbone, ["0"], example_input=torch.rand(1, 3, 8, 12))
    return backbone


def _causal() -> AGDTNet:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), AdaptiveGlobalAttention(4, context_window=2))
    return build_agdtnet(3, backbone=backbone, temporal="mean", num_frames=4).eval()


@pytest.mark.parametrize("advice", ADVICE.values(), ids=ADVICE)
def test_the_advice_is_right(advice: Advice) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        advice.wrong()
    assert advice.words in str(caught.value)
    torch.testing.assert_close(advice.followed(), advice.meant())
