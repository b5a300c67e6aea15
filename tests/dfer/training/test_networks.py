"""Every model by its name: trained by train.py, loaded again; which flags, clips and pretrained files it takes."""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import train
from agdt_layers import AGDTStream, ResNet18
from dfer.data.parts import RunData
from dfer.errors import BadInput
from dfer.evaluation import results
from dfer.models import AGDTNET_ROWS, COMPARISON_SYSTEMS, MODEL_NAMES, build_model, c3d, vgg_lstm
from dfer.training import networks, run
from dfer.training.command_line import parse
from dfer.training.device import to_channels_last
from dfer.training.networks import build_net, check_model, load_pretrained
from dfer.training.settings import NetSettings
from dfer.training.trained_file import load_trained
from helpers.prepared import EvaluationClips
from helpers.tiny_runs import NAMES, coloured_clips, tiny

FRAMES, SIZE = 3, 32
# The three depths of VGG share their code, and the rows of AGDTNet theirs.
TRAINED = ("c3d", "i3d", "vgg11-lstm", "resnet18-lstm-dfew", "resnet18-lstm", "former-dfer", "se+dtformer", "agdtnet")


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """Removed afterwards: the checkpoints of real models are large."""
    yield tmp_path / "out"
    shutil.rmtree(tmp_path)


@pytest.fixture
def test_clips(monkeypatch: pytest.MonkeyPatch) -> EvaluationClips:
    """Three clips a part, and narrow layers where they only cost time; what is drawn is tested elsewhere."""
    parts = [coloured_clips([0, 1, 2], seed, frames=FRAMES, size=SIZE) for seed in (1, 2, 3)]
    monkeypatch.setattr(run, "load_data", lambda settings: RunData(NAMES, *parts, augmented=True))
    monkeypatch.setattr(vgg_lstm.VGG, "out_channels", 8)
    monkeypatch.setattr(c3d, "_STAGES", ((4,), (4,), (4, 4), (4, 4), (4, 4)))
    for name in ("draw_confusion", "draw_curves", "_draw_attention_of"):
        monkeypatch.setattr(results, name, lambda *_: None)
    return EvaluationClips(parts[2])


def flags(out: Path, *more: str) -> list[str]:
    sizes = f"--frames {FRAMES} --size {SIZE} --epochs 1 --batch-size 3 --workers 0 --recipe dfew"
    return [*sizes.split(), "--out", str(out), *more]


@pytest.mark.parametrize("name", TRAINED)
def test_every_model_trains_and_loads(name: str, test_clips: EvaluationClips, out: Path) -> None:
    assert train.main(flags(out, "--model", name)) == 0
    net, facts = load_trained(out / "weights.safetensors")
    assert facts.net["model"] == name
    confusion = torch.zeros(3, 3, dtype=torch.int64)
    with torch.no_grad():
        for clip, label in (test_clips[i] for i in range(3)):
            confusion[label, net(clip[None]).argmax()] += 1
    assert json.loads((out / "metrics.json").read_text())["confusion"] == confusion.tolist()


def test_causal_net_is_recorded_and_streams(test_clips: EvaluationClips, out: Path) -> None:
    assert train.main(flags(out, "--causal")) == 0
    net, facts = load_trained(out / "weights.safetensors")
    assert facts.net["causal"] is True
    # A gate that matters: after three clips of training AGA hardly does.
    with torch.no_grad():
        for layer in net.get_submodule("backbone.attention").children():
            for name, parameter in layer.named_parameters():
                if name.startswith("context."):
                    parameter.mul_(100)
        clip = test_clips[0][0][None]
        stream = AGDTStream(net, num_frames=facts.frames)
        for length in range(1, FRAMES + 1):
            scores = stream.push(clip[:, length - 1])
            torch.testing.assert_close(scores, net(clip[:, :length]), rtol=1e-4, atol=1e-5)
        offline = build_net(NetSettings(dropout=0.0), 3, FRAMES, SIZE).eval()
        offline.load_state_dict(net.state_dict())
        assert (offline(clip) - scores).abs().max() > 1e-4, "a net that is not causal answers otherwise"


