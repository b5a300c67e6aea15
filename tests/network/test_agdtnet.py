"""AGDTNet agrees with the literal equations, and every row of the ablation table can be built and trained."""

import copy
import itertools
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

import reference
from agdt_layers import CBAM, AdaptiveGlobalAttention, AGDTNet, DTFormer, build_agdtnet
from helpers.agreement import assert_agrees, assert_clips_are_independent, leaves_of, settled
from helpers.strategies import end_padding, random_tensor

ATTENTION = ("aga", "aga-without-gate", "cbam", "se", "none")
TEMPORAL = ("dtformer", "tformer", "mean")


def network(seed: int = 0, **options) -> AGDTNet:
    """Return a float64 network in eval mode with non-trivial running statistics."""
    torch.manual_seed(seed)
    net = build_agdtnet(3, **({"num_frames": 4} | options)).double().eval()
    net.backbone.load_state_dict(settled(seed).state_dict(), strict=False)
    return net


TABLE_2 = [
    ("none", "tformer"),
    ("none", "dtformer"),
    ("cbam", "dtformer"),
    ("se", "dtformer"),
    ("aga", "tformer"),
    ("aga-without-gate", "dtformer"),
    ("aga", "dtformer"),
]


class ChannelsLast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=4)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).permute(0, 2, 3, 1)


SHARED = CBAM(128)
NET = build_agdtnet(3, num_frames=4)


@pytest.mark.parametrize(("attention", "temporal"), [*TABLE_2, ("none", "mean")])
def test_logits_and_gradients_agree_with_the_equations(attention: str, temporal: str) -> None:
    net = network(attention=attention, temporal=temporal)
    clips = random_tensor((2, 2, 3, 32, 33), 0).requires_grad_()
    state = net.state_dict(keep_vars=True)
    literal = torch.stack([reference.agdtnet(clip, state, attention=attention, temporal=temporal) for clip in clips])
    assert_agrees(net(clips), literal, leaves_of(net, clips), tolerance=1e-8)


@pytest.mark.parametrize(("attention", "temporal"), list(itertools.product(ATTENTION, TEMPORAL)))
def test_every_row_of_the_ablation_table_trains(attention: str, temporal: str) -> None:
    net = build_agdtnet(3, num_frames=2, attention=attention, temporal=temporal)
    clips = random_tensor((2, 2, 3, 32, 32), 2, torch.float32)
    loss = nn.functional.cross_entropy(net(clips), torch.tensor([0, 2]))
    loss.backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), f"{name} receives no gradient"


@pytest.mark.parametrize("attention", ATTENTION)
def test_attention_follows_the_second_and_third_stage(attention: str) -> None:
    net = build_agdtnet(3, attention=attention, device="meta")
    assert list(net.backbone.attention) == ([] if attention == "none" else ["layer2", "layer3"])


@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("temporal", TEMPORAL)
def test_changing_one_clip_does_not_change_the_others(attention: str, temporal: str) -> None:
    net = network(attention=attention, temporal=temporal)
    clips = random_tensor((3, 2, 3, 17, 17), 3)
    changed = clips.clone()
    changed[1] += 1
    logits, others = net(clips), net(changed)
    assert torch.equal(logits[[0, 2]], others[[0, 2]])
    assert not torch.equal(logits[1], others[1])


def test_jacobian_between_different_clips_is_zero() -> None:
    assert_clips_are_independent(network(), random_tensor((2, 2, 3, 9, 9), 4))


