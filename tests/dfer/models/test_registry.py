"""The contract of every model: scores for clips, independent clips, ordered frames."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from agdt_layers import ResNet18, load_weights
from dfer.models import AGDTNET_ROWS, MODEL_NAMES, build_model

CLASSES, BATCH, FRAMES, SIZE = 3, 2, 5, 37
# The three depths of VGG share their code, and each costs half a gigabyte.
BUILT = tuple(name for name in MODEL_NAMES if name not in ("vgg13-lstm", "vgg16-lstm"))
WITH_RESNET18 = ("former-dfer", "resnet18-lstm", *AGDTNET_ROWS)


def clips(seed: int = 1) -> Tensor:
    return torch.randn(BATCH, FRAMES, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=BUILT)
def built(request: pytest.FixtureRequest) -> nn.Module:
    """One model per name, with batch norm statistics from clips, so that signal reaches the classifier."""
    torch.manual_seed(0)
    model = build_model(request.param, CLASSES, FRAMES, size=SIZE)
    norms = [m for m in model.modules() if isinstance(m, (nn.BatchNorm2d, nn.BatchNorm3d))]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model(clips(2))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model


@pytest.fixture
def model(built: nn.Module) -> Iterator[nn.Module]:
    """The model in eval mode, restored afterwards."""
    buffers = {name: value.clone() for name, value in built.named_buffers()}
    yield built.eval()
    built.zero_grad()
    with torch.no_grad():
        for name, value in built.named_buffers():
            value.copy_(buffers[name])


def test_clips_give_one_score_per_class(model: nn.Module) -> None:
    assert model(clips()).shape == (BATCH, CLASSES)


def test_wrong_shape_is_refused_with_a_reason(model: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"\(B, .*\(2, 3, 5, 37, 37\).*transpose\(1, 2\)"):
        model(clips().transpose(1, 2))


def test_gradients_reach_every_parameter(model: nn.Module) -> None:
    scores = model(clips())
    (scores * torch.arange(1.0, 1 + scores.numel()).view_as(scores)).sum().backward()
    unreached = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not unreached


def test_each_clip_depends_on_all_of_itself_and_no_other(model: nn.Module) -> None:
    x = clips().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[0].square().sum(), x)
    assert not gradient[1].any()
    assert gradient[0].flatten(1).any(dim=1).all(), "every frame of a clip counts"


def test_scores_of_a_clip_do_not_depend_on_the_batch(model: nn.Module) -> None:
    x = clips()
    with torch.no_grad():
        torch.testing.assert_close(model(x), torch.cat([model(clip) for clip in x.split(1)]), rtol=1e-3, atol=1e-4)


def test_scores_depend_on_the_order_of_frames(model: nn.Module) -> None:
    x = clips()
    with torch.no_grad():
        scores, reversed_in_time = model(x), model(x.flip(1))
    assert (scores - reversed_in_time).abs().max() > 1e-3 * scores.abs().max()


def test_scoring_changes_no_state(model: nn.Module) -> None:
    before = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        first, again = model(clips()), model(clips())
    assert torch.equal(first, again)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_training_updates_batch_norm_and_draws_dropout(model: nn.Module) -> None:
    before = {name: value.clone() for name, value in model.named_buffers()}
    drops = any(isinstance(m, nn.Dropout) and m.p > 0 for m in model.modules())
    model.train()
    with torch.no_grad():
        first, again = model(clips()), model(clips())
    assert torch.equal(first, again) != drops
    moved = [name for name, value in model.named_buffers() if not torch.equal(value, before[name])]
    assert sorted(moved) == sorted(before), "the buffers are batch norm's"
    model.eval()
    assert not any(m.training for m in model.modules())


def test_model_loads_its_own_weights(model: nn.Module) -> None:
    report = load_weights(model, copy.deepcopy(model.state_dict()))
    assert report.target == "network"
    assert not report.missing
    assert not report.unused


@pytest.fixture(scope="module")
def resnet18_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as the ecosystem saves a trained ResNet18, classifier included."""
    torch.manual_seed(1)
    state = ResNet18().state_dict() | {"fc.weight": torch.randn(1000, 512), "fc.bias": torch.randn(1000)}
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(state, path)
    return path


@pytest.mark.parametrize("name", WITH_RESNET18)
def test_resnet18_file_loads_into_models_with_a_resnet18(name: str, resnet18_file: Path) -> None:
    backbone = build_model(name, CLASSES, FRAMES, size=SIZE, weights=resnet18_file).backbone
    assert isinstance(backbone, ResNet18)
    saved = torch.load(resnet18_file, weights_only=True)
    loaded = {key: value for key, value in backbone.state_dict().items() if not key.startswith("attention.")}
    assert len(loaded) == 120
    assert all(torch.equal(value, saved[key]) for key, value in loaded.items())


@pytest.mark.parametrize("name", ["c3d", "i3d", "resnet18-lstm-dfew"])
def test_resnet18_file_is_refused_by_other_models(name: str, resnet18_file: Path) -> None:
    with pytest.raises(ValueError, match=r"resnet18\.pth has no key of this model"):
        build_model(name, CLASSES, FRAMES, size=SIZE, weights=resnet18_file)


def test_unknown_name_is_refused_with_the_known_names() -> None:
    with pytest.raises(ValueError, match=r"one of c3d, .*agdtnet; got 'r3d'"):
        build_model("r3d", CLASSES)


def test_published_system_refuses_options_of_agdtnet() -> None:
    with pytest.raises(ValueError, match=r"dropout is for the rows of AGDTNet.*c3d is built as published"):
        build_model("c3d", CLASSES, dropout=0.1)


def test_rows_of_agdtnet_accept_its_options() -> None:
    with torch.device("meta"):
        net = build_model("agdtnet", CLASSES, FRAMES, causal=True)
    assert net.backbone.attention["layer2"].context_window == FRAMES


def takes(name: str, frames: int, size: int) -> bool:
    """Whether a model that was made for clips of 8 frames of 112 x 112 takes others; tried without values."""
    with torch.device("meta"):
        try:
            build_model(name, CLASSES, 8, size=112).eval()(torch.empty(1, frames, 3, size, size))
        except ValueError:
            return False
    return True


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_docs_state_which_clips_each_model_takes(name: str) -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if f"`{name if name in page else 'agdtnet'}`" in line)
    _, _, frames, side, *_ = (cell.strip() for cell in row.split("|"))
    expected = {"any": (True, True), "T as made": (False, False), "at most the T it was made with": (True, False)}
    assert (takes(name, 4, 112), takes(name, 12, 112)) == expected[frames]
    assert takes(name, 8, 96) == {"any": True, "as made": False}[side]
