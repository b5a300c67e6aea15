"""FrameWise runs an image model on clips, and attention inside gets the number of frames from the current call."""

import threading
from collections import OrderedDict, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from agdt_layers import (
    AdaptiveGlobalAttention,
    FrameWise,
    ResNet18,
    build_agdtnet,
    capture_attention,
    insert_attention,
    remove_attention,
)
from helpers.hosts import host
from helpers.older_torch import SHOWS_HOOKS
from helpers.strategies import end_padding, random_tensor

PLACES = ["sequential", "own", "dense"]


def clips(batch: int, num_frames: int, seed: int = 0) -> Tensor:
    return random_tensor((batch, num_frames, 3, 16, 24), seed, torch.float32)


def encoder(**settings: object) -> FrameWise:
    model = host()
    insert_attention(model, PLACES, example_input=clips(1, 2)[0], **settings)
    return FrameWise(model)


def with_num_frames(model: nn.Module, x: Tensor, num_frames: int) -> Tensor:
    """Run the model on folded clips with num_frames set on every attention layer."""
    layers = [layer for layer in model.modules() if isinstance(layer, AdaptiveGlobalAttention)]
    for layer in layers:
        layer.num_frames = num_frames
    out = model(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    for layer in layers:
        layer.num_frames = None
    return out


@pytest.mark.parametrize("num_frames", [1, 3, 4])
def test_attention_uses_the_number_of_frames_of_this_call(num_frames: int) -> None:
    net, x = encoder(), clips(2, num_frames)
    expected = with_num_frames(net.model, x, num_frames)
    before = {name: dict(module.__dict__) for name, module in net.named_modules()}
    assert torch.equal(net(x), expected)
    assert {name: dict(module.__dict__) for name, module in net.named_modules()} == before
    images = net.model(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    assert torch.equal(images, with_num_frames(net.model, x, 1)), "the clip axis outlived the call"
    assert torch.equal(images, expected) == (num_frames == 1)


def test_clip_axis_overrides_num_frames_from_insertion() -> None:
    assert torch.equal(encoder(num_frames=4)(clips(2, 3)), encoder()(clips(2, 3)))


def test_clips_of_a_batch_do_not_affect_each_other() -> None:
    net, x = encoder(), clips(2, 3)
    torch.testing.assert_close(net(x)[:1], net(x[:1]))


def test_padded_frames_do_not_change_the_output() -> None:
    net, x = encoder(), clips(1, 4)
    padded = x.clone()
    padded[:, 3:] = float("nan")
    out = net(padded, mask=end_padding([3], 4))
    torch.testing.assert_close(out[:, :3], net(x[:, :3]))


def test_error_inside_resets_the_clip_axis() -> None:
    net, x = encoder(), clips(2, 3)
    with pytest.raises(ValueError, match="AdaptiveGlobalAttention expects"):
        FrameWise(nn.Sequential(net.model.sequential, AdaptiveGlobalAttention(7)))(x)
    assert torch.equal(net.model(x.flatten(0, 1)), with_num_frames(net.model, x, 1).flatten(0, 1))


@pytest.mark.skipif(not SHOWS_HOOKS, reason="older torch")
def test_nested_call_restores_the_outer_clip_axis() -> None:
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.attention = encoder(), AdaptiveGlobalAttention(3)

        def forward(self, frames: Tensor) -> Tensor:
            self.inner(frames.unflatten(0, (-1, 2)))
            return self.attention(frames)

    net, x = Nested(), clips(1, 6)
    assert torch.equal(FrameWise(net)(x), net.attention(x))


def test_threads_do_not_affect_each_other() -> None:
    net = encoder()
    inputs = {num_frames: clips(2, num_frames) for num_frames in (1, 2, 3, 4, 5, 6)}
    with torch.no_grad():
        expected = {num_frames: net(x) for num_frames, x in inputs.items()}
    all_inside = threading.Barrier(len(inputs), timeout=60)

    def wait_for_the_others(*_: object) -> None:
        """Make the calls overlap: none continues before all have started."""
        all_inside.wait()

    net.model.sequential.register_forward_hook(wait_for_the_others)

    def work(num_frames: int) -> Tensor:
        with torch.no_grad():
            return net(inputs[num_frames])

    with ThreadPoolExecutor(len(inputs)) as pool:
        results = {num_frames: pool.submit(work, num_frames) for num_frames in inputs}
    for num_frames, result in results.items():
        torch.testing.assert_close(result.result(), expected[num_frames], rtol=1e-5, atol=1e-5)


def test_attention_is_captured_as_clips() -> None:
    net, x = encoder(), clips(2, 3)
    with torch.no_grad(), capture_attention(net) as maps:
        net(x)
    assert maps["model.own.agdt_attention"].context.shape == (2, 3, 7)
    assert maps["model.own.agdt_attention"].spatial.shape == (2, 3, 8, 12)


@pytest.mark.proves("FrameWise", "torch.compile")
def test_compile_makes_one_graph_for_every_number_of_frames() -> None:
    net = encoder()
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        for num_frames in (2, 4, 3, 5):
            x = clips(2, num_frames)
            torch.testing.assert_close(compiled(x), net(x))
        assert torch.equal(net.model(x[0]), with_num_frames(net.model, x[:1], 1)[0])


@pytest.mark.proves("FrameWise", "torch.export")
def test_exported_model_accepts_clips_of_every_size() -> None:
    net = encoder()
    auto = torch.export.Dim.AUTO
    with torch.no_grad():
        sizes = {"clips": {0: auto, 1: auto, 3: auto, 4: auto}}
        exported = torch.export.export(net, (clips(2, 3),), dynamic_shapes=sizes).module()
        for batch, num_frames in ((1, 1), (3, 5), (4, 2)):
            x = random_tensor((batch, num_frames, 3, 20, 12), 2, torch.float32)
            torch.testing.assert_close(exported(x), net(x))


class Outputs(NamedTuple):
    logits: Tensor
    extra: list[Tensor]


@dataclass(frozen=True)
class Result:
    maps: Tensor
    name: str = "a name"


class ManyOutputs(nn.Module):
    def forward(self, x: Tensor) -> dict[str, object]:
        return {"named": Outputs(x, [x.mean(dim=(1, 2, 3))]), "tuple": (x, None), "object": Result(x)}


def test_every_tensor_in_the_output_is_unfolded() -> None:
    x = clips(2, 3)
    out = FrameWise(ManyOutputs())(x)
    assert torch.equal(out["named"].logits, x)
    assert out["named"].extra[0].shape == (2, 3)
    assert torch.equal(out["tuple"][0], x)
    assert out["tuple"][1] is None
    assert isinstance(out["object"], Result)
    assert torch.equal(out["object"].maps, x)
    assert out["object"].name == "a name"


class Pair(tuple):
    """A tuple with its own constructor and an attribute."""

    def __new__(cls, first: Tensor, second: Tensor) -> "Pair":
        return super().__new__(cls, (first, second))


@dataclass(frozen=True)
class Computed:
    maps: Tensor
    mean: Tensor = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", self.maps.mean(dim=(2, 3)))


class OddContainers(nn.Module):
    def forward(self, x: Tensor) -> dict[str, object]:
        pair = Pair(x, x)
        pair.name = "a pair"
        by_name: dict[str, Tensor] = defaultdict(lambda: torch.zeros(1))
        by_name["maps"] = x
        return {
            "defaultdict": by_name,
            "ordered": OrderedDict(maps=x),
            "tuple subclass": pair,
            "dataclass": Computed(x),
            "torch's own": x.flatten(1).max(dim=1),
        }


def test_containers_keep_their_class_and_other_contents() -> None:
    x = clips(2, 3)
    out = FrameWise(OddContainers())(x)
    assert torch.equal(out["defaultdict"]["maps"], x)
    assert out["defaultdict"]["absent"].shape == (1,)
    assert isinstance(out["ordered"], OrderedDict)
    assert torch.equal(out["ordered"]["maps"], x)
    assert isinstance(out["tuple subclass"], Pair)
    assert torch.equal(out["tuple subclass"][1], x)
    assert out["tuple subclass"].name == "a pair"
    assert torch.equal(out["dataclass"].maps, x)
    assert torch.equal(out["dataclass"].mean, x.mean(dim=(3, 4)))
    assert torch.equal(out["torch's own"].values, x.flatten(2).amax(dim=2))


def test_agdtnet_with_a_custom_backbone_equals_its_parts_in_sequence() -> None:
    backbone = nn.Sequential(host().sequential, host().own, nn.Conv2d(7, 8, 1))
    insert_attention(backbone, ["0", "1"], example_input=clips(1, 2)[0])
    net = build_agdtnet(3, num_frames=4, backbone=backbone, temporal="mean")
    x = clips(2, 4)
    maps = FrameWise(backbone)(x)
    expected = net.classifier(torch.stack([net.frame_vectors(clip) for clip in maps]).mean(dim=1))
    torch.testing.assert_close(net(x), expected)
    padded = torch.cat([x, torch.full_like(x[:, :1], float("nan"))], dim=1)
    torch.testing.assert_close(net(padded, mask=end_padding([4, 4], 5)), net(x))
    assert build_agdtnet(3, backbone=backbone).temporal.channels == 8
    remove_attention(net)
    assert not any(isinstance(module, AdaptiveGlobalAttention) for module in net.modules())
    net.reset_parameters()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: FrameWise(nn.DataParallel(nn.Identity())), r"nn.DataParallel\(FrameWise\(\.\.\.\)\)"),
        (lambda: FrameWise(nn.Flatten(0))(clips(2, 3)), r"FrameWise expects model outputs with the B\*T = 6"),
    ],
)
def test_models_that_split_or_drop_the_frame_axis_raise(act, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        act()


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda x: torch.nested.nested_tensor(list(x)), "expects output to be a dense tensor, got a nested one"),
        (
            lambda x: [x.flatten(1).to_sparse()],
            r"expects output to be a dense tensor, got torch.sparse_coo",
        ),
    ],
    ids=["nested", "sparse"],
)
def test_outputs_that_are_not_dense_raise(output, message: str) -> None:
    model = nn.Identity()
    model.register_forward_hook(lambda module, args, x: output(x))
    with pytest.raises(TypeError, match=message):
        FrameWise(model)(clips(2, 3))


@pytest.mark.parametrize("model", [ResNet18, lambda: nn.Sequential(nn.Conv2d(3, 5, 3))])
def test_channels_on_the_wrong_axis_raise_with_every_model(model) -> None:
    with pytest.raises(ValueError, match="axis 2 should be the 3 channels"):
        FrameWise(model())(clips(2, 4).transpose(1, 2))
