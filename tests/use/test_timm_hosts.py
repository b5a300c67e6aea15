"""Hosts from timm and torchvision. Skipped if these are not installed."""

import copy
import functools
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from agdt_layers import (
    AdaptiveGlobalAttention,
    FrameWise,
    capture_attention,
    insert_attention,
    remove_attention,
)
from helpers.readme import page_block

PAGE = "docs/add_attention.md"

timm = pytest.importorskip("timm", reason="timm is not installed")
torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed")

FAMILIES = {
    "resnet18": ["layer2", "layer3"],
    "resnext50_32x4d": ["layer2.*", "layer3"],
    "convnext_atto": ["stages.1", "stages.2"],
    "efficientnet_b0": ["blocks.2", "blocks.4"],
    "mobilenetv3_small_100": ["blocks.2", "blocks.4"],
    "regnety_002": ["s2", "s3"],
    "densenet121": ["features.denseblock1", "features.denseblock2"],
    "repvgg_a0": ["stages.1", "stages.2"],
    "dla34": ["level3", "level4"],
    "hrnet_w18_small": ["layer1", "stage2.0.branches.*"],
    "vovnet39a": ["stages.1", "stages.2"],
    "cspresnet50": ["stages.1", "stages.2"],
    "xception41": ["blocks.3", "blocks.6"],
    "mobilevit_xxs": ["stages.1", "stages.3"],
    "poolformer_s12": ["stages.1"],
    "torchvision/googlenet": ["inception3b", "inception4a"],
    "torchvision/resnet18": ["layer2", "layer3"],
    "torchvision/squeezenet1_1": ["features.4", "features.7"],
    "torchvision/shufflenet_v2_x0_5": ["stage2", "stage3"],
}


def created(name: str) -> nn.Module:
    torch.manual_seed(0)
    if name.startswith("torchvision/"):
        settings = {"init_weights": False} if "googlenet" in name else {}
        return torchvision.models.get_model(name.partition("/")[2], weights=None, **settings).eval()
    return timm.create_model(name, pretrained=False).eval()


def relative(left: Tensor, right: Tensor) -> float:
    return ((left - right).norm() / right.norm()).item()


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_insertion_into_a_host_of_every_family(name: str) -> None:
    model, images = created(name), torch.randn(4, 3, 64, 64)
    before, state = model(images), copy.deepcopy(model.state_dict())
    plan = insert_attention(model, FAMILIES[name], example_input=images[:1])
    assert [key for key in model.state_dict() if "agdt_attention" not in key] == list(state)
    report = model.load_state_dict(state, strict=False)
    assert not report.unexpected_keys
    assert all("agdt_attention" in key for key in report.missing_keys)
    with capture_attention(model) as maps:
        attended = model(images)
    assert len(maps) == len(plan.placements), "an attention did not run"
    clips = images.unflatten(0, (2, 2))
    encoded = FrameWise(model)(clips)
    # Some untrained hosts lose their input on the way; then both outputs are equal anyway.
    assert relative(encoded[:1], FrameWise(model)(clips[:1])) < 1e-4, "clips affect each other"
    assert encoded.flatten(0, 1).shape == attended.shape
    remove_attention(model)
    assert list(model.state_dict()) == list(state)
    assert torch.equal(model(images), before)


@pytest.mark.parametrize(
    ("name", "place", "size", "message"),
    [
        ("vit_tiny_patch16_224", "blocks.3", 224, r"'blocks.3' is \(1, 197, 192\).* maps: 'patch_embed.proj'\."),
        ("levit_128s", "stages.1.blocks.0", 224, r"expected a feature map, .* 'stem', "),
        ("hrnet_w18_small", "stage2", 64, r"The output of 'stage2' is list; .* Nearest feature maps: 'stage2.0."),
    ],
)
def test_place_without_a_feature_map_raises_and_the_named_places_work(
    name: str, place: str, size: int, message: str
) -> None:
    images = torch.zeros(1, 3, size, size)
    with pytest.raises(ValueError, match=message) as refused:
        insert_attention(created(name), [place], example_input=images)
    for near in re.findall(r"'([^']+)'", str(refused.value).partition("Nearest feature maps: ")[2]):
        assert insert_attention(created(name), [near], example_input=images, dry_run=True).placements


@pytest.mark.parametrize(
    ("place", "size", "channels", "rows"),
    [("layers.0", 384, 96, 96), ("layers.1", 384, 192, 48), ("layers.1.blocks", 224, 192, 28)],
)
def test_swin_maps_are_detected_as_channels_last(place: str, size: int, channels: int, rows: int) -> None:
    model = timm.create_model("swin_tiny_patch4_window7_224", img_size=size)
    (found,) = insert_attention(model, [place], example_input=torch.zeros(1, 3, size, size), dry_run=True).placements
    assert (found.channels_last, found.channels, found.sizes) == (True, channels, ((rows, rows),))


