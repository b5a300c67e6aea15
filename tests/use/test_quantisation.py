"""PT2E quantisation of an exported layer: 8-bit weights and activations, nearly the same numbers."""

import pytest
import torch

from helpers.subjects import Subject, proves

quantize_pt2e = pytest.importorskip("torchao.quantization.pt2e.quantize_pt2e")
x86 = pytest.importorskip("torchao.quantization.pt2e.quantizer.x86_inductor_quantizer")


@proves("pt2e", "AdaptiveGlobalAttention", "GlobalConvolutionalAttention", "DTFormer")
@pytest.mark.filterwarnings("ignore")
@torch.no_grad()
def test_a_quantised_program_gives_nearly_the_same(subject: Subject) -> None:
    torch.manual_seed(0)
    layer, x = subject.build().eval(), subject.inputs()[0]
    program = torch.export.export(layer, (x,)).module()
    quantiser = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    prepared = quantize_pt2e.prepare_pt2e(program, quantiser)
    prepared(x)
    quantised = quantize_pt2e.convert_pt2e(prepared)
    assert (quantised(x) - layer(x)).norm() < 0.05 * layer(x).norm()
