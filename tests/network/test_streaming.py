"""AGDTStream equals the causal net, approximates the non-causal one, and processes each frame once."""

import copy
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from agdt_layers import (
    AdaptiveGlobalAttention,
    AGDTNet,
    AGDTStream,
    FrameWise,
    ResNet18,
    build_agdtnet,
    capture_attention,
    insert_attention,
)
from agdt_layers.functional import clip_context
from helpers.hosts import host
from helpers.strategies import random_tensor

SIZE = (3, 48, 32)
WINDOW = 4


def network(**settings: object) -> AGDTNet:
    net = build_agdtnet(5, num_frames=WINDOW, **settings).eval()
    with torch.no_grad():
        # Move attention far from its initial values, so that a wrong mean changes the scores.
        for number, parameter in enumerate(net.backbone.attention.parameters()):
            parameter.add_(random_tensor(tuple(parameter.shape), number, torch.float32), alpha=0.3)
    return net


def streamed(net: AGDTNet, video: Tensor) -> list[Tensor]:
    stream = AGDTStream(net, num_frames=WINDOW)
    return [stream.push(frame) for frame in video.unbind(1)]


def offline(net: AGDTNet, video: Tensor) -> list[Tensor]:
    """Encode the whole video at once, then score every window."""
    vectors = net.encode(video)
    ends = range(1, video.shape[1] + 1)
    return [net.score(vectors[:, max(0, end - WINDOW) : end]) for end in ends]


