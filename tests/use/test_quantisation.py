"""Quantisation to 8 bits (PT2E and weight-only) changes the output by less than 5 %."""

import copy

import pytest
import torch

from agdt_layers import build_agdtnet, fold_batch_norms, insert_attention
from helpers.subjects import Subject, proves

quantization = pytest.importorskip("torchao.quantization")
quantize_pt2e = pytest.importorskip("torchao.quantization.pt2e.quantize_pt2e")
x86 = pytest.importorskip("torchao.quantization.pt2e.quantizer.x86_inductor_quantizer")


@proves("pt2e", "AdaptiveGlobalAttention", "GlobalConvolutionalAttention", "DTFormer")
@pytest.mark.filterwarnings("ignore")
@torch.no_grad()
def test_pt2e_quantised_layer_stays_near_float32(subject: Subject) -> None:
    torch.manual_seed(0)
    layer, x = subject.build().eval(), subject.inputs()[0]
    program = torch.export.export(layer, (x,)).module()
    quantiser = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    prepared = quantize_pt2e.prepare_pt2e(program, quantiser)
    prepared(x)
    quantised = quantize_pt2e.convert_pt2e(prepared)
    assert (quantised(x) - layer(x)).norm() < 0.05 * layer(x).norm()


@pytest.mark.filterwarnings("ignore")
@torch.no_grad()
def test_network_with_int8_weights_stays_near_float32() -> None:
    torch.manual_seed(0)
    net, clips = build_agdtnet(5, num_frames=3).eval(), torch.rand(2, 3, 3, 48, 32)
    quantised = copy.deepcopy(net)
    quantization.quantize_(quantised, quantization.Int8WeightOnlyConfig())
    expected = net(clips)
    for each in (quantised, fold_batch_norms(quantised).model):
        assert (each(clips) - expected).norm() < 0.05 * expected.norm()
        assert not torch.equal(each(clips), expected)
    insert_attention(quantised.backbone, ["layer1"], example_input=clips[:, 0])
