"""fold_batch_norms: equal results, unchanged names, and a reason for each norm that is kept."""

import copy
from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from agdt_layers import (
    CBAM,
    AGDTNet,
    AGDTStream,
    FrameWise,
    ResNet18,
    build_agdtnet,
    capture_attention,
    fold_batch_norms,
    insert_attention,
)
from helpers.agreement import randomised
from helpers.hosts import IMAGES, Block, host
from helpers.strategies import end_padding, random_tensor

NOT_TRACED = "is not called, or is called inside a module that is not traced"


def trained(model: nn.Module) -> nn.Module:
    """Return the model in eval mode, with batch norms far from the identity."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
            module.running_mean.normal_(0, 0.5)
            module.running_var.uniform_(0.5, 2)
            if module.weight is not None:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.5)
    return model.eval()


def trained_net(**settings: object) -> AGDTNet:
    return trained(build_agdtnet(5, num_frames=4, **settings).double())


def images(*shape: int) -> Tensor:
    return random_tensor(shape or (2, 3, 8, 9), 0)


@torch.no_grad()
def assert_same_outputs(model: nn.Module, folded: nn.Module, *inputs: Tensor) -> None:
    expected = model(*inputs)
    torch.testing.assert_close(folded(*inputs), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("attention", "norms_of_attention"), [("aga", 0), ("cbam", 2), ("se", 0), ("none", 0)])
def test_folded_network_gives_the_same_scores(attention: str, norms_of_attention: int) -> None:
    net, clips = trained_net(attention=attention), random_tensor((2, 4, 3, 48, 64), 0)
    result = fold_batch_norms(net)
    assert type(result.model) is AGDTNet
    assert_same_outputs(net, result.model, clips)
    assert_same_outputs(net, result.model, clips, end_padding([4, 2], 4))
    assert len(result.folded) == 20
    assert list(result.left.values()) == [NOT_TRACED] * norms_of_attention


def test_folding_changes_only_the_copy_which_is_in_eval_mode() -> None:
    net = trained_net().train()
    before = copy.deepcopy(net.state_dict())
    folded = fold_batch_norms(net).model
    assert net.training
    assert all(module.training for module in net.modules())
    assert not any(module.training for module in folded.modules())
    for key, value in net.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert not any(a is b for a in net.parameters() for b in folded.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_folding_changes_results_only_by_rounding(dtype: torch.dtype) -> None:
    backbone, x = trained(ResNet18().to(dtype)), images(2, 3, 64, 64).to(dtype)
    result = fold_batch_norms(backbone)
    expected = backbone(x)
    assert {parameter.dtype for parameter in result.model.parameters()} == {dtype}
    error = (result.model(x) - expected).norm() / expected.norm()
    assert error < 16 * torch.finfo(dtype).eps


def test_folding_preserves_names_and_memory_format() -> None:
    backbone = trained(ResNet18()).to(memory_format=torch.channels_last)
    folded = fold_batch_norms(backbone).model
    assert [name for name, _ in folded.named_modules()] == [name for name, _ in backbone.named_modules()]
    convolutions = {name for name, module in backbone.named_modules() if isinstance(module, nn.Conv2d)}
    assert set(folded.state_dict()) == {f"{name}.{kind}" for name in convolutions for kind in ("weight", "bias")}
    assert folded.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)


def test_folding_in_inference_mode_gives_plain_parameters() -> None:
    net = trained_net()
    with torch.inference_mode():
        folded = fold_batch_norms(net).model
    assert not any(parameter.is_inference() for parameter in folded.parameters())


@torch.no_grad()
def test_attention_in_a_folded_net_is_captured_under_its_name() -> None:
    backbone = trained(ResNet18().double())
    insert_attention(backbone, ["layer2", "layer3.0"], example_input=images(1, 3, 64, 64))
    net = build_agdtnet(5, backbone=backbone, num_frames=4).eval()
    clips = random_tensor((2, 4, 3, 64, 64), 0)
    folded = fold_batch_norms(net)
    assert len(folded.folded) == 20
    assert_same_outputs(net, folded.model, clips)
    maps = []
    for each in (net, folded.model):
        with capture_attention(each) as found:
            each(clips)
        maps.append(found)
    name = "backbone.layer2.agdt_attention"
    torch.testing.assert_close(maps[0][name].spatial, maps[1][name].spatial, rtol=1e-8, atol=1e-8)


def test_stream_of_a_folded_network_gives_the_same_scores() -> None:
    net, clip = trained_net(causal=True), random_tensor((1, 6, 3, 48, 64), 0)
    expected = AGDTStream(net, num_frames=4).push(clip)
    found = AGDTStream(fold_batch_norms(net).model, num_frames=4).push(clip)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_model_inside_framewise_is_folded() -> None:
    model = host()
    insert_attention(model, ["sequential", "own"], example_input=IMAGES)
    net = FrameWise(randomised(model)).eval()
    result = fold_batch_norms(net)
    assert_same_outputs(net, result.model, random_tensor((2, 3, 3, 16, 24), 0))
    assert result.left == {
        "model.twice.norm": "model.twice.conv is used more than once",
        "model.unused.norm": NOT_TRACED,
    }
    assert str(result).splitlines() == [
        "7 of 9 batch norms folded",
        "left model.twice.norm: model.twice.conv is used more than once",
        f"left model.unused.norm: {NOT_TRACED}",
    ]


class Base(nn.Module):
    """A convolution and a norm. Subclasses use them in unusual ways."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> object:
        return self.norm(self.conv(x))


