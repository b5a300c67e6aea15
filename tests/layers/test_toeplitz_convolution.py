"""Convolution to few channels as a matrix product, against torch's own, and its two gradients."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import conv2d

from agdt_layers.toeplitz_convolution import convolve, weight_gradient
from helpers.strategies import random_tensor

# Above and below a strip's 16 positions, and a whole number of strips.
WIDTHS = (1, 2, 7, 11, 16, 17, 33)


@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 9), st.sampled_from(WIDTHS), *[st.sampled_from((1, 3, 7))] * 2
)
def test_it_is_the_convolution(inputs: int, outputs: int, height: int, width: int, rows: int, columns: int) -> None:
    x, weight = random_tensor((2, inputs, height, width), 0), random_tensor((outputs, inputs, rows, columns), 1)
    torch.testing.assert_close(convolve(x, weight), conv2d(x, weight, padding=(rows // 2, columns // 2)))


@given(st.integers(1, 3), st.integers(1, 9), st.sampled_from(WIDTHS), *[st.sampled_from((1, 3, 7))] * 2)
def test_its_gradients_are_those_of_the_convolution(
    inputs: int, height: int, width: int, rows: int, columns: int
) -> None:
    x = random_tensor((2, inputs, height, width), 0).requires_grad_()
    weight = random_tensor((1, inputs, rows, columns), 1).requires_grad_()
    d_out = random_tensor((2, 1, height, width), 2)
    out = conv2d(x, weight, padding=(rows // 2, columns // 2))
    d_x, d_weight = torch.autograd.grad(out, [x, weight], d_out)
    torch.testing.assert_close(convolve(d_out, weight.detach().transpose(0, 1).flip(2, 3)), d_x)
    torch.testing.assert_close(weight_gradient(x.detach(), d_out, rows, columns), d_weight)


@pytest.mark.parametrize("width", [5, 20])
def test_autograd_goes_through_it(width: int) -> None:
    x = random_tensor((2, 2, 4, width), 0).requires_grad_()
    weight = random_tensor((1, 2, 3, 3), 1).requires_grad_()
    assert torch.autograd.gradcheck(convolve, (x, weight))
    assert torch.autograd.gradcheck(
        lambda x, d_out: weight_gradient(x, d_out, 3, 3), (x, random_tensor((2, 1, 4, width), 2).requires_grad_())
    )


@pytest.mark.parametrize(("inputs", "rows", "columns"), [(1, 1, 1), (2, 3, 3), (2, 1, 33)])
def test_compiled_it_has_the_gradients_of_float64(inputs: int, rows: int, columns: int) -> None:
    # Of overlapping views torch 2.6 generates code for a wrong derivative, without a word.
    torch._dynamo.reset()
    compiled = torch.compile(convolve, fullgraph=True, dynamic=True)
    x = random_tensor((3, inputs, 5, 40), 0).requires_grad_()
    weight = random_tensor((1, inputs, rows, columns), 1).requires_grad_()
    d_out = random_tensor((3, 1, 5, 40), 2)
    expected = torch.autograd.grad(conv2d(x, weight, padding=(rows // 2, columns // 2)), [x, weight], d_out)
    rounded = [tensor.detach().float().requires_grad_() for tensor in (x, weight)]
    for gradient, exact in zip(torch.autograd.grad(compiled(*rounded), rounded, d_out.float()), expected, strict=True):
        scale = float(exact.abs().max())
        torch.testing.assert_close(gradient.double(), exact, rtol=0, atol=1e-5 * scale)
