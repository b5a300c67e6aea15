"""A net prepared for inference: the same numbers, fewer operations, and the trained net untouched."""

import copy
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from agdt_layers import (
    AdaptiveGlobalAttention,
    AGDTNet,
    AGDTStream,
    FrameWise,
    build_agdtnet,
    device_forms,
    insert_attention,
    prepare_for_inference,
)
from agdt_layers.packed_layers import PackedConv2d, PackedLinear
from helpers.agreement import randomised
from helpers.hosts import Block, host
from helpers.launches import launches
from helpers.strategies import end_padding, random_tensor


def trained(**settings: object) -> AGDTNet:
    """A net in float64 whose batch norms are far from the identity."""
    net = build_agdtnet(5, num_frames=4, **settings)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.double().eval()


@pytest.mark.parametrize("attention", ["aga", "cbam", "se", "none"])
@torch.no_grad()
def test_the_scores_are_the_same(attention: str) -> None:
    net, clips = trained(attention=attention), random_tensor((2, 4, 3, 48, 64), 0)
    prepared = prepare_for_inference(net)
    expected = net(clips)
    torch.testing.assert_close(prepared(clips), expected, rtol=1e-10, atol=1e-10)
    mask = end_padding([4, 2], 4)
    torch.testing.assert_close(prepared(clips, mask=mask), net(clips, mask=mask), rtol=1e-10, atol=1e-10)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in prepared.backbone.modules()) or attention == "cbam"
    assert torch.equal(net(clips), expected)


@torch.no_grad()
def test_in_single_precision_they_differ_by_rounding() -> None:
    net = trained().float()
    clips = random_tensor((2, 4, 3, 48, 64), 0, torch.float32)
    torch.testing.assert_close(prepare_for_inference(net)(clips), net(clips), rtol=1e-5, atol=1e-5)


def test_it_can_be_prepared_in_inference_mode() -> None:
    net, clips = trained().float(), random_tensor((2, 4, 3, 48, 64), 0, torch.float32)
    with torch.inference_mode():
        prepared = prepare_for_inference(net)
        torch.testing.assert_close(prepared(clips), net(clips), rtol=1e-5, atol=1e-5)
    assert not prepared.backbone.conv1.weight.is_inference()


def test_the_copy_cannot_be_trained_and_the_net_still_can() -> None:
    net = trained().train()
    prepared = prepare_for_inference(net)
    assert not any(parameter.requires_grad for parameter in prepared.parameters())
    assert not prepared.training
    assert net.training
    assert all(parameter.requires_grad for parameter in net.parameters())
    convolution = prepared.get_submodule("backbone.layer1.0.conv1").weight
    assert convolution.is_contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def test_any_model_with_an_example() -> None:
    model = host().double()
    insert_attention(model, ["sequential", "own"], example_input=torch.zeros(2, 3, 16, 24, dtype=torch.float64))
    randomised(nn.ModuleList(layer for layer in model.modules() if isinstance(layer, AdaptiveGlobalAttention)))
    net, clips = FrameWise(model).eval(), random_tensor((2, 3, 3, 16, 24), 0)
    prepared = prepare_for_inference(net, clips)
    torch.testing.assert_close(prepared(clips), net(clips), rtol=1e-10, atol=1e-10)
    norms = [name for name, module in prepared.named_modules() if isinstance(module, nn.BatchNorm2d)]
    # One block runs twice, at two sizes; it could be folded, but what runs once is what is looked for.
    assert norms == ["model.twice.norm", "model.unused.norm"]
    with pytest.raises(TypeError, match="expects an example_input for a FrameWise"):
        prepare_for_inference(net)


@torch.no_grad()
def test_attention_on_a_norm_keeps_the_norm() -> None:
    model = nn.Sequential(Block(3, 5), Block(5, 7)).double().eval()
    x = random_tensor((2, 3, 8, 9), 0)
    insert_attention(model, ["0.norm"], example_input=x)
    prepared = prepare_for_inference(model, x)
    torch.testing.assert_close(prepared(x), model(x), rtol=1e-10, atol=1e-10)
    assert isinstance(prepared[0].norm, nn.BatchNorm2d)
    assert isinstance(prepared[1].norm, nn.Identity)


class Shared(nn.Module):
    """Uses a convolution's output before its norm and after."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        nn.init.constant_(self.norm.running_mean, 3.0)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y + self.norm(y)


class AddsInPlace(nn.Module):
    """What a ReLU is given is no longer what the norm gave, though the same tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        y += 1
        return self.relu(y)


@torch.no_grad()
def test_a_relu_is_folded_where_it_takes_what_the_norm_gave() -> None:
    model, x = AddsInPlace().eval(), random_tensor((2, 3, 4, 5), 0, torch.float32)
    prepared = prepare_for_inference(model, x)
    torch.testing.assert_close(prepared(x), model(x))
    assert isinstance(prepared.relu, nn.ReLU)
    net = prepare_for_inference(build_agdtnet())
    folded = [module for module in net.modules() if isinstance(module, PackedConv2d)]
    # Those of the stem and inside the eight blocks; the blocks' last ones take a sum.
    assert [module.relu for module in folded].count(True) == 9
    assert len(folded) == 20


