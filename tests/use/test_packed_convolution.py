"""A packed convolution is the plain one: wherever it is used, and whatever is done to it afterwards."""

import copy
import io

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.flop_counter import FlopCounterMode

from agdt_layers import packed_convolution
from agdt_layers.packed_convolution import PackedConv2d
from helpers.strategies import random_tensor


def plain(seed: int = 0, **settings: object) -> nn.Conv2d:
    torch.manual_seed(seed)
    return nn.Conv2d(**{"in_channels": 3, "out_channels": 5, "kernel_size": 3, "padding": 1, **settings})


def images(*shape: int) -> Tensor:
    return random_tensor(shape or (2, 3, 7, 11), 1, torch.float32)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every call of the packed operator."""
    made, operator = [], packed_convolution.packed_convolution

    def counted(*args: object, **settings: object) -> Tensor:
        made.append(1)
        return operator(*args, **settings)

    monkeypatch.setattr(packed_convolution, "packed_convolution", counted)
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


@torch.no_grad()
def test_it_is_used_on_plain_calls(calls: list[int]) -> None:
    PackedConv2d.of(plain())(images())
    assert len(calls) == 1
    packed = PackedConv2d.of(plain())
    with torch.inference_mode():
        packed(images())
    assert len(calls) == 2


def test_a_weight_made_in_inference_mode_is_not_packed_since_nobody_counts_its_changes(calls: list[int]) -> None:
    with torch.inference_mode():
        ours = plain()
        torch.testing.assert_close(PackedConv2d.of(ours)(images()), ours(images()))
    assert not calls


def test_gradients_are_those_of_the_plain_one(calls: list[int]) -> None:
    ours, x = plain(), images().requires_grad_()
    packed = PackedConv2d.of(ours, relu=True).requires_grad_(False)
    (found,) = torch.autograd.grad(packed(x).square().sum(), x)
    (expected,) = torch.autograd.grad(ours(x).relu().square().sum(), x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert not calls


@torch.no_grad()
def test_what_it_is_not_made_for_takes_the_plain_way(calls: list[int]) -> None:
    packed, ours = PackedConv2d.of(plain(), relu=True), plain()
    assert packed(images(0, 3, 7, 11)).shape == (0, 5, 7, 11)
    torch.testing.assert_close(packed(images(3, 7, 11)), ours(images(3, 7, 11)).relu())
    with torch.autocast("cpu", torch.bfloat16):
        assert packed(images()).dtype is torch.bfloat16
    with FlopCounterMode(display=False) as counter:
        packed(images())
    assert counter.get_total_flops() == 2 * 2 * 5 * 7 * 11 * 3 * 9
    exported = torch.export.export(packed, (images(),)).module()
    torch.testing.assert_close(exported(images()), ours(images()).relu())
    compiled = torch.compile(packed, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(images()), ours(images()).relu())
    torch.testing.assert_close(torch.vmap(packed)(images()[None])[0], ours(images()).relu())
    with pytest.raises(RuntimeError, match="to have 3 channels"):
        packed(images(2, 4, 7, 11))
    for settings in ({"padding_mode": "reflect"}, {"padding": "same"}):
        odd = plain(**settings)
        torch.testing.assert_close(PackedConv2d.of(odd)(images()), odd(images()))
    assert not calls


@torch.no_grad()
def test_changed_weights_are_the_ones_that_count() -> None:
    other = plain(1)
    expected = other(images())
    loaded, written, replaced = (PackedConv2d.of(plain()) for _ in range(3))
    loaded.load_state_dict(other.state_dict())
    written.weight.copy_(other.weight)
    written.bias.copy_(other.bias)
    replaced.weight, replaced.bias = other.weight, other.bias
    pointed = PackedConv2d.of(plain())
    pointed.weight.data, pointed.bias.data = other.weight.data, other.bias.data
    for changed in (loaded, written, replaced, pointed):
        torch.testing.assert_close(changed(images()), expected)
    pruned = PackedConv2d.of(plain())
    prune.l1_unstructured(pruned, "weight", amount=0.5)
    torch.testing.assert_close(pruned(images()), nn.functional.conv2d(images(), pruned.weight, pruned.bias, padding=1))


@torch.no_grad()
def test_copies_files_and_other_types_keep_it_right(calls: list[int]) -> None:
    packed = PackedConv2d.of(plain(), relu=True)
    expected = plain()(images()).relu()
    file = io.BytesIO()
    torch.save(packed, file)
    file.seek(0)
    for twin in (copy.deepcopy(packed), torch.load(file, weights_only=False)):
        torch.testing.assert_close(twin(images()), expected)
    assert len(calls) == 2
    assert packed.state_dict().keys() == plain().state_dict().keys()
    double = copy.deepcopy(packed).double()
    torch.testing.assert_close(double(images().double()).float(), expected)
    assert len(calls) == 2
    torch.testing.assert_close(double.float()(images()), expected)
    assert len(calls) == 3


@torch.no_grad()
def test_without_the_operator_it_is_a_plain_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_convolution, "pack_convolution", lambda *_: None)
    torch.testing.assert_close(PackedConv2d.of(plain(), relu=True)(images()), plain()(images()).relu())
