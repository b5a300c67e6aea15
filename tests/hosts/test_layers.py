"""Layers made by a factory fit their place, or raise an error that names the place before anything changes."""

import functools

import pytest
import torch
from torch import Tensor, nn

from agdt_layers import AdaptiveGlobalAttention, insert_attention, remove_attention
from helpers.hosts import IMAGES, attention_of, host, inserted
from helpers.strategies import random_tensor


class Narrowing(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 1:]


class Paired(Narrowing):
    def forward(self, x: Tensor) -> Tensor:
        return x, x


def in_sequence(channels: int, **settings: object) -> nn.Module:
    return nn.Sequential(nn.Identity(), AdaptiveGlobalAttention(channels, **settings))


@pytest.mark.parametrize(
    ("factory", "error", "message"),
    [
        (AdaptiveGlobalAttention(7), TypeError, r"attention\['own'\] to be .* got AdaptiveGlobalAttention. Pass the"),
        (lambda channels: channels, ValueError, r"'own' cannot be created .*: expected a torch.nn.Module, got int"),
        (lambda: None, ValueError, r"for 'own' cannot be created for 7 channels: TypeError: .* takes 0 pos"),
        (nn.Linear, ValueError, r"for 'own' cannot be created for 7 channels: TypeError: .*out_features"),
        (
            lambda channels: nn.Linear(channels, channels),
            ValueError,
            r"for 'own' cannot be called with a map \(N, C, H, W\) = \(1, 7, 8, 12\): RuntimeError: mat1 and mat2",
        ),
        (Narrowing, ValueError, r"for 'own' turns \(1, 7, 8, 12\) into \(1, 6, 8, 12\); it must keep the shape"),
        (Paired, ValueError, r"for 'own' turns \(1, 7, 8, 12\) into tuple; it must keep the shape"),
        (
            functools.partial(AdaptiveGlobalAttention, device="meta"),
            ValueError,
            r"The attention for 'own' cannot be created .*: NotImplementedError: Cannot copy out of meta tensor",
        ),
    ],
)
def test_unsuitable_layer_raises_and_the_message_names_its_place(
    factory: object, error: type[Exception], message: str
) -> None:
    model, state = host(), list(host().state_dict())
    with pytest.raises(error, match=message):
        insert_attention(model, {"own": factory}, example_input=IMAGES[:1])
    assert list(model.state_dict()) == state
    assert not any(module._forward_hooks for module in model.modules())


def test_linear_layer_raises_even_if_the_map_is_as_wide_as_it_has_channels() -> None:
    # On such a map it keeps the shape but mixes the columns.
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU()))
    with pytest.raises(ValueError, match=r"for '0' cannot be called with a map \(N, C, H, W\) = \(1, 8, 9, 9\)"):
        insert_attention(model, {"0": lambda c: nn.Linear(c, c)}, example_input=torch.rand(1, 3, 8, 8))


@pytest.mark.parametrize("wrapped", [False, True])
def test_factory_that_returns_one_layer_for_two_places_raises(wrapped: bool) -> None:
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()), nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()))
    shared = AdaptiveGlobalAttention(4)

    def factory(channels: int) -> nn.Module:
        return nn.Sequential(shared) if wrapped else shared

    with pytest.raises(ValueError, match=r"for '1' is shared, .* with another place\. Create a new"):
        insert_attention(model, {"0": factory, "1": factory}, example_input=IMAGES)
    insert_attention(model, {"0": factory}, example_input=IMAGES)
    with pytest.raises(ValueError, match=r"for '1' is shared, or shares parameters, with the model"):
        insert_attention(model, {"1": factory}, example_input=IMAGES)


@pytest.mark.parametrize("factory", [AdaptiveGlobalAttention, in_sequence], ids=["layer", "sequence"])
@pytest.mark.parametrize("made_for", [{}, {"num_frames": 2}], ids=["from insert_attention", "from the factory"])
def test_num_frames_reaches_the_attention(factory: object, made_for: dict[str, int]) -> None:
    images = random_tensor((4, 3, 16, 24), 0, torch.float32)
    model = inserted(["own"])
    expected = {}
    for num_frames in (1, 2):
        model.own.agdt_attention.num_frames = num_frames
        expected[num_frames] = model(images)
    assert not torch.equal(expected[1], expected[2])
    state = model.own.agdt_attention.state_dict()
    other = host()
    insert_attention(
        other,
        {"own": functools.partial(factory, **made_for)},
        example_input=IMAGES[:1],
        num_frames=None if made_for else 2,
    )
    (layer,) = attention_of(other).values()
    layer.load_state_dict(state)
    assert torch.equal(other(images), expected[2])


def test_conflicting_num_frames_raise() -> None:
    factory = functools.partial(in_sequence, num_frames=4)
    with pytest.raises(ValueError, match=r"for 'own' was created with num_frames=4, but .* got num_frames=8"):
        insert_attention(host(), {"own": factory}, example_input=IMAGES, num_frames=8)


def test_multiply_adds_per_frame_do_not_depend_on_num_frames() -> None:
    costs = []
    for settings in ({}, {"num_frames": 4}):
        factory = functools.partial(AdaptiveGlobalAttention, **settings)
        plan = insert_attention(host(), {"own": factory}, example_input=IMAGES, dry_run=True)
        costs.append(plan.placements[0].multiply_adds)
    assert costs[0] == costs[1] > 0


def test_layer_created_on_another_device_moves_to_the_host() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1, device="meta", dtype=torch.float64), nn.ReLU())
    factory = functools.partial(AdaptiveGlobalAttention, device="cpu", dtype=torch.float32)
    model = nn.Sequential(model)
    insert_attention(model, {"0": factory}, example_input=IMAGES.double())
    assert {(p.device.type, p.dtype) for p in model.parameters()} == {("meta", torch.float64)}


def test_attention_gets_the_dtype_of_the_host() -> None:
    model = inserted(["own"]).double()
    remove_attention(model)
    insert_attention(model, ["own"], example_input=IMAGES.double(), num_frames=2)
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    assert model(IMAGES.double()).dtype == torch.float64


def test_attention_gets_the_training_mode_of_its_submodule() -> None:
    model = host().train()
    model.own.eval()
    insert_attention(model, ["own", "walker"], example_input=IMAGES)
    assert {name: layer.training for name, layer in attention_of(model).items()} == {
        "own.agdt_attention": False,
        "walker.agdt_attention": True,
    }


@pytest.mark.filterwarnings("ignore:Attention after:UserWarning")
def test_attention_gets_the_device_of_its_submodule_or_of_the_nearest_parent() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.Conv2d(4, 5, 3, device="meta"), nn.ReLU()))
    insert_attention(model, ["0", "1.1"], example_input=IMAGES)
    devices = {name: {p.device.type for p in layer.parameters()} for name, layer in attention_of(model).items()}
    assert devices == {"0.agdt_attention": {IMAGES.device.type}, "1.1.agdt_attention": {"meta"}}


def test_residual_scale_starts_as_the_identity_in_every_dtype() -> None:
    layer = AdaptiveGlobalAttention(7, residual_scale=True)
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        x = 100 * random_tensor((2, 7, 5, 3), 1, dtype)
        assert torch.equal(layer.to(dtype)(x), x)