class UsesOutputTwice(Base):
    def forward(self, x: Tensor) -> object:
        y = self.conv(x)
        return self.norm(y) + 0.01 * y


class ReturnsOutput(Base):
    def forward(self, x: Tensor) -> object:
        y = self.conv(x)
        return torch.cat([y, self.norm(y)])


class KeepsOutput(Base):
    def forward(self, x: Tensor) -> object:
        self.kept = self.conv(x)
        return self.norm(self.kept)


class KeepsOutputInList(Base):
    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Tensor] = []

    def forward(self, x: Tensor) -> object:
        self.kept.append(self.conv(x))
        return self.norm(self.kept[-1])


class ChangesOutputInPlace(Base):
    def forward(self, x: Tensor) -> object:
        y = self.conv(x)
        y += 1
        return self.norm(y)


class ActivatesInBetween(Base):
    def forward(self, x: Tensor) -> object:
        return self.norm(torch.relu(self.conv(x)))


class ReadsWeight(Base):
    def forward(self, x: Tensor) -> object:
        return super().forward(x) + 0.01 * nn.functional.conv2d(x, self.conv.weight)


class ReadsWeightOfList(Base):
    def __init__(self) -> None:
        super().__init__()
        self.weights = [self.conv.weight]

    def forward(self, x: Tensor) -> object:
        return super().forward(x) + 0.01 * nn.functional.conv2d(x, self.weights[0])


class ReadsStatistics(Base):
    def forward(self, x: Tensor) -> object:
        return super().forward(x) + self.norm.running_mean.mean()


class CallsConvTwice(Base):
    def forward(self, x: Tensor) -> object:
        return self.norm(self.conv(x)) + self.conv(x)


class CallsNormTwice(Base):
    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> object:
        return self.norm(self.conv(x)) + self.norm(self.other(x))


class SecondName(Base):
    def __init__(self) -> None:
        super().__init__()
        self.path = nn.Sequential(self.conv, self.norm)


class SharedWeight(Base):
    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Conv2d(3, 3, 1)
        self.other.weight = self.conv.weight

    def forward(self, x: Tensor) -> object:
        return super().forward(x) + self.other(x)


class NoStatistics(Base):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3, track_running_stats=False)


class ScaledConv(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).square()


class OwnConv(Base):
    def __init__(self) -> None:
        super().__init__()
        self.conv = ScaledConv(3, 3, 1)


class AbsNorm(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).abs()


class OwnNorm(Base):
    def __init__(self) -> None:
        super().__init__()
        self.norm = AbsNorm(3)