class ReadsItsMaps(nn.Module):
    """torch's own encoder layer and attention, which use the weights of their linear maps, and a shared weight."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(256, 4, 512, batch_first=True)
        self.attention = nn.MultiheadAttention(256, 4, batch_first=True)
        self.narrow, self.first, self.second = nn.Linear(256, 8), nn.Linear(256, 256), nn.Linear(256, 256)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.encoder(x)
        x = x + self.attention(x, x, x)[0]
        return self.narrow(self.second(self.first(x)))


@torch.no_grad()
def test_large_linear_maps_are_packed_whoever_reads_them() -> None:
    model, x = ReadsItsMaps().eval(), random_tensor((2, 5, 256), 0, torch.float32)
    prepared = prepare_for_inference(model, x)
    torch.testing.assert_close(prepared(x), model(x), rtol=1e-5, atol=1e-5)
    packed = {name for name, module in prepared.named_modules() if isinstance(module, PackedLinear)}
    assert packed == {"encoder.linear1", "encoder.linear2", "first", "second"}
    assert prepared.second.weight is prepared.first.weight
    prepared.first.weight.mul_(2)
    model.first.weight.mul_(2)
    torch.testing.assert_close(prepared(x), model(x), rtol=1e-5, atol=1e-5)
    net = prepare_for_inference(build_agdtnet())
    # Four in each encoder layer; the attention reads the weight of its own by itself.
    assert sum(isinstance(module, PackedLinear) for module in net.modules()) == 12


@torch.no_grad()
def test_a_stream_of_a_prepared_net_gives_the_same() -> None:
    net = trained(causal=True).float()
    clip = random_tensor((1, 6, 3, 48, 64), 0, torch.float32)
    torch.testing.assert_close(
        AGDTStream(prepare_for_inference(net), num_frames=4).push(clip),
        AGDTStream(net, num_frames=4).push(clip),
        rtol=1e-5,
        atol=1e-5,
    )


class LooksBefore(nn.Module):
    """A ReLU or a norm takes what the convolution gives, and so does a branch that hardly counts."""

    def __init__(self, follower: nn.Module | None = None) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 3, 1), follower or nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.relu(y) + 0.005 * y


@torch.no_grad()
def test_a_branch_that_hardly_counts_is_not_overlooked() -> None:
    model, x = LooksBefore(), random_tensor((2, 3, 4, 4), 0, torch.float32)
    prepared = prepare_for_inference(model, x)
    torch.testing.assert_close(prepared(x), model(x))
    assert isinstance(prepared.relu, nn.ReLU)
    normed = LooksBefore(nn.BatchNorm2d(3, eps=0.01))
    with pytest.raises(ValueError, match="something else uses what a convolution gives to its norm"):
        prepare_for_inference(normed, x)


def test_what_cannot_be_folded_is_refused() -> None:
    with pytest.raises(ValueError, match="something else uses what a convolution gives to its norm"):
        prepare_for_inference(Shared(), torch.ones(2, 3, 4, 4))


def test_a_prepared_net_takes_at_most_143_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_forms, "prefers_few_launches", lambda x: True)
    prepared, clips = prepare_for_inference(build_agdtnet()), random_tensor((1, 16, 3, 32, 32), 0, torch.float32)
    names = launches(lambda: prepared(clips))
    assert len(names) <= 143, names


class Unusual(nn.Module):
    """A convolution, a norm and a ReLU, between which a subclass does something else."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.relu = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU()
        nn.init.uniform_(self.norm.running_var, 0.5, 1.5)
        self.eval()

    def forward(self, x: Tensor) -> object:
        return self.relu(self.norm(self.conv(x)))


class KeepsNormed(Unusual):
    def forward(self, x: Tensor) -> object:
        self.kept = self.norm(self.conv(x))
        return self.relu(self.kept)


class ReturnsNormed(Unusual):
    def forward(self, x: Tensor) -> object:
        y = self.norm(self.conv(x))
        return {"normed": y, "rectified": self.relu(y)}


class KeepsConvolved(Unusual):
    def forward(self, x: Tensor) -> object:
        self.kept = self.conv(x)
        return self.relu(self.norm(self.kept))


class ReadsWeights(Unusual):
    def forward(self, x: Tensor) -> object:
        return super().forward(x) + 0.005 * nn.functional.conv2d(x, self.conv.weight)


class ReadsTheNorm(Unusual):
    def forward(self, x: Tensor) -> object:
        return super().forward(x) * self.norm.weight.mean()


class ReadsTheNormsSetting(Unusual):
    def forward(self, x: Tensor) -> object:
        return super().forward(x) + self.norm.eps


class SecondNames(Unusual):
    def __init__(self) -> None:
        super().__init__()
        self.path = nn.Sequential(self.conv, self.norm, self.relu)

    def forward(self, x: Tensor) -> object:
        return self.path(x)