@pytest.mark.parametrize("name", AGDTNET_ROWS)
def test_rows_of_agdtnet_are_built_by_name(name: str) -> None:
    settings = NetSettings(model=name, dropout=0.25, causal=True)
    assert (settings.attention, settings.temporal) == AGDTNET_ROWS[name]
    with torch.device("meta"):
        built, expected = build_net(settings, 3, FRAMES, SIZE), build_model(name, 3, FRAMES)
    assert {k: v.shape for k, v in built.state_dict().items()} == {k: v.shape for k, v in expected.state_dict().items()}
    assert 0.25 in {module.p for module in built.modules() if isinstance(module, nn.Dropout)}
    attention = built.get_submodule("backbone.attention")
    if "aga" in settings.attention:
        assert {layer.context_window for layer in attention.children()} == {FRAMES}


def test_agdtnet_accepts_every_attention_and_temporal_encoder() -> None:
    with torch.device("meta"):
        built = build_net(NetSettings(attention="cbam", temporal="mean"), 3, FRAMES, SIZE)
        expected = build_model("agdtnet", 3, FRAMES, attention="cbam", temporal="mean")
    assert built.state_dict().keys() == expected.state_dict().keys()
    assert built.state_dict().keys() != build_model("agdtnet", 3, FRAMES).state_dict().keys()


@pytest.mark.parametrize("name", COMPARISON_SYSTEMS)
@pytest.mark.parametrize("given", ["--attention se", "--temporal mean", "--dropout 0.1", "--causal"])
def test_published_systems_refuse_settings_of_agdtnet(name: str, given: str) -> None:
    with pytest.raises(BadInput, match=rf"^{given.split()[0]}: {name} has no such setting; leave it out$"):
        parse(["--model", name, *given.split()], prog="", description="")
    net = parse(["--model", name], prog="", description="").net
    assert (net.attention, net.temporal, net.dropout, net.causal) == (None, None, None, False)


def test_rows_refuse_contradicting_settings() -> None:
    def net(line: str) -> NetSettings:
        return parse(line.split(), prog="", description="").net

    with pytest.raises(BadInput, match=r"^--attention aga: se\+dtformer has se; leave it out, or give agdtnet$"):
        net("--model se+dtformer --attention aga")
    with pytest.raises(BadInput, match=r"^--temporal mean: tformer has tformer"):
        net("--model tformer --temporal mean")
    assert net("--model se+dtformer --dropout 0.3 --causal").dropout == 0.3
    assert net("").attention == "aga"


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_every_model_accepts_the_papers_clips(name: str) -> None:
    check_model(NetSettings(model=name), frames=16, size=112)


def test_unsuitable_clips_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--model", "vgg11-lstm", "--size", "16", "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("train.py: --model vgg11-lstm --frames 4 --size 16: VGGLSTM expects clips")
    assert printed.endswith("Frames need at least 32 x 32 pixels.\n")
    assert not (tmp_path / "out").exists()
    # One value a channel has no variance.
    check_model(NetSettings(), frames=1, size=32, batch=2)
    with pytest.raises(BadInput, match="the smallest batch has size 1: give another --batch-size"):
        check_model(NetSettings(), frames=1, size=32, batch=1)


@pytest.mark.parametrize("model", [*MODEL_NAMES, "agdtnet-narrow", "wider+dtformer"])
@pytest.mark.parametrize(("frames", "size"), [(1, 16), (2, 16), (1, 32)])
def test_one_clip_batches_are_refused_where_batch_norm_fails(model: str, frames: int, size: int) -> None:
    """What the check lets pass also runs."""
    settings = NetSettings(model=model)
    net = build_net(settings, 2, frames, size).train()
    try:
        net(torch.rand(1, frames, 3, size, size))
    except ValueError:
        with pytest.raises(BadInput, match=rf"--model {re.escape(model)} --frames {frames} --size {size}: .*batch"):
            check_model(settings, frames=frames, size=size, batch=1)
    else:
        check_model(settings, frames=frames, size=size, batch=1)