class ActivatesFirst(nn.BatchNorm2d):
    """Has the children of timm's norm but applies them first."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.act(x))


class OtherOrder(Base):
    def __init__(self) -> None:
        super().__init__()
        self.norm = ActivatesFirst(3)


class CallsPartOfHookedModule(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block, self.conv = Block(3, 3), nn.Conv2d(3, 3, 1)
        self.block.register_forward_hook(lambda module, args, output: None)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) + self.block.norm(self.conv(x))


CHANGED = "has hooks or parametrisations, or is not an unmodified torch.nn layer"
LEFT = [
    (UsesOutputTwice, "the output of conv is also used elsewhere"),
    (ReturnsOutput, "the output of conv is also used elsewhere"),
    (KeepsOutput, "the output of conv is also used elsewhere"),
    (KeepsOutputInList, "the output of conv is also used elsewhere"),
    (ChangesOutputInPlace, "does not follow a convolution"),
    (ActivatesInBetween, "does not follow a convolution"),
    (ReadsWeight, "conv is used more than once"),
    (ReadsWeightOfList, "conv is used more than once"),
    (ReadsStatistics, "norm is used more than once"),
    (CallsConvTwice, "conv is used more than once"),
    (CallsNormTwice, "norm is used more than once"),
    (NoStatistics, "does not use running statistics"),
    (OwnConv, f"conv {CHANGED}"),
    (OwnNorm, f"norm {CHANGED}"),
    (OtherOrder, f"norm {CHANGED}"),
    (CallsPartOfHookedModule, "block.norm is used more than once"),
]


@pytest.mark.parametrize(("make", "reason"), LEFT, ids=lambda value: getattr(value, "__name__", ""))
def test_norm_that_cannot_be_folded_is_kept_with_a_reason(make: type[nn.Module], reason: str) -> None:
    model, x = trained(make().double()), images()
    result = fold_batch_norms(model)
    assert list(result.left.values()) == [reason]
    assert not result.folded
    assert_same_outputs(model, result.model, x)


def hooked(kind: str) -> Callable[[nn.Module], None]:
    hooks = {
        "forward": lambda module, args, output: output + 1,
        "forward_pre": lambda module, args: (args[0] + 1,),
        "full_backward": lambda module, d_in, d_out: None,
        "full_backward_pre": lambda module, d_out: None,
    }
    return lambda module: getattr(module, f"register_{kind}_hook")(hooks[kind]) and None


def computing(module: nn.Module) -> None:
    forward = module.forward
    module.forward = lambda x: forward(x) + 1


class Tagged(nn.Parameter):
    """A parameter of a subclass, as created by quantisation and sharding."""


def tagged(module: nn.Module) -> None:
    module.weight = Tagged(module.weight.detach())


CHANGES = [
    *map(hooked, ("forward", "forward_pre", "full_backward", "full_backward_pre")),
    lambda module: prune.random_unstructured(module, "weight", 0.5),
    lambda module: parametrizations.weight_norm(module, dim=None),
    computing,
    tagged,
]


@pytest.mark.parametrize("name", ["conv", "norm"])
@pytest.mark.parametrize("change", CHANGES)
@torch.no_grad()
def test_modified_convolution_or_norm_is_not_folded(name: str, change: Callable[[nn.Module], object]) -> None:
    model, x = trained(Base().double()), images()
    change(getattr(model, name))
    result = fold_batch_norms(model)
    assert result.left == {"norm": f"{name} {CHANGED}"}
    assert_same_outputs(model, result.model, x)


@pytest.mark.parametrize("place", ["0.conv", "0.norm"])
def test_norm_with_attention_beside_it_is_not_folded(place: str) -> None:
    model, x = trained(nn.Sequential(Block(3, 5), Block(5, 7)).double()), images()
    with pytest.warns(UserWarning, match="is lost"):
        insert_attention(model, [place], example_input=x)
    result = fold_batch_norms(model)
    assert result.left == {"0.norm": f"{place} {CHANGED}"}
    assert result.folded == ("1.norm",)
    assert_same_outputs(model, result.model, x)


def test_tracing_does_not_run_user_hooks() -> None:
    model, seen = trained(nn.Sequential(Block(3, 5), Block(5, 7)).double()), []
    model[0].register_forward_hook(lambda module, args, output: seen.append(output))
    result = fold_batch_norms(model)
    assert not seen
    assert result.left == {"0.norm": NOT_TRACED}
    assert_same_outputs(model, result.model, images())


class LooksAtStem(AGDTNet):
    """Also uses the output of the backbone's first convolution."""

    def forward(self, clips: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(clips, mask) + self.backbone.conv1(clips[:, 0]).mean()


def test_subclass_that_uses_the_backbone_differently_raises() -> None:
    net = build_agdtnet(5, num_frames=2)
    net.__class__ = LooksAtStem
    with pytest.raises(ValueError, match=r"cannot trace LooksAtStem with torch\.fx: LooksAtStem cannot be traced"):
        fold_batch_norms(net)


class ListOfItsOwn(Base):
    def __init__(self) -> None:
        super().__init__()
        self.path = [self.conv, self.norm]

    def forward(self, x: Tensor) -> object:
        for layer in self.path:
            x = layer(x)
        return x


class ByKeyword(Base):
    def forward(self, x: Tensor) -> object:
        return self.norm(input=self.conv(input=x))


class OptionalArguments(Base):
    def forward(self, x: Tensor, before: bool = False, scale: Tensor | None = None) -> object:
        y = self.conv(x)
        if before:
            return y, self.norm(y)
        return self.norm(y) if scale is None else scale * y


@pytest.mark.parametrize("make", [Base, ListOfItsOwn, ByKeyword, OptionalArguments, SecondName, SharedWeight])
def test_norm_is_folded_for_every_way_of_calling_it(make: type[nn.Module]) -> None:
    model = trained(make().double())
    result = fold_batch_norms(model)
    assert (result.folded, result.left) == (("norm",), {})
    assert_same_outputs(model, result.model, images())


def test_forward_set_on_the_instance_is_traced() -> None:
    model = trained(Base().double())
    model.forward = lambda x: x
    assert fold_batch_norms(model).left == {"norm": NOT_TRACED}


@pytest.mark.parametrize(
    ("conv", "norm", "shape"),
    [
        (nn.Conv1d(3, 5, 2), nn.BatchNorm1d(5), (2, 3, 7)),
        (nn.Conv3d(3, 5, 2), nn.BatchNorm3d(5), (2, 3, 4, 5, 6)),
        (nn.Conv2d(6, 4, 3, 2, 1, groups=2, padding_mode="reflect", bias=False), nn.BatchNorm2d(4), (2, 6, 7, 8)),
        (nn.Conv2d(3, 5, 1), nn.SyncBatchNorm(5), (2, 3, 4, 5)),
        (nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5, affine=False), (2, 3, 4, 5)),
    ],
)
def test_every_kind_of_convolution_and_batch_norm_is_folded(
    conv: nn.Module, norm: nn.Module, shape: tuple[int, ...]
) -> None:
    model = trained(nn.Sequential(copy.deepcopy(conv), copy.deepcopy(norm)).double())
    result = fold_batch_norms(model)
    assert result.folded == ("1",)
    assert_same_outputs(model, result.model, images(*shape))