@pytest.mark.parametrize("temporal", ["dtformer", "mean"])
@torch.no_grad()
def test_stream_of_a_causal_net_equals_offline_scores(temporal: str) -> None:
    net, video = network(causal=True, temporal=temporal), random_tensor((2, 9, *SIZE), 0, torch.float32)
    answers = streamed(net, video)
    for answer, expected in zip(answers, offline(net, video), strict=True):
        torch.testing.assert_close(answer, expected, rtol=1e-5, atol=1e-5)
    for end in range(1, WINDOW + 1):
        torch.testing.assert_close(answers[end - 1], net(video[:, :end]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("attention", ["none", "se", "cbam"])
@torch.no_grad()
def test_stream_without_aga_equals_the_net_on_each_window(attention: str) -> None:
    net, video = network(attention=attention), random_tensor((2, 7, *SIZE), 1, torch.float32)
    for end, answer in enumerate(streamed(net, video), 1):
        torch.testing.assert_close(answer, net(video[:, max(0, end - WINDOW) : end]), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_stream_of_a_non_causal_net_approximates_offline_scores() -> None:
    net, video = network(), random_tensor((2, 7, *SIZE), 2, torch.float32)
    answers = streamed(net, video)
    torch.testing.assert_close(answers[0], net(video[:, :1]), rtol=1e-5, atol=1e-5)
    for end in range(2, 8):
        expected = net(video[:, max(0, end - WINDOW) : end])
        assert not torch.equal(answers[end - 1], expected)
        assert (answers[end - 1] - expected).norm() < 0.1 * expected.norm()


def custom_backbone() -> AGDTNet:
    backbone = nn.Sequential(host().sequential, host().own)
    layer = functools.partial(AdaptiveGlobalAttention, context_window=WINDOW)
    insert_attention(backbone, {"0": layer, "1": layer}, example_input=torch.zeros(1, *SIZE))
    for number, parameter in enumerate(backbone.parameters()):
        parameter.data.add_(random_tensor(tuple(parameter.shape), number, torch.float32), alpha=0.1)
    return build_agdtnet(5, num_frames=WINDOW, backbone=backbone, temporal="mean").eval()


@torch.no_grad()
def test_stream_of_a_causal_custom_backbone_equals_offline_scores() -> None:
    net, video = custom_backbone(), random_tensor((2, 9, *SIZE), 0, torch.float32)
    for answer, expected in zip(streamed(net, video), offline(net, video), strict=True):
        torch.testing.assert_close(answer, expected, rtol=1e-5, atol=1e-5)


RUNS = ((9,), (1, 8), (2, 3, 4), (5, 1, 1, 2), (3, 6))


@pytest.mark.parametrize("runs", RUNS, ids=str)
@pytest.mark.parametrize(
    "make", [lambda: network(causal=True), network, custom_backbone], ids=["causal", "plain", "other"]
)
@torch.no_grad()
def test_run_of_frames_equals_single_frames(make: Callable[[], AGDTNet], runs: tuple[int, ...]) -> None:
    net, video = make(), random_tensor((2, 9, *SIZE), 3, torch.float32)
    stream = AGDTStream(net, num_frames=WINDOW)
    answers = torch.cat([stream.push(run) for run in video.split(list(runs), dim=1)], dim=1)
    for answer, expected in zip(answers.unbind(1), streamed(net, video), strict=True):
        torch.testing.assert_close(answer, expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_nan_frame_leaves_the_window_in_runs_and_single_frames() -> None:
    net, video = network(causal=True), random_tensor((2, 16, *SIZE), 3, torch.float32)
    video[0, 1] = torch.nan
    run, single = AGDTStream(net, num_frames=WINDOW).push(video), torch.stack(streamed(net, video), dim=1)
    torch.testing.assert_close(run, single, rtol=1e-5, atol=1e-5, equal_nan=True)
    # Two attention layers and the temporal encoder each look back over one window.
    first = 1 + 3 * (WINDOW - 1) + 1
    assert run[0, 1:first].isnan().all()
    assert run[0, first:].isfinite().all()
    assert run[1].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
@torch.no_grad()
def test_state_in_another_dtype_is_converted(dtype: torch.dtype) -> None:
    net, video = network(causal=True), random_tensor((2, 6, *SIZE), 3, torch.float32)
    first, second = AGDTStream(net, num_frames=WINDOW), AGDTStream(net, num_frames=WINDOW)
    first.push(video[:, :5])
    state = first.state_dict()
    second.load_state_dict(
        {name: value.to(dtype) if value.is_floating_point() else value for name, value in state.items()}
    )
    torch.testing.assert_close(second.push(video[:, 5]), first.push(video[:, 5]), rtol=1e-2, atol=1e-2)
    assert {value.dtype for value in second.state_dict().values()} == {torch.float32, torch.int64}


@torch.no_grad()
def test_saved_stream_continues_in_another_stream(tmp_path: Path) -> None:
    net, video = network(causal=True), random_tensor((2, 9, *SIZE), 3, torch.float32)
    expected = streamed(net, video)
    first, second = AGDTStream(net, num_frames=WINDOW), AGDTStream(copy.deepcopy(net), num_frames=WINDOW)
    assert first.state_dict() == {}
    first.push(video[:, :5])
    torch.save(first.state_dict(), tmp_path / "stream.pt")
    second.load_state_dict(torch.load(tmp_path / "stream.pt", weights_only=True))
    for number in range(5, 9):
        torch.testing.assert_close(second.push(video[:, number]), expected[number], rtol=1e-5, atol=1e-5)
    second.load_state_dict({})
    assert torch.equal(second.push(video[:, 0]), expected[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("classifier", ["quantised", "a sequence", "none"])
@torch.no_grad()
def test_saved_stream_continues_with_any_classifier(classifier: str) -> None:
    net, video = network(causal=True), random_tensor((2, 4, *SIZE), 3, torch.float32)
    if classifier == "quantised":
        net = torch.ao.quantization.quantize_dynamic(net, {nn.Linear})
    else:
        net.classifier = nn.Sequential(nn.ReLU(), net.classifier) if classifier == "a sequence" else nn.Identity()
    net.eval()
    first, second = AGDTStream(net, num_frames=WINDOW), AGDTStream(net, num_frames=WINDOW)
    first.push(video[:, :3])
    second.load_state_dict(first.state_dict())
    assert torch.equal(second.push(video[:, 3]), first.push(video[:, 3]))


@torch.no_grad()
def test_unsuitable_state_raises_and_changes_nothing() -> None:
    net, video = network(causal=True), random_tensor((2, 4, *SIZE), 3, torch.float32)
    stream = AGDTStream(net, num_frames=WINDOW)
    stream.push(video)
    state, expected = stream.state_dict(), stream.push(video[:, 0])
    for wrong in (
        None,
        {"vectors": state["vectors"]},
        {**state, "vectors": state["vectors"][:1]},
        {**state, "vectors": state["vectors"][:, :2]},
        {**state, "seen": state["seen"].float()},
        {**state, "vectors": state["vectors"].to("meta")},
        {name: value.tolist() for name, value in state.items()},
    ):
        fresh = AGDTStream(net, num_frames=WINDOW)
        fresh.push(video)
        with pytest.raises((ValueError, TypeError), match="AGDTStream expects"):
            fresh.load_state_dict(wrong)
        torch.testing.assert_close(fresh.push(video[:, 0]), expected)


@torch.no_grad()
def test_failed_push_changes_nothing() -> None:
    net, video = network(causal=True), random_tensor((1, 6, *SIZE), 4, torch.float32)
    stream = AGDTStream(net, num_frames=WINDOW)
    stream.push(video[:, :3])
    hook = net.temporal.register_forward_pre_hook(lambda module, args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        stream.push(video[:, 3])
    hook.remove()
    torch.testing.assert_close(stream.push(video[:, 3]), streamed(net, video)[3])


@torch.no_grad()
def test_attention_is_captured_in_a_stream() -> None:
    net, video = network(causal=True), random_tensor((2, 6, *SIZE), 5, torch.float32)
    with capture_attention(net) as maps:
        net(video[:, :4])
        whole = maps["backbone.attention.layer3"]
    stream = AGDTStream(net, num_frames=WINDOW)
    stream.push(video[:, :2])
    with capture_attention(net) as maps:
        stream.push(video[:, 2:4])
    torch.testing.assert_close(maps["backbone.attention.layer3"].context, whole.context[:, 2:], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_attention_that_runs_twice_per_frame_raises() -> None:
    net = network(causal=True)
    net.backbone.attention["layer2"] = nn.Sequential(*[net.backbone.attention["layer2"]] * 2).eval()
    with pytest.raises(ValueError, match="runs one AdaptiveGlobalAttention twice for each frame"):
        AGDTStream(net, num_frames=WINDOW).push(torch.zeros(1, *SIZE))


@torch.no_grad()
def test_padding_does_not_change_the_scores_of_a_causal_net() -> None:
    net, clips = network(causal=True), random_tensor((2, 4, *SIZE), 3, torch.float32)
    padded = torch.cat([clips[:, :3], torch.full_like(clips[:, 3:], float("nan"))], dim=1)
    mask = torch.tensor([True, True, True, False]).expand(2, -1)
    torch.testing.assert_close(net(padded, mask=mask), net(clips[:, :3]), rtol=1e-5, atol=1e-5)
    assert set(net.state_dict()) == set(network().state_dict())


@pytest.mark.parametrize("window", [1, 3, 7, 11])
def test_windowed_context_uses_the_mean_of_the_last_frames(window: int) -> None:
    context = random_tensor((2, 7, 5), 6).sigmoid()
    mask = torch.arange(7) < torch.tensor([[7], [4]])
    out = clip_context(context.flatten(0, 1), 7, mask, window).unflatten(0, (2, 7))
    for clip, frame in mask.nonzero().tolist():
        mean = context[clip, max(0, frame - window + 1) : frame + 1].mean(dim=0)
        torch.testing.assert_close(out[clip, frame], context[clip, frame] * mean, rtol=1e-12, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("streams", [[2], [-1], "a"])
def test_reset_refuses_streams_that_are_not_there(streams: Sequence[int]) -> None:
    stream = AGDTStream(network(causal=True), num_frames=4)
    stream.push(torch.rand(2, 3, 64, 64))
    with pytest.raises(ValueError, match="expects streams from 0 to 1, got"):
        stream.reset(streams)


def test_reset_forgets_all_frames() -> None:
    net, video = network(causal=True), random_tensor((1, 3, *SIZE), 4, torch.float32)
    stream = AGDTStream(net, num_frames=WINDOW)
    first = [stream.push(frame) for frame in video.unbind(1)]
    with pytest.raises(ValueError, match=r"got 2 frames after 1 streams before. Call reset\(\)"):
        stream.push(video[:, 0].expand(2, -1, -1, -1))
    stream.reset()
    assert all(torch.equal(stream.push(frame), old) for frame, old in zip(video.unbind(1), first, strict=True))


def test_push_runs_the_backbone_only_on_the_new_frame() -> None:
    net, frame = network(), random_tensor((1, *SIZE), 5, torch.float32)
    seen: list[int] = []
    net.backbone.conv1.register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
    stream = AGDTStream(net, num_frames=WINDOW)
    assert not any(stream.push(frame).requires_grad for _ in range(6))
    assert seen == [1] * 6


def with_part_in_training() -> AGDTNet:
    net = network()
    net.backbone.layer3[1].bn2.train()
    return net


class Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=1)


@torch.no_grad()
def test_streams_of_a_batch_can_start_at_different_times() -> None:
    net, video = network(causal=True), random_tensor((2, 9, *SIZE), 3, torch.float32)
    stream = AGDTStream(net, num_frames=WINDOW)
    for number in range(5):
        stream.push(video[:, number])
    stream.reset([1])
    for number in range(5, 9):
        first, second = stream.push(video[:, number])
        torch.testing.assert_close(first, offline(net, video[:1])[number][0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(second, offline(net, video[1:, 5:])[number - 5][0], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_state_of_a_compiled_backbone_loads_into_an_uncompiled_one() -> None:
    plain, video = network(causal=True), random_tensor((1, 4, *SIZE), 3, torch.float32)
    compiled = copy.deepcopy(plain)
    compiled.backbone = torch.compile(compiled.backbone, backend="eager")
    first, second = AGDTStream(compiled, num_frames=WINDOW), AGDTStream(plain, num_frames=WINDOW)
    first.push(video[:, :3])
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(second.push(video[:, 3]), first.push(video[:, 3]), rtol=1e-5, atol=1e-5)


class FirstStageAlone(nn.Module):
    """A backbone with an attention layer that never runs."""

    out_channels = 4

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.used, self.unused = (AdaptiveGlobalAttention(4, context_window=WINDOW) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.used(self.conv(x))


@torch.no_grad()
def test_unused_attention_does_not_affect_a_stream() -> None:
    net = build_agdtnet(3, backbone=FirstStageAlone(), temporal="mean", num_frames=WINDOW).eval()
    video = random_tensor((1, 6, *SIZE), 3, torch.float32)
    first, second = AGDTStream(net, num_frames=WINDOW), AGDTStream(net, num_frames=WINDOW)
    first.push(video[:, :3])
    second.load_state_dict(first.state_dict())
    for number in range(3, 6):
        torch.testing.assert_close(second.push(video[:, number]), offline(net, video)[number], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("net", "num_frames", "error", "message"),
    [
        (
            lambda: FrameWise(nn.Identity()),
            4,
            TypeError,
            "expects an AGDTNet, got FrameWise",
        ),
        (network, 5, ValueError, "num_frames of at most 4, the longest clip of the net; got 5"),
        (lambda: network(causal=True), 3, ValueError, "averages over 4 frames. Pass num_frames=4"),
        (lambda: network().train(), 4, ValueError, r"eval mode.*'the net' is in training mode. Call net.eval\(\)"),
        (lambda: with_part_in_training(), 4, ValueError, "'backbone.layer3.1.bn2' is in training mode"),
        (lambda: AGDTNet(ResNet18(), Mean(), num_classes=3).eval(), 4, ValueError, "that takes mask.*Mean does not"),
    ],
)
def test_nets_that_cannot_stream_raise(net, num_frames: int, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        AGDTStream(net(), num_frames=num_frames).push(torch.zeros(1, *SIZE))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_net_and_stream_use_the_dtype_of_the_backbone(dtype: torch.dtype) -> None:
    backbone = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU())
    exact = build_agdtnet(3, backbone=copy.deepcopy(backbone), num_frames=4).eval()
    net = build_agdtnet(3, backbone=backbone.to(dtype), num_frames=4).eval()
    assert {p.dtype for p in net.parameters()} == {dtype}
    net.load_state_dict(exact.state_dict())
    clips = torch.rand(2, 3, 3, 8, 12)
    tolerance = {"rtol": 0.05, "atol": 0.05} if dtype != torch.float64 else {"rtol": 1e-4, "atol": 1e-5}
    with torch.no_grad():
        assert net(clips.to(dtype)).dtype == dtype
        torch.testing.assert_close(net(clips.to(dtype)).float(), exact(clips), **tolerance)
    scores = AGDTStream(net, num_frames=4).push(clips.to(dtype))
    assert scores.dtype == dtype
    torch.testing.assert_close(scores.float(), AGDTStream(exact, num_frames=4).push(clips), **tolerance)
