"""A packed layer is the plain one: wherever it is used, and whatever is done to it afterwards."""

import copy
import io
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.flop_counter import FlopCounterMode

from agdt_layers import packed_layers
from agdt_layers.packed_layers import PackedConv2d, PackedLayer, PackedLinear
from agdt_layers.torch_compat import COUNTS_DATA
from helpers.strategies import random_tensor


def plain(seed: int = 0, **settings: object) -> nn.Conv2d:
    torch.manual_seed(seed)
    settings = {"in_channels": 3, "out_channels": 5, "kernel_size": 3, "padding": 1, **settings}
    return nn.Conv2d(**settings).requires_grad_(False)


def images(*shape: int) -> Tensor:
    return random_tensor(shape or (2, 3, 7, 11), 1, torch.float32)


def linear(seed: int = 0, **settings: object) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(**{"in_features": 11, "out_features": 6, **settings}).requires_grad_(False)


class Case(NamedTuple):
    """A layer of one kind, how it is packed, and what the plain one gives for the same images."""

    plain: Callable[..., nn.Module]
    pack: Callable[[nn.Module], PackedLayer]
    expected: Callable[[nn.Module, Tensor], Tensor]


CASES = {
    "convolution": Case(plain, lambda layer: PackedConv2d.of(layer, relu=True), lambda layer, x: layer(x).relu()),
    "linear": Case(linear, PackedLinear.of, lambda layer, x: layer(x)),
}
each_kind = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every call of a packed operator."""
    made: list[int] = []

    def counted(operator: Callable[..., Tensor], *args: object, **settings: object) -> Tensor:
        made.append(1)
        return operator(*args, **settings)

    for name in ("packed_convolution", "packed_linear"):
        monkeypatch.setattr(packed_layers, name, partial(counted, getattr(packed_layers, name)))
    return made


@given(
    groups=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    bias=st.booleans(),
    relu=st.booleans(),
    last=st.booleans(),
)
@torch.no_grad()
def test_it_computes_what_the_plain_one_computes(
    groups: int,
    channels: tuple[int, int],
    kernel: tuple[int, int],
    stride: int,
    padding: int,
    dilation: int,
    bias: bool,
    relu: bool,
    last: bool,
) -> None:
    ours = plain(
        in_channels=groups * channels[0], out_channels=groups * channels[1], kernel_size=kernel, stride=stride,
        padding=padding, dilation=dilation, groups=groups, bias=bias,
    )  # fmt: skip
    x = images(2, groups * channels[0], 7, 11)
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    packed = PackedConv2d.of(ours, relu=relu)
    assert packed._packed is not None
    expected = copy.deepcopy(ours).double()(x.double())
    torch.testing.assert_close(packed(x), (expected.relu() if relu else expected).float(), rtol=1e-5, atol=1e-5)


@given(
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    rows=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    bias=st.booleans(),
)
@torch.no_grad()
def test_a_linear_map_computes_what_the_plain_one_computes(sizes: tuple[int, int], rows: list[int], bias: bool) -> None:
    ours = linear(in_features=sizes[0], out_features=sizes[1], bias=bias)
    x = images(*rows, sizes[0])
    packed = PackedLinear.of(ours)
    assert packed._packed is not None
    expected = copy.deepcopy(ours).double()(x.double()).float()
    torch.testing.assert_close(packed(x), expected, rtol=1e-5, atol=1e-5)
    wider = images(*rows, sizes[0] + 2)
    for strided in (x.transpose(0, -2), wider[..., 1:-1], wider[..., :1].expand(*rows, sizes[0])):
        torch.testing.assert_close(packed(strided), ours(strided), rtol=1e-5, atol=1e-5)


@each_kind
@torch.no_grad()
def test_it_is_used_on_plain_calls(case: Case, calls: list[int]) -> None:
    case.pack(case.plain())(images())
    assert len(calls) == 1
    packed = case.pack(case.plain())
    with torch.inference_mode():
        packed(images())
    assert len(calls) == 2


@each_kind
def test_a_weight_made_in_inference_mode_is_not_packed_since_nobody_counts_its_changes(
    case: Case, calls: list[int]
) -> None:
    with torch.inference_mode():
        ours = case.plain()
        torch.testing.assert_close(case.pack(ours)(images()), case.expected(ours, images()))
    assert not calls


@each_kind
def test_gradients_are_those_of_the_plain_one(case: Case, calls: list[int]) -> None:
    ours, x = case.plain(), images().requires_grad_()
    packed = case.pack(ours).requires_grad_(False)
    (found,) = torch.autograd.grad(packed(x).square().sum(), x)
    (expected,) = torch.autograd.grad(case.expected(ours, x).square().sum(), x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert not calls


@each_kind
@torch.no_grad()
def test_what_it_is_not_made_for_takes_the_plain_way(case: Case, calls: list[int]) -> None:
    ours = case.plain()
    packed, expected = case.pack(ours), case.expected(ours, images())
    assert packed(images(0, 3, 7, 11)).shape == (0, *expected.shape[1:])
    with torch.autocast("cpu", torch.bfloat16):
        assert packed(images()).dtype is torch.bfloat16
    counts = []
    for layer in (packed, ours):
        with FlopCounterMode(display=False) as counter:
            layer(images())
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0
    exported = torch.export.export(packed, (images(),)).module()
    torch.testing.assert_close(exported(images()), expected)
    compiled = torch.compile(packed, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(images()), expected)
    torch.testing.assert_close(torch.vmap(packed)(images()[None])[0], expected)
    assert not calls


@torch.no_grad()
def test_other_numbers_of_axes_take_the_plain_way(calls: list[int]) -> None:
    ours = plain()
    torch.testing.assert_close(PackedConv2d.of(ours, relu=True)(images(3, 7, 11)), ours(images(3, 7, 11)).relu())
    mapped = linear()
    torch.testing.assert_close(PackedLinear.of(mapped)(images(11)), mapped(images(11)))
    for settings in ({"padding_mode": "reflect"}, {"padding": "same"}):
        odd = plain(**settings)
        torch.testing.assert_close(PackedConv2d.of(odd, relu=False)(images()), odd(images()))
    assert not calls


@each_kind
@torch.no_grad()
def test_what_does_not_fit_is_refused_in_torch_s_own_words(case: Case) -> None:
    for layer in (case.plain(), case.pack(case.plain())):
        with pytest.raises(RuntimeError, match=r"to have 3 channels|mat1 and mat2 shapes cannot be multiplied"):
            layer(images(2, 4, 7, 12))


@each_kind
@torch.no_grad()
def test_changed_weights_are_the_ones_that_count(case: Case) -> None:
    other = case.plain(1)
    expected = case.expected(other, images())
    loaded, written, replaced, pointed = (case.pack(case.plain()) for _ in range(4))
    loaded.load_state_dict(other.state_dict())
    written.weight.copy_(other.weight)
    written.bias.copy_(other.bias)
    replaced.weight, replaced.bias = other.weight, other.bias
    pointed.weight.data, pointed.bias.data = other.weight.data, other.bias.data
    for changed in (loaded, written, replaced, pointed):
        torch.testing.assert_close(changed(images()), expected)
    pruned, same = case.pack(case.plain()), case.plain()
    for layer in (pruned, same):
        prune.l1_unstructured(layer, "weight", amount=0.5)
    torch.testing.assert_close(pruned(images()), case.expected(same, images()))


@each_kind
@pytest.mark.parametrize("change", ["transposed", "pointed to a transposed", "shared"])
@torch.no_grad()
def test_a_weight_in_the_same_memory_is_not_taken_for_the_packed_one(case: Case, change: str) -> None:
    square = {"in_channels": 3, "out_channels": 3} if case is CASES["convolution"] else {"out_features": 11}
    ours = case.plain(**square)
    packed = case.pack(copy.deepcopy(ours))
    for layer in (packed, ours):
        if change == "transposed":
            layer.weight = nn.Parameter(layer.weight.transpose(0, 1))
        elif change == "shared":
            layer.share_memory()
            # As another process would, whose changes are not counted in this one.
            layer.weight.untyped_storage().fill_(0)
        else:
            layer.weight.data = layer.weight.data.transpose(0, 1)
    torch.testing.assert_close(packed(images()), case.expected(ours, images()))


@each_kind
@torch.no_grad()
def test_no_other_weight_comes_to_lie_where_the_packed_one_was(case: Case) -> None:
    packed, ours = case.pack(case.plain()), case.plain()
    kept = []
    for number in range(50):
        # An allocator gives memory that became free again at once.
        kept.append(torch.full_like(ours.weight, number))
        packed.weight.data = ours.weight.data = kept[-1]
        torch.testing.assert_close(packed(images()), case.expected(ours, images()))


@each_kind
@pytest.mark.skipif(not COUNTS_DATA, reason="an older compiler takes no parameter that counts them")
@torch.no_grad()
def test_what_is_written_through_data_counts(case: Case, calls: list[int]) -> None:
    packed, ours = case.pack(case.plain()), case.plain()
    assert packed.weight.data.shape == ours.weight.shape
    packed(images())
    assert len(calls) == 1
    for twin in (packed, copy.deepcopy(packed), copy.deepcopy(packed).double().float()):
        twin.weight.data[0] = 2
    ours.weight.data[0] = 2
    torch.testing.assert_close(packed(images()), case.expected(ours, images()))
    torch.testing.assert_close(twin(images()), case.expected(ours, images()))
    assert len(calls) == 1


def test_a_bias_can_be_trained_alone() -> None:
    for case in CASES.values():
        ours = case.plain()
        packed = case.pack(copy.deepcopy(ours))
        for layer in (packed, ours):
            layer.bias.requires_grad_()
        packed(images()).sum().backward()
        case.expected(ours, images()).sum().backward()
        torch.testing.assert_close(packed.bias.grad, ours.bias.grad)


@each_kind
@pytest.mark.parametrize("fused", [False, True])
def test_a_weight_that_is_trained_all_the_same_counts(case: Case, fused: bool) -> None:
    packed = case.pack(case.plain()).requires_grad_()
    optimiser = torch.optim.SGD(packed.parameters(), lr=0.1, fused=fused)
    for _ in range(2):
        packed(images()).square().sum().backward()
        optimiser.step()
    ours = case.plain()
    ours.load_state_dict(packed.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(packed(images()), case.expected(ours, images()))


@pytest.mark.parametrize("setting", [{"padding": "same"}, {"padding": 2}, {"stride": 2}, {"padding_mode": "reflect"}])
@torch.no_grad()
def test_changed_settings_are_the_ones_that_count(setting: dict[str, object]) -> None:
    packed, ours = PackedConv2d.of(plain(), relu=False), plain(**setting)
    for name in (*setting, "_reversed_padding_repeated_twice"):
        setattr(packed, name, getattr(ours, name))
    torch.testing.assert_close(packed(images()), ours(images()))


@each_kind
@torch.no_grad()
def test_copies_files_and_other_types_keep_it_right(case: Case, calls: list[int]) -> None:
    packed = case.pack(case.plain())
    expected = case.expected(case.plain(), images())
    file = io.BytesIO()
    torch.save(packed, file)
    file.seek(0)
    for twin in (copy.deepcopy(packed), torch.load(file, weights_only=False)):
        torch.testing.assert_close(twin(images()), expected)
    assert len(calls) == 2
    assert packed.state_dict().keys() == case.plain().state_dict().keys()
    double = copy.deepcopy(packed).double()
    torch.testing.assert_close(double(images().double()).float(), expected)
    assert len(calls) == 2
    torch.testing.assert_close(double.float()(images()), expected)
    assert len(calls) == 3


@pytest.mark.parametrize("name", ["pack_convolution", "pack_linear"])
@torch.no_grad()
def test_without_the_operator_it_is_the_plain_layer(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_layers, name, lambda *_: None)
    for case in CASES.values():
        ours = case.plain()
        torch.testing.assert_close(case.pack(ours)(images()), case.expected(ours, images()))