@torch.no_grad()
def test_attention_in_a_swin_is_applied_to_the_permuted_map() -> None:
    model, images = created("swin_tiny_patch4_window7_224"), torch.rand(2, 3, 224, 224)
    bare = copy.deepcopy(model)
    insert_attention(model, ["layers.1"], example_input=images[:1])
    layer = model.layers[1].agdt_attention.layer
    bare.layers[1].register_forward_hook(
        lambda module, args, output: layer(output.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    )
    assert torch.equal(model(images), bare(images))


@pytest.mark.filterwarnings("ignore:Attention after:UserWarning")
@pytest.mark.parametrize("converted", [False, True])
def test_timm_sync_batch_norm_conversion_drops_attention_unless_done_first(converted: bool) -> None:
    model, bare, images = created("efficientnet_b0"), created("efficientnet_b0"), torch.randn(2, 3, 64, 64)
    if converted:
        model = timm.layers.convert_sync_batchnorm(model)
    insert_attention(model, ["bn1"], example_input=images)
    if not converted:
        model = timm.layers.convert_sync_batchnorm(model)
    assert any("agdt_attention" in key for key in model.state_dict()), "the keys were lost"
    with capture_attention(model) as maps, torch.no_grad():
        difference = relative(model(images), bare(images))
    assert bool(maps) is converted
    assert converted or difference < 1e-5


@pytest.mark.parametrize(("name", "places"), [("resnet18", ["layer2", "layer3.0"]), ("regnety_002", ["s2", "s3.b1"])])
def test_checkpointing_enabled_after_insertion_changes_no_gradient(name: str, places: list[str]) -> None:
    model, images = created(name), torch.randn(2, 3, 64, 64)
    insert_attention(model, places, example_input=images)
    results = []
    for checkpointing in (False, True):
        model.set_grad_checkpointing(checkpointing)
        model.zero_grad()
        output = model(images)
        output.square().mean().backward()
        results.append([output, *(p.grad for p in model.parameters())])
    for plain, recomputed in zip(*results, strict=True):
        torch.testing.assert_close(recomputed, plain)


def test_insertion_after_a_checkpointed_timm_stage_raises() -> None:
    model = created("resnet18")
    model.set_grad_checkpointing()
    with pytest.raises(ValueError, match=r"checkpointing\. Insert attention before tracing or checkpointing"):
        insert_attention(model, ["layer2"], example_input=torch.zeros(1, 3, 64, 64))


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet18", "swin_t"])
def test_torchvision_feature_extractor_keeps_the_attention(name: str) -> None:
    place = "layer2" if name == "resnet18" else "features.1"
    model, images = created(f"torchvision/{name}"), torch.randn(2, 3, 64, 64)
    insert_attention(model, [place], example_input=images)
    expected = []
    model.get_submodule(place).register_forward_hook(lambda module, args, output: expected.append(output))
    extractor = torchvision.models.feature_extraction.create_feature_extractor(model, [place])
    expected.clear()
    model(images)
    assert torch.equal(extractor(images)[place], expected[0])


def test_attention_as_attn_layer_of_timm_resnets() -> None:
    layer = functools.partial(AdaptiveGlobalAttention, residual_scale=True)
    torch.manual_seed(0)
    model = timm.create_model("resnet18", block_args={"attn_layer": layer}, zero_init_last=False).eval()
    layers = [module for module in model.modules() if isinstance(module, AdaptiveGlobalAttention)]
    assert [module.channels for module in layers] == [64, 64, 128, 128, 256, 256, 512, 512]
    bare = timm.create_model("resnet18").eval()
    bare.load_state_dict({key: value for key, value in model.state_dict().items() if ".se." not in key})
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(model(images), bare(images)), "timm's initialisation changed the residual scale of 0"
    model(images).sum().backward()
    assert all(module.residual_scale.grad != 0 for module in layers)


def test_attn_layer_runs_inside_framewise() -> None:
    net = FrameWise(timm.create_model("resnet18", block_args={"attn_layer": AdaptiveGlobalAttention})).eval()
    assert net(torch.randn(1, 3, 3, 64, 64)).shape == (1, 3, 1000)


def test_documented_attention_factories_build_timm_models() -> None:
    made_here: dict[str, nn.Module] = {}
    exec(page_block(PAGE, "factory: timm"), made_here)
    for name, expected in (("resnet", 8), ("efficientnet", 16)):
        net = made_here[name].eval()
        assert sum(isinstance(module, AdaptiveGlobalAttention) for module in net.modules()) == expected
        assert FrameWise(net)(torch.randn(1, 2, 3, 64, 64)).isfinite().all()


def test_fifteen_lines_print_and_export_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    script = page_block(PAGE, "script: fifteen lines")
    assert sum(bool(line.strip()) for line in script.splitlines()) <= 15
    monkeypatch.chdir(tmp_path)
    made_here: dict[str, nn.Module] = {}
    exec(script, made_here)
    net = made_here["net"]
    assert capsys.readouterr().out.startswith(page_block(PAGE, "printed: fifteen lines"))
    assert Path("map.png").is_file()
    session = onnxruntime.InferenceSession("net.onnx")
    for shape in ((1, 1, 3, 112, 112), (3, 5, 3, 96, 128), (1, 2, 3, 224, 192)):
        clips = torch.randn(shape)
        (scores,) = session.run(None, {session.get_inputs()[0].name: clips.numpy()})
        with torch.no_grad():
            assert relative(torch.from_numpy(scores), net(clips)) < 1e-4