@pytest.mark.parametrize("attention", ATTENTION)
def test_temporal_mean_ignores_the_order_of_frames(attention: str) -> None:
    net = network(attention=attention, temporal="mean")
    clips = random_tensor((2, 4, 3, 32, 32), 5)
    torch.testing.assert_close(net(clips[:, [2, 0, 3, 1]]), net(clips), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("temporal", ["dtformer", "tformer"])
def test_temporal_transformers_depend_on_the_order_of_frames(temporal: str) -> None:
    net = network(temporal=temporal)
    clips = random_tensor((2, 4, 3, 32, 32), 6)
    assert (net(clips.flip(1)) - net(clips)).abs().max() > 1e-6


@pytest.mark.parametrize(
    ("attention", "temporal"), [("aga", "dtformer"), ("aga", "mean"), ("cbam", "tformer"), ("se", "dtformer")]
)
def test_padding_does_not_change_the_logits(attention: str, temporal: str) -> None:
    net = network(attention=attention, temporal=temporal)
    clips, lengths = random_tensor((2, 4, 3, 32, 32), 7), [4, 2]
    mask = end_padding(lengths, 4)
    unpadded = torch.cat([net(clip[None, :length]) for clip, length in zip(clips, lengths, strict=True)])
    for poison in (float("nan"), float("inf")):
        padded = clips.clone()
        padded[~mask] = poison
        padded.requires_grad_()
        logits = net(padded, mask=mask)
        torch.testing.assert_close(logits, unpadded, rtol=1e-10, atol=1e-10)
        gradient, *others = torch.autograd.grad(logits.sum(), [padded, *net.parameters()])
        assert (gradient[~mask] == 0).all()
        assert gradient[mask].any()
        assert all(other.isfinite().all() for other in others)


def test_clip_of_a_single_frame_is_accepted() -> None:
    net = network()
    assert net(random_tensor((2, 1, 3, 32, 32), 8)).shape == (2, 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast_stay_near_float64(dtype: torch.dtype) -> None:
    """The tolerance is 8 eps of the largest logit. About forty rounded layers have an error of about u each. These add
    like a random walk to sqrt(40) u = 3.2 eps. Autocast also rounds the weights, which doubles it; the rest is margin.
    """
    net = network().float()
    clips = random_tensor((2, 4, 3, 32, 32), 9, torch.float32)
    with torch.no_grad():
        exact = copy.deepcopy(net).double()(clips.double())
        allowed = 8 * torch.finfo(dtype).eps * exact.abs().max()
        with torch.autocast(torch.get_default_device().type, dtype=dtype):
            assert (net(clips).double() - exact).abs().max() <= allowed
        logits = copy.deepcopy(net).to(dtype)(clips.to(dtype))
    assert logits.dtype == dtype
    assert (logits.double() - exact).abs().max() <= allowed


def test_channels_last_memory_format_gives_the_same_logits() -> None:
    net = network()
    clips = random_tensor((2, 4, 3, 32, 32), 10)
    expected = net(clips)
    net = net.to(memory_format=torch.channels_last)
    torch.testing.assert_close(net(clips), expected, rtol=1e-10, atol=1e-10)


def test_backward_is_deterministic() -> None:
    net = network()
    clips = random_tensor((2, 2, 3, 32, 32), 11)
    torch.use_deterministic_algorithms(True)
    try:
        first, second = (torch.autograd.grad(net(clips).sum(), list(net.parameters())) for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_size_of_the_default_network() -> None:
    net = build_agdtnet(device="meta")
    count = sum(parameter.numel() for parameter in net.parameters())
    assert 17_500_000 < count < 17_700_000
    assert net(torch.empty(2, 16, 3, 112, 112, device="meta")).shape == (2, 7)
    assert max(parameter.ndim for parameter in net.parameters()) <= 4


def test_dropout_acts_only_in_training_mode() -> None:
    net = network(dropout=0.5)
    clips = random_tensor((2, 2, 3, 32, 32), 13)
    assert torch.equal(net(clips), net(clips))
    net.temporal.train()
    assert not torch.equal(net(clips), net(clips))


@pytest.mark.parametrize("make", [AdaptiveGlobalAttention, partial(AdaptiveGlobalAttention, context_groups=1), CBAM])
def test_attention_can_be_a_class_or_a_callable(make: Callable[[int], nn.Module]) -> None:
    net = build_agdtnet(3, attention=make, num_frames=2, dtype=torch.float64)
    assert {stage: layer.channels for stage, layer in net.backbone.attention.items()} == {"layer2": 128, "layer3": 256}
    assert net(random_tensor((1, 2, 3, 32, 32), 0)).dtype == torch.float64


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attention": lambda channels: SHARED}, "returns the same layer twice"),
        ({"attention": SHARED}, "got CBAM. Pass the class"),
        ({"attention": lambda channels: channels}, r"attention\(128\) to be a torch.nn.Module, got 128"),
        ({"attention": AdaptiveGlobalAttention, "causal": True}, "context_window=16"),
        ({"attention": AdaptiveGlobalAttention, "backbone": nn.Conv2d(3, 4, 3)}, "attention only to its own ResNet18"),
        ({"backbone": ChannelsLast()}, "axis 1 grows with the image"),
        ({"backbone": nn.Flatten()}, r"returns feature maps \(N, C, H, W\); this returns \(1, 150528\)"),
        ({"backbone": nn.Conv2d(4, 8, 3)}, "failed to run the backbone on an image"),
    ],
)
def test_building_a_net_from_unsuitable_parts_raises(settings: dict[str, object], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        build_agdtnet(3, **settings)


def test_temporal_encoder_with_other_channels_than_the_backbone_raises() -> None:
    with pytest.raises(ValueError, match=r"with 4 output channels, .* for 6. Create the encoder with channels=4"):
        AGDTNet(nn.Conv2d(3, 4, 3), DTFormer(6, heads=2), num_classes=3)


@pytest.mark.parametrize(
    ("clips", "mask", "message"),
    [
        (torch.zeros(1, 3, 2, 32, 32), None, r"Is it \(B, C, T, H, W\)"),
        (torch.zeros(1, 2, 3, 32, 32), torch.ones(2, 1, dtype=torch.bool), r"mask \(B, T\) = \(1, 2\)"),
        (torch.zeros(1, 2, 3, 32, 32), torch.zeros(1, 2, dtype=torch.bool), "row 0 is all False"),
        (torch.zeros(1, 2, 3, 32, 32, dtype=torch.float64), None, "expects its parameters' dtype"),
    ],
)
def test_encode_and_forward_check_their_input(clips: Tensor, mask: Tensor | None, message: str) -> None:
    for call in (NET, NET.encode):
        with pytest.raises((ValueError, TypeError), match=message):
            call(clips, mask=mask)


@pytest.mark.parametrize(
    ("vectors", "error", "message"),
    [
        (torch.zeros(2, 3, 7), ValueError, "axis 2 should be the 8 channels"),
        (torch.zeros(3, 8), ValueError, r"expects frame vectors \(B, T, C\) with C = 8; got 2 axes"),
        (torch.zeros(2, 3, 8, dtype=torch.float16), TypeError, "expects its parameters' dtype"),
        (torch.zeros(2, 3, 8, device="meta"), ValueError, "expects its input on .*; got meta"),
    ],
)
def test_score_checks_its_input(vectors: Tensor, error: type[Exception], message: str) -> None:
    net = build_agdtnet(3, backbone=nn.Conv2d(3, 8, 3), temporal="mean")
    with pytest.raises(error, match=f"^AGDTNet .*{message}"):
        net.score(vectors)