@pytest.fixture(scope="module")
def resnet18_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet18 with a classifier of its own, as others save it, named as torchvision names its files."""
    torch.manual_seed(1)
    state = ResNet18().state_dict() | {"fc.weight": torch.randn(1000, 512), "fc.bias": torch.randn(1000)}
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(state, path)
    return path.rename(path.with_name(f"resnet18-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"))


@pytest.mark.parametrize("name", ["resnet18-lstm", "former-dfer", "tformer", "agdtnet"])
def test_pretrained_resnet18_is_loaded_into_models_with_one(name: str, resnet18_file: Path) -> None:
    settings = NetSettings(model=name, pretrained=resnet18_file)
    net = build_net(settings, 3, FRAMES, SIZE)
    report = load_pretrained(net, settings)
    saved = torch.load(resnet18_file, weights_only=True)
    assert report.target == "backbone"
    assert len(report.matched) == 120
    assert report.missing == report.new_attention
    loaded = net.get_submodule("backbone").state_dict()
    assert all(torch.equal(loaded[key], saved[key]) for key in report.matched)


@pytest.mark.parametrize("name", ["c3d", "i3d", "resnet18-lstm-dfew"])
def test_model_without_a_resnet18_refuses_its_weights(name: str, resnet18_file: Path) -> None:
    settings = NetSettings(model=name, pretrained=resnet18_file)
    with pytest.raises(BadInput, match=rf"^--pretrained .*{name} has no ResNet18; expected .* whole {name}\.$"):
        load_pretrained(build_net(settings, 3, FRAMES, SIZE), settings)


def test_run_starts_from_the_pretrained_file_and_records_it(
    resnet18_file: Path, test_clips: EvaluationClips, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = ("--learning-rate", "1e-20", "--pretrained", str(resnet18_file))
    assert train.main(flags(out, "--model", "resnet18-lstm", *tiny)) == 0
    assert f"{resnet18_file}: backbone: 120 of 120 tensors loaded" in capsys.readouterr().out
    saved = torch.load(resnet18_file, weights_only=True)
    net, _ = load_trained(out / "weights.safetensors")
    assert torch.equal(net.get_parameter("backbone.conv1.weight"), saved["conv1.weight"])
    written = json.loads((out / "settings.json").read_text())
    assert written["pretrained_sha256"] == hashlib.sha256(resnet18_file.read_bytes()).hexdigest()
    # What is resumed does not start from the file again.
    again = [*flags(out, "--model", "resnet18-lstm", *tiny), "--resume", "--epochs", "2"]
    assert train.main(again) == 0
    assert "tensors loaded" not in capsys.readouterr().out


def test_file_with_another_hash_than_its_name_is_refused(tmp_path: Path, resnet18_file: Path) -> None:
    def loaded(name: str) -> None:
        path = tmp_path / name
        shutil.copy(resnet18_file, path)
        settings = NetSettings(model="resnet18-lstm", pretrained=path)
        load_pretrained(nn.ModuleDict({"backbone": ResNet18()}), settings)

    with pytest.raises(BadInput, match=r"f37072fd\.pth: its SHA-256 does not begin with f37072fd"):
        loaded("resnet18-f37072fd.pth")
    loaded("resnet18-20240131.pth")  # A date.
    loaded("resnet18-face.pth")


def test_compiled_net_trains_the_same_and_keeps_its_keys(
    test_clips: EvaluationClips, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compiled, compile_ = [], torch.compile

    def without_a_compiler(function: object) -> object:
        compiled.append(function)
        return compile_(function, backend="eager")

    monkeypatch.setattr(torch, "compile", without_a_compiler)
    monkeypatch.setitem(networks.MODELS, "tiny", tiny)
    common = ("--model", "tiny", "--dropout", "0")
    assert train.main(flags(out / "eager", *common)) == 0
    assert not compiled
    assert train.main(flags(out / "compiled", *common, "--compile")) == 0
    assert len(compiled) == 2
    assert "float32, channels_last, compiled" in capsys.readouterr().out
    one, other = (load_trained(out / name / "weights.safetensors")[0].state_dict() for name in ("eager", "compiled"))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_missing_compiler_is_reported_in_one_line(
    test_clips: EvaluationClips, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(function: object) -> object:
        raise RuntimeError("no working C++ compiler\nand a page of details")

    monkeypatch.setattr(torch, "compile", broken)
    assert train.main(flags(out, "--compile")) == 2
    expected = "train.py: --compile: torch.compile does not run here (no working C++ compiler); leave it out\n"
    assert capsys.readouterr().err == expected
    assert not out.exists()


def test_channels_last_orders_the_filters_of_2d_and_3d_convolutions() -> None:
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv3d(2, 3, 3), nn.Linear(2, 3))
    before = {name: parameter.clone() for name, parameter in net.named_parameters()}
    to_channels_last(net)
    assert net[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert net[1].weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert all(torch.equal(parameter, before[name]) for name, parameter in net.named_parameters())