class BatchNormAct2d(nn.BatchNorm2d):
    """Computes the same as timm's."""

    __module__ = "timm.layers.norm_act"

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.drop, self.act = nn.Dropout(0.5), nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.drop(super().forward(x)))


def test_timm_norm_with_activation_keeps_the_activation_and_its_keys() -> None:
    model = trained(nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 5, 1), bn=BatchNormAct2d(5))).double())
    result = fold_batch_norms(model)
    assert result.folded == ("bn",)
    assert set(result.model.state_dict()) == {"conv.weight", "conv.bias", "bn.act.weight"}
    assert_same_outputs(model, result.model, images())


class ByValue(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (ByValue(), "ByValue with torch.fx: symbolically traced variables cannot be used as inputs to control flow"),
        (CBAM(4), "CBAM with torch.fx: CBAM is a single node in torch.fx graphs and cannot be traced alone"),
        (nn.Sequential(build_agdtnet()), "Sequential with torch.fx: AGDTNet cannot be traced by torch.fx"),
    ],
)
def test_untraceable_model_raises_a_one_line_error(model: nn.Module, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^fold_batch_norms cannot trace {reason}") as caught:
        fold_batch_norms(model)
    assert "\n" not in str(caught.value)


def test_tracing_sets_no_attributes_on_the_model() -> None:
    model = trained(KeepsOutput().double())
    result = fold_batch_norms(model)
    assert not hasattr(model, "kept")
    assert not hasattr(result.model, "kept")


timm_families = {
    "resnet18": 20, "mobilenetv3_large_100": 46, "efficientnet_b0": 49, "densenet121": 59, "regnety_002": 44,
}  # fmt: skip


@pytest.mark.parametrize("name", timm_families)
@torch.no_grad()
def test_timm_hosts_are_folded_with_their_activations(name: str) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    torch.manual_seed(0)
    model, x = trained(timm.create_model(name, pretrained=False)), images(2, 3, 64, 64).float()
    result = fold_batch_norms(model)
    assert len(result.folded) == timm_families[name]
    assert set(result.left.values()) <= {"does not follow a convolution"}
    expected = model(x)
    assert (result.model(x) - expected).norm() < 4e-6 * expected.norm()


@torch.no_grad()
def test_torchvision_host_with_attention_is_folded() -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    model, x = trained(models.resnet18(weights=None)), images(2, 3, 64, 64).float()
    insert_attention(model, ["layer2", "layer3"], example_input=x)
    result = fold_batch_norms(model)
    assert len(result.folded) == 20
    expected = model(x)
    assert (result.model(x) - expected).norm() < 4e-6 * expected.norm()
