"""Which axis of a host's map is C, and attention in hosts whose maps are (N, H, W, C)."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from agdt_layers import (
    CBAM,
    AdaptiveGlobalAttention,
    FrameWise,
    build_agdtnet,
    capture_attention,
    insert_attention,
    remove_attention,
)
from helpers.hosts import NHWCHost, Strips, TokenHost
from helpers.strategies import random_tensor

# At 32 x 32 the maps of NHWCHost are 8 x 8 with 8 channels: their shape says nothing.
SQUARE = random_tensor((1, 3, 32, 32), 0, torch.float32)
CLIPS = random_tensor((2, 3, 3, 32, 32), 1, torch.float32)
PLACES = ["stem", "mixing", "stage"]
ANY_SIZE = {}
FIXED = {"size": (32, 32)}
SETTABLE = {"size": (32, 32), "settable": True}
ANY_SQUARE = {"square": True}

pytestmark = pytest.mark.filterwarnings("ignore:Attention after:UserWarning")


def host(**settings: object) -> NHWCHost:
    torch.manual_seed(0)
    return NHWCHost(**settings).eval()


@pytest.mark.parametrize(
    ("settings", "names"),
    [(ANY_SIZE, [*PLACES, "same"]), (SETTABLE, [*PLACES, "same"]), (ANY_SQUARE, [*PLACES, "same"]), (FIXED, PLACES)],
    ids=["any size", "settable size", "any square", "fixed size"],
)
def test_channels_are_told_from_rows_and_columns(settings: dict[str, object], names: list[str]) -> None:
    plan = insert_attention(host(**settings), names, example_input=SQUARE)
    found = [(place.name, place.channels_last, place.channels, place.sizes) for place in plan.placements]
    assert found == [(name, name != "stem", 8, ((8, 8),)) for name in names]


def test_rows_and_columns_of_an_oblong_map() -> None:
    (place,) = insert_attention(
        host(), ["mixing"], example_input=random_tensor((2, 3, 20, 28), 0, torch.float32)
    ).placements
    assert (place.channels_last, place.channels, place.sizes) == (True, 8, ((5, 7),))


def test_where_nothing_tells_it_is_refused_and_the_advice_works() -> None:
    with pytest.raises(ValueError, match=r"'same' is \(1, 8, 8, 8\), and this example does not tell .* 'stage', 'mix"):
        insert_attention(host(**FIXED), ["same"], example_input=SQUARE)
    # 33 rows at a stride of 4 become 8, as 32 do: the proportions need not be exact.
    for size in ((32, 48), (33, 48)):
        (place,) = insert_attention(host(size=size), ["same"], example_input=torch.rand(1, 3, *size)).placements
        assert (place.channels_last, place.channels, place.sizes) == (True, 8, ((8, 12),))


@pytest.mark.parametrize(("name", "size"), [("rows", (8, 1)), ("columns", (1, 8))])
def test_maps_pooled_to_strips_have_their_channels_first(name: str, size: tuple[int, int]) -> None:
    (place,) = insert_attention(Strips(), [name], example_input=torch.rand(1, 3, 8, 8)).placements
    assert (place.channels_last, place.channels, place.sizes) == (False, 8, (size,))


def attended_by_hand(model: NHWCHost, bare: NHWCHost, x: Tensor, num_frames: int) -> Tensor:
    """The forward pass of NHWCHost with the layers of model on (N, C, H, W)."""

    def attend(layer: nn.Module, x: Tensor) -> Tensor:
        return layer(x, num_frames=num_frames)

    def last(layer: nn.Module, x: Tensor) -> Tensor:
        return attend(layer, x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    x = attend(model.stem.agdt_attention, bare.stem(x)).permute(0, 2, 3, 1)
    x = last(model.mixing.agdt_attention.layer, bare.mixing(x))
    x = last(model.stage.agdt_attention.layer, bare.stage(x))
    return bare.head(x.mean(dim=(1, 2)))


def test_attention_sees_nchw_and_the_host_nhwc() -> None:
    model, bare = host(), host()
    insert_attention(model, PLACES, example_input=SQUARE)
    expected = attended_by_hand(model, bare, CLIPS.flatten(0, 1), 3)
    assert torch.equal(FrameWise(model)(CLIPS).flatten(0, 1), expected)
    assert not torch.equal(model(CLIPS.flatten(0, 1)), expected), "the frames of a clip see each other"
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(FrameWise(twin)(CLIPS).flatten(0, 1), expected)
    with capture_attention(model) as maps:
        model(SQUARE)
    assert maps["stage.agdt_attention.layer"].spatial.shape == (1, 1, 8, 8)


def test_keys_gradients_and_removal() -> None:
    model, bare = host(), host()
    insert_attention(model, {"mixing": AdaptiveGlobalAttention, "stage": CBAM}, example_input=SQUARE, num_frames=3)
    new = [key for key in model.state_dict() if key not in bare.state_dict()]
    assert all(key.startswith(("mixing.agdt_attention.layer.", "stage.agdt_attention.layer.")) for key in new)
    assert model.mixing.agdt_attention.layer.num_frames == 3
    model(CLIPS.flatten(0, 1)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    remove_attention(model)
    assert list(model.state_dict()) == list(bare.state_dict())
    assert torch.equal(model(SQUARE), bare(SQUARE))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tokens", r"'tokens' is \(1, 64, 6\), tokens without rows and columns; .* nearest that do: 'stem', "),
        (
            "heads",
            r"'heads' is \(1, 2, 64, 3\), and for .* \(1, 2, 128, 3\) at twice the height .* that do: 'stem'",
        ),
        ("windows", r"'windows', \(16, 2, 2, 6\), grows on axis 0 .* windows or regions.* nearest that do: 'stem'"),
    ],
)
def test_tokens_heads_and_windows_are_refused_and_the_stem_named(name: str, message: str) -> None:
    model = TokenHost()
    with pytest.raises(ValueError, match=message):
        insert_attention(model, [name], example_input=SQUARE)
    assert insert_attention(model, ["stem"], example_input=SQUARE).placements[0].channels == 6


def test_a_model_without_any_map_says_so() -> None:
    with pytest.raises(ValueError, match=r"No submodule of Sequential gives one\."):
        insert_attention(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), ["1"], example_input=torch.rand(1, 3, 2, 2))


def test_a_backbone_of_the_net_has_to_give_nchw() -> None:
    class Last(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).permute(0, 2, 3, 1)

    with pytest.raises(ValueError, match=r"Last gives \(1, 28, 28, 5\), \(N, H, W, C\)\W.* x.permute\(0, 3, 1, 2\)"):
        build_agdtnet(backbone=Last(3, 5, 8, 8))