class ListOfItsOwn(Unusual):
    def __init__(self) -> None:
        super().__init__()
        self.path = [self.conv, self.norm, self.relu]

    def forward(self, x: Tensor) -> object:
        for layer in self.path:
            x = layer(x)
        return x


class ByKeyword(Unusual):
    def forward(self, x: Tensor) -> object:
        return self.relu(input=self.norm(input=self.conv(input=x)))


class AtRandom(Unusual):
    def forward(self, x: Tensor) -> object:
        return nn.functional.dropout(super().forward(x), training=True)


class Undefined(Unusual):
    def forward(self, x: Tensor) -> object:
        return super().forward(x) / 0


@dataclass(slots=True)
class Result:
    maps: list[Tensor]
    name: str = "a name"


class ReturnsAnObject(Unusual):
    def forward(self, x: Tensor) -> object:
        return {"result": Result([super().forward(x)]), "none": None, "set": {1}}


class Scripted(Unusual):
    def __init__(self) -> None:
        super().__init__()
        self.script = torch.jit.script(nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()))

    def forward(self, x: Tensor) -> object:
        return self.script(super().forward(x))


class Counts(Unusual):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> object:
        self.calls += 1
        x -= 1
        return super().forward(x)


def numbers(output: object) -> list[Tensor]:
    if isinstance(output, Result):
        return output.maps
    if isinstance(output, dict):
        return [tensor for value in output.values() for tensor in numbers(value)]
    return [output] if isinstance(output, Tensor) else []


@pytest.mark.parametrize(
    "make",
    [
        KeepsNormed, ReturnsNormed, ReadsWeights, ReadsTheNorm, SecondNames, ByKeyword, Undefined, ReturnsAnObject,
        Scripted, Counts,
    ],
)  # fmt: skip
@torch.no_grad()
def test_models_that_do_something_unusual(make: type[Unusual]) -> None:
    model, x = make(), random_tensor((2, 3, 4, 5), 0, torch.float32)
    example, before, state = x.clone(), copy.deepcopy(model.state_dict()), torch.get_rng_state()
    prepared = prepare_for_inference(model, example)
    assert torch.equal(example, x)
    assert torch.equal(torch.get_rng_state(), state)
    for net in (model, prepared):
        for key, value in net.state_dict().items():
            assert key != "calls" or torch.equal(value, before[key])
    outputs = []
    for net in (model, prepared):
        outputs.append(numbers(net(x.clone())))
    torch.testing.assert_close(*outputs, equal_nan=True)
    if make is KeepsNormed:
        torch.testing.assert_close(prepared.kept, model.kept)
    # A norm whose parameters, or the convolution's, are read stays, and a ReLU of whose input others have a look.
    assert isinstance(prepared.norm, nn.Identity) != (make in (ReadsWeights, ReadsTheNorm))
    assert isinstance(prepared.relu, nn.Identity) == (
        make not in (KeepsNormed, ReturnsNormed, ReadsWeights, ReadsTheNorm)
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (KeepsConvolved, "something else uses what a convolution gives to its norm"),
        (AtRandom, "the model draws random numbers"),
        (ListOfItsOwn, "other results than this ListOfItsOwn"),
        (ReadsTheNormsSetting, "other results than this ReadsTheNormsSetting"),
    ],
)
def test_what_cannot_be_prepared_is_said(make: type[Unusual], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare_for_inference(make(), torch.ones(2, 3, 4, 4))


def test_what_has_no_numbers_or_is_compiled_by_torch_jit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Sequential has parameters that have no shape yet. Call it once before."):
        prepare_for_inference(nn.Sequential(nn.LazyConv2d(3, 1)), torch.rand(1, 3, 2, 2))
    with pytest.raises(ValueError, match=r"got a model on the meta device, of class Unusual. Load its weights first."):
        prepare_for_inference(Unusual().to("meta"), torch.ones(2, 3, 4, 4))
    with pytest.raises(TypeError, match=r"cannot change what torch.jit has compiled. Prepare the model first"):
        prepare_for_inference(torch.jit.script(nn.ReLU()), torch.ones(2, 3, 4, 4))


@pytest.mark.parametrize("axes", [1, 3])
@torch.no_grad()
def test_convolutions_of_other_axes_stay_as_they_are(axes: int) -> None:
    conv, norm = {1: (nn.Conv1d, nn.BatchNorm1d), 3: (nn.Conv3d, nn.BatchNorm3d)}[axes]
    model, x = nn.Sequential(conv(3, 5, 3), norm(5), nn.ReLU()).eval(), torch.rand(2, 3, *[7] * axes)
    assert torch.equal(prepare_for_inference(model, x)(x), model(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rounding_in_half_precision_is_no_difference(dtype: torch.dtype) -> None:
    maps = trained().backbone.to(dtype)
    prepared = prepare_for_inference(maps, torch.rand(1, 3, 64, 64).to(dtype))
    assert isinstance(prepared.bn1, nn.Identity)
