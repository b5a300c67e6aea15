"""Former-DFER: its encoder layer against the formula, and the inputs of its two transformers."""

import math

import pytest
import torch
from torch import Tensor

from dfer.models.former_dfer import EncoderLayer, FormerDFER, SFormer, TFormer


def norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight + bias


def literal(layer: EncoderLayer, x: Tensor, heads: int, width: int) -> Tensor:
    """The layer head by head and query by query."""
    p = dict(layer.named_parameters())
    y = norm(x, p["attention_norm.weight"], p["attention_norm.bias"])
    q, k, v = (y @ w.T for w in p["qkv.weight"].chunk(3))
    attended = torch.zeros_like(q)
    for h in range(heads):
        part = slice(h * width, (h + 1) * width)
        for i in range(x.shape[1]):
            scores = (k[:, :, part] * q[:, i : i + 1, part]).sum(-1) / math.sqrt(width)
            attended[:, i, part] = (scores.softmax(-1)[:, :, None] * v[:, :, part]).sum(1)
    x = x + attended @ p["project.weight"].T + p["project.bias"]
    y = norm(x, p["mlp.0.weight"], p["mlp.0.bias"]) @ p["mlp.1.weight"].T + p["mlp.1.bias"]
    y = 0.5 * y * (1 + torch.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
    return x + y @ p["mlp.3.weight"].T + p["mlp.3.bias"]


def test_encoder_layer_matches_its_formula() -> None:
    layer = EncoderLayer(7, heads=3, head_channels=5, mlp_channels=11).double()
    for p in layer.parameters():
        torch.nn.init.normal_(p)
    x = torch.randn(2, 4, 7, dtype=torch.float64, requires_grad=True)
    expected, got = literal(layer, x, 3, 5), layer(x)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
    weights = torch.randn_like(got)
    leaves = [x, *layer.parameters()]
    pairs = zip(
        torch.autograd.grad((got * weights).sum(), leaves),
        torch.autograd.grad((expected * weights).sum(), leaves),
        strict=True,
    )
    for fast, slow in pairs:
        torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-9)


def test_spatial_transformer_depends_on_one_map_and_its_positions() -> None:
    s_former = SFormer(6)
    x = torch.randn(2, 256, 2, 3, requires_grad=True)
    y = s_former(x)
    assert y.shape == x.shape
    (gradient,) = torch.autograd.grad(y[0, :, 0, 0].square().sum(), x)
    assert gradient[0].flatten(1).any(dim=0).all(), "a position looks at all of its map"
    assert not gradient[1].any()
    mirrored = s_former(x.flip(3)).flip(3)
    assert not torch.allclose(mirrored, y, atol=1e-2)
    with torch.no_grad():
        s_former.position.zero_()
    torch.testing.assert_close(s_former(x.flip(3)).flip(3), s_former(x), rtol=1e-4, atol=1e-5)


def test_spatial_transformer_adds_position_embeddings_in_map_order() -> None:
    s_former = SFormer(6)
    with torch.no_grad():
        for p in (s_former.layer.project.weight, s_former.layer.project.bias, *s_former.layer.mlp[3].parameters()):
            p.zero_()
    x = torch.randn(2, 256, 2, 3)
    torch.testing.assert_close(s_former(x), x + s_former.position.transpose(1, 2).unflatten(2, (2, 3)))


def test_temporal_transformer_depends_on_order_only_by_positions() -> None:
    t_former = TFormer(5)
    x = torch.randn(2, 5, 512)
    assert not torch.allclose(t_former(x.flip(1)), t_former(x), atol=1e-2)
    with torch.no_grad():
        t_former.position.zero_()
    torch.testing.assert_close(t_former(x.flip(1)), t_former(x), rtol=1e-4, atol=1e-5)


def test_transformers_have_the_published_width_and_depth() -> None:
    with torch.device("meta"):
        net = FormerDFER(7)
    assert net.s_former.position.shape == (1, 49, 256)
    assert net.t_former.position.shape == (1, 17, 512)
    assert len(net.t_former.layers) == 3
    widths = {layer.mlp[1].out_features for layer in net.t_former.layers}
    assert (net.s_former.layer.mlp[1].out_features, widths) == (512, {1024})
    assert (net.s_former.layer.heads, net.s_former.layer.qkv.out_features) == (8, 3 * 8 * 32)
    assert (net.t_former.layers[0].heads, net.t_former.layers[0].qkv.out_features) == (8, 3 * 8 * 64)


def test_spatial_transformer_is_between_stages_three_and_four() -> None:
    seen = []
    with torch.device("meta"), torch.no_grad():
        net = FormerDFER(7, size=97)
        for name, part in (("s_former", net.s_former), *net.backbone.stages()):
            part.register_forward_hook(
                lambda _, x, y, name=name: seen.append((name, tuple(x[0].shape), tuple(y.shape)))
            )
        net(torch.empty(1, 16, 3, 97, 97))
    assert seen[2:] == [
        ("layer3", (16, 128, 13, 13), (16, 256, 7, 7)),
        ("s_former", (16, 256, 7, 7), (16, 256, 7, 7)),
        ("layer4", (16, 256, 7, 7), (16, 512, 4, 4)),
    ]


@pytest.mark.parametrize("shape", [(2, 8, 3, 112, 112), (2, 16, 3, 96, 96)])
def test_other_length_or_size_is_refused(shape: tuple[int, ...]) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=r"FormerDFER expects clips \(B, 16, 3, 112, 112\)"):
        FormerDFER(7)(torch.empty(shape))
