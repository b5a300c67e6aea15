"""The whole network: equal to the literal chain of equations, and every row of the ablation table can be built."""

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
    """A network in float64 and evaluation mode whose batch statistics are not the identity."""
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
def test_attention_stands_after_the_second_and_the_third_stage(attention: str) -> None:
    net = build_agdtnet(3, attention=attention, device="meta")
    assert list(net.backbone.attention) == ([] if attention == "none" else ["layer2", "layer3"])


@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("temporal", TEMPORAL)
def test_clips_do_not_see_each_other(attention: str, temporal: str) -> None:
    net = network(attention=attention, temporal=temporal)
    clips = random_tensor((3, 2, 3, 17, 17), 3)
    changed = clips.clone()
    changed[1] += 1
    logits, others = net(clips), net(changed)
    assert torch.equal(logits[[0, 2]], others[[0, 2]])
    assert not torch.equal(logits[1], others[1])


def test_clips_do_not_see_each_other_by_jacobian() -> None:
    assert_clips_are_independent(network(), random_tensor((2, 2, 3, 9, 9), 4))


@pytest.mark.parametrize("attention", ATTENTION)
def test_averaging_over_time_forgets_the_order_of_the_frames(attention: str) -> None:
    net = network(attention=attention, temporal="mean")
    clips = random_tensor((2, 4, 3, 32, 32), 5)
    torch.testing.assert_close(net(clips[:, [2, 0, 3, 1]]), net(clips), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("temporal", ["dtformer", "tformer"])
def test_the_transformers_feel_the_order_of_the_frames(temporal: str) -> None:
    net = network(temporal=temporal)
    clips = random_tensor((2, 4, 3, 32, 32), 6)
    assert (net(clips.flip(1)) - net(clips)).abs().max() > 1e-6


@pytest.mark.parametrize(
    ("attention", "temporal"), [("aga", "dtformer"), ("aga", "mean"), ("cbam", "tformer"), ("se", "dtformer")]
)
def test_a_padded_clip_equals_the_same_clip_unpadded(attention: str, temporal: str) -> None:
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


def test_a_clip_may_have_a_single_frame() -> None:
    net = network()
    assert net(random_tensor((2, 1, 3, 32, 32), 8)).shape == (2, 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast_stay_near_float64(dtype: torch.dtype) -> None:
    """Allowed: 8 eps of the largest logit: some forty rounded layers of about u each, whose errors add like a random
    walk, sqrt(40) u = 3.2 eps; twice that under autocast, which rounds the weights too, and a quarter in reserve.
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


def test_channels_last_gives_the_same_logits() -> None:
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


def test_dropout_acts_in_training_only() -> None:
    net = network(dropout=0.5)
    clips = random_tensor((2, 2, 3, 32, 32), 13)
    assert torch.equal(net(clips), net(clips))


@pytest.mark.parametrize("make", [AdaptiveGlobalAttention, partial(AdaptiveGlobalAttention, context_groups=1), CBAM])
def test_attention_is_a_class_or_a_callable_too(make: Callable[[int], nn.Module]) -> None:
    net = build_agdtnet(3, attention=make, num_frames=2, dtype=torch.float64)
    assert {stage: layer.channels for stage, layer in net.backbone.attention.items()} == {"layer2": 128, "layer3": 256}
    assert net(random_tensor((1, 2, 3, 32, 32), 0)).dtype == torch.float64


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attention": lambda channels: SHARED}, "makes one layer for two stages"),
        ({"attention": SHARED}, "got a CBAM. Give the class"),
        ({"attention": lambda channels: channels}, "what attention makes to be a torch.nn.Module, got 128"),
        ({"attention": AdaptiveGlobalAttention, "causal": True}, "context_window=16"),
        ({"attention": AdaptiveGlobalAttention, "backbone": nn.Conv2d(3, 4, 3)}, "in its own ResNet18 only"),
        ({"backbone": ChannelsLast()}, "axis 1 grows with the image"),
        ({"backbone": nn.Flatten()}, r"gives feature maps \(N, C, H, W\); this one gives \(1, 150528\)"),
        ({"backbone": nn.Conv2d(4, 8, 3)}, "cannot run the backbone on an image"),
    ],
)
def test_parts_that_do_not_fit_are_refused_when_a_net_is_built(settings: dict[str, object], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        build_agdtnet(3, **settings)


def test_an_encoder_of_other_channels_than_the_backbones_is_refused() -> None:
    with pytest.raises(ValueError, match=r"gives 4 channels .* takes 6. Make the encoder with channels=4"):
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
def test_encode_checks_its_clips_as_forward_does(clips: Tensor, mask: Tensor | None, message: str) -> None:
    for call in (NET, NET.encode):
        with pytest.raises((ValueError, TypeError), match=message):
            call(clips, mask=mask)
