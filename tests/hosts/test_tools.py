"""Tools that replace or change layers of a host: attention stays, or a warning or error explains what to do.

If a message gives advice, the test follows it and checks that it works.
"""

import copy
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.fusion import fuse_conv_bn_eval

from agdt_layers import AdaptiveGlobalAttention, insert_attention, remove_attention
from helpers.hosts import IMAGES, Host, NHWCHost, host


def to_sync_batch_norm(model: Host) -> Host:
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)


def fused(model: Host) -> Host:
    model.own.conv = fuse_conv_bn_eval(model.own.conv, model.own.norm)
    model.own.norm = nn.Identity()
    return model


TOOLS = pytest.mark.parametrize("tool", [to_sync_batch_norm, fused])


def attention_in(model: nn.Module) -> AdaptiveGlobalAttention:
    (layer,) = (module for module in model.modules() if isinstance(module, AdaptiveGlobalAttention))
    return layer


def attended_norm(model: Host, x: Tensor) -> Tensor:
    """Run Host's forward pass with its attention called after the norm of ``own``."""
    bare = copy.deepcopy(model)
    layer = attention_in(bare)
    remove_attention(bare)
    x = bare.own.norm(bare.own.conv(bare.sequential(x)))
    x = bare.dense(bare.walker(torch.relu(layer(x))))
    return bare.head(bare.twice(nn.functional.max_pool2d(bare.twice(x), 2)).mean(dim=(2, 3)))


@pytest.mark.parametrize("name", ["own.norm", "sequential.0.conv"])
def test_insertion_after_single_layers_warns_once(name: str) -> None:
    for names, listed in (
        ([name], f"{name!r}"),
        ([name, "walker.b1.norm", "walker.b2"], f"{name!r}, 'walker.b1.norm'"),
    ):
        with pytest.warns(UserWarning, match="is lost") as caught:
            plan = insert_attention(host(), names, example_input=IMAGES)
        (warning,) = caught
        assert (str(warning.message),) == plan.warnings
        assert warning.filename == __file__, "the warning does not point to the caller"
        assert str(warning.message).startswith(f"Attention after {listed} is lost")


def test_norm_that_contains_its_activation_counts_as_a_single_layer() -> None:
    class NormAct(nn.BatchNorm2d):
        """Like timm's BatchNormAct2d, which timm's SyncBatchNorm conversion replaces."""

        def __init__(self, channels: int) -> None:
            super().__init__(channels)
            self.act = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.act(super().forward(x))

    with pytest.warns(UserWarning, match=r"Attention after '1' is lost, .* if a tool replaces the layer,"):
        insert_attention(nn.Sequential(nn.Conv2d(3, 4, 3), NormAct(4)), ["1"], example_input=IMAGES)


def test_blocks_do_not_warn_and_a_warning_raised_as_error_changes_nothing() -> None:
    model = host()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert insert_attention(host(), ["own", "walker.b1"], example_input=IMAGES).warnings == ()
        with pytest.raises(UserWarning, match=r"Attention after 'own.norm' is lost"):
            insert_attention(model, ["own", "own.norm"], example_input=IMAGES)
    assert list(model.state_dict()) == list(host().state_dict())


@TOOLS
@pytest.mark.filterwarnings("ignore:Attention after:UserWarning")
def test_tool_that_replaces_a_layer_drops_its_attention(tool: Callable[[Host], Host]) -> None:
    model = host()
    insert_attention(model, ["own.norm"], example_input=IMAGES)
    torch.testing.assert_close(tool(model)(IMAGES), host()(IMAGES))


@TOOLS
@pytest.mark.filterwarnings("ignore:Attention after:UserWarning")
def test_attention_inserted_after_the_tool_works(tool: Callable[[Host], Host]) -> None:
    model = tool(host())
    insert_attention(model, ["own.norm"], example_input=IMAGES)
    torch.testing.assert_close(model(IMAGES), attended_norm(model, IMAGES))
    assert not torch.allclose(model(IMAGES), host()(IMAGES))


@TOOLS
def test_attention_after_the_block_survives_the_tool(tool: Callable[[Host], Host]) -> None:
    model = host()
    insert_attention(model, ["own"], example_input=IMAGES)
    expected = model(IMAGES)
    assert not torch.allclose(expected, host()(IMAGES))
    torch.testing.assert_close(tool(model)(IMAGES), expected)


@pytest.mark.filterwarnings("ignore:Attention after:UserWarning", "ignore::DeprecationWarning")
def test_hook_moved_to_another_module_raises() -> None:
    model = NHWCHost().eval()
    insert_attention(model, ["mixing.mlp"], example_input=IMAGES)
    quantized = torch.ao.quantization.quantize_dynamic(model, {nn.Linear})
    with pytest.raises(RuntimeError, match=r"attention inserted after this Linear is missing, because a tool"):
        quantized(IMAGES)


@pytest.mark.parametrize(
    "change",
    [
        lambda conv: parametrizations.weight_norm(conv),
        lambda conv: parametrizations.spectral_norm(conv),
        lambda conv: prune.l1_unstructured(conv, "weight", 0.0),
        lambda conv: conv.to(memory_format=torch.channels_last),
    ],
    ids=["weight norm", "spectral norm", "prune", "channels_last"],
)
@pytest.mark.filterwarnings("ignore:Attention after:UserWarning")
def test_layer_changed_in_place_keeps_its_attention(change: Callable[[nn.Module], object]) -> None:
    model, bare = host(), host()
    insert_attention(model, ["own.conv"], example_input=IMAGES)
    for net in (model, bare):
        torch.manual_seed(1)
        change(net.own.conv)
    layer = attention_in(model)
    bare.own.conv.register_forward_hook(lambda module, args, output: layer(output))
    assert torch.equal(model(IMAGES), bare(IMAGES))
