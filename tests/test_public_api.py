"""The public interface: names, state-dict keys, the type marker, the version and a light import."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import agdt_layers
from agdt_layers import (
    CBAM,
    AdaptiveGlobalAttention,
    DifferentialTemporalEnhancer,
    DTFormer,
    SqueezeExcitation,
    build_agdtnet,
)

PACKAGE = Path(agdt_layers.__file__).parent

PUBLIC_NAMES = {
    "AGDTNet",
    "AGDTStream",
    "AdaptiveChannelAttention",
    "AdaptiveGlobalAttention",
    "AttentionWeights",
    "CBAM",
    "DTFormer",
    "DifferentialTemporalEnhancer",
    "FoldedModel",
    "FrameWise",
    "GlobalConvolutionalAttention",
    "InsertionPlan",
    "Placement",
    "ResNet18",
    "SqueezeExcitation",
    "StreamStep",
    "TemporalMean",
    "WeightsReport",
    "build_agdtnet",
    "capture_attention",
    "fold_batch_norms",
    "insert_attention",
    "load_weights",
    "remove_attention",
}


def shapes(layer: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in layer.state_dict().items()}


def test_public_names() -> None:
    assert set(agdt_layers.__all__) == PUBLIC_NAMES
    for name in PUBLIC_NAMES:
        assert hasattr(agdt_layers, name), name


ATTENTION_KEYS = {
    "channel.local.weight": (1, 1, 5),
    "channel.fc.weight": (128, 128),
    "channel.fc.bias": (128,),
    "channel.gate.weight": (1, 2, 5),
    "channel.gate.bias": (1,),
    "spatial.conv.weight": (1, 2, 7, 7),
    "context.horizontal.weight": (128, 1, 1, 7),
    "context.vertical.weight": (128, 1, 7, 1),
    "context.bias": (128,),
}


def test_state_dict_keys_of_attention() -> None:
    assert shapes(AdaptiveGlobalAttention(128)) == ATTENTION_KEYS
    dense = ATTENTION_KEYS | {
        "context.horizontal.weight": (128, 128, 1, 7),
        "context.vertical.weight": (128, 128, 7, 1),
    }
    assert shapes(AdaptiveGlobalAttention(128, context_groups=1)) == dense
    ungated = {name: shape for name, shape in ATTENTION_KEYS.items() if not name.startswith("channel.gate")}
    assert shapes(AdaptiveGlobalAttention(128, gate=False)) == ungated


ENHANCER_KEYS = {"alpha_forward": (1,), "alpha_backward": (1,), "conv.weight": (8, 1, 3), "conv.bias": (8,)}


def test_state_dict_keys_of_the_enhancer() -> None:
    assert shapes(DifferentialTemporalEnhancer(8)) == ENHANCER_KEYS


def test_state_dict_keys_of_dtformer() -> None:
    block = {
        "attention_norm.weight": (8,),
        "attention_norm.bias": (8,),
        "query_key_value.weight": (24, 8),
        "query_key_value.bias": (24,),
        "projection.weight": (8, 8),
        "projection.bias": (8,),
        "mlp_norm.weight": (8,),
        "mlp_norm.bias": (8,),
        "mlp.0.weight": (20, 8),
        "mlp.0.bias": (20,),
        "mlp.2.weight": (8, 20),
        "mlp.2.bias": (8,),
    }
    expected = {"class_token": (1, 1, 8), "position": (1, 6, 8)}
    expected |= {f"enhancer.{name}": shape for name, shape in ENHANCER_KEYS.items()}
    expected |= {f"layers.{i}.{name}": shape for i in range(2) for name, shape in block.items()}
    assert shapes(DTFormer(8, depth=2, heads=2, mlp_channels=20, max_frames=5)) == expected


def test_state_dict_keys_of_se_and_cbam() -> None:
    mlp = {"mlp.0.weight": (4, 64), "mlp.0.bias": (4,), "mlp.2.weight": (64, 4), "mlp.2.bias": (64,)}
    norm = {f"spatial.1.{name}": (1,) for name in ("weight", "bias", "running_mean", "running_var")}
    assert shapes(SqueezeExcitation(64)) == mlp
    assert shapes(CBAM(64)) == mlp | norm | {
        "spatial.0.weight": (1, 2, 7, 7),
        "spatial.1.num_batches_tracked": (),
    }


def test_state_dict_keys_of_the_network() -> None:
    net = build_agdtnet(3, device="meta")
    keys = shapes(net)
    assert {name.split(".")[0] for name in keys} == {
        "backbone",
        "frame_vectors",
        "temporal",
        "classifier",
    }
    second = "backbone.attention.layer2."
    under = {name.removeprefix(second): shape for name, shape in keys.items() if name.startswith(second)}
    assert {name: shape for name, shape in under.items() if name in ATTENTION_KEYS} == ATTENTION_KEYS
    assert keys["backbone.attention.layer3.context.bias"] == (256,)
    assert keys["frame_vectors.conv.weight"] == (512, 1, 3, 3)
    assert keys["temporal.position"] == (1, 17, 512)
    assert keys["classifier.weight"] == (3, 512)


def test_no_parameter_has_five_dimensions() -> None:
    for name, parameter in build_agdtnet(device="meta").named_parameters():
        assert parameter.ndim <= 4, name


def test_package_has_a_py_typed_marker() -> None:
    assert (PACKAGE / "py.typed").is_file()


def test_version_is_defined_once() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", agdt_layers.__version__)
    written = [path.name for path in PACKAGE.rglob("*.py") if agdt_layers.__version__ in path.read_text()]
    assert written == ["__init__.py"]
    pyproject = PACKAGE.parents[1] / "pyproject.toml"
    if pyproject.is_file():
        assert f'version = "{agdt_layers.__version__}"' not in pyproject.read_text()


def test_installed_version_equals_the_source_version() -> None:
    try:
        installed = importlib.metadata.version("agdt-layers")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("agdt-layers is on the path but not installed")
    assert installed == agdt_layers.__version__


LIGHT_IMPORT = """
import sys
import torch, einops
before = {name.partition(".")[0] for name in sys.modules}
import agdt_layers
after = {name.partition(".")[0] for name in sys.modules}
print(*sorted(after - before - set(sys.stdlib_module_names)))
# With CUDA builds of torch it imports triton, which takes a quarter of a second.
assert "torch.utils.flop_counter" not in sys.modules
"""


def test_import_loads_only_torch_einops_and_the_standard_library() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT_IMPORT],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(PACKAGE.parent), "PATH": ""},
    )
    assert done.stdout.split() == ["agdt_layers"]
