"""Which axis of a host's map holds the channels: determined by trial runs or by the caller, never guessed."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from agdt_layers import (
    CBAM,
    AdaptiveGlobalAttention,
    FrameWise,
    InsertionPlan,
    capture_attention,
    insert_attention,
    remove_attention,
)
from helpers.hosts import NHWCHost, Strips, TokenHost
from helpers.strategies import random_tensor

# At 32 x 32 the maps of NHWCHost are 8 x 8 with 8 channels, so one shape fits both layouts.
SQUARE = random_tensor((1, 3, 32, 32), 0, torch.float32)
CLIPS = random_tensor((2, 3, 3, 32, 32), 1, torch.float32)
PLACES = ["stem", "mixing", "stage"]

pytestmark = pytest.mark.filterwarnings("ignore:Attention after:UserWarning")


def host(**settings: object) -> NHWCHost:
    torch.manual_seed(0)
    return NHWCHost(**settings).eval()


def found(plan: InsertionPlan) -> list[tuple[str, bool, int, tuple[tuple[int, int], ...]]]:
    return [(place.name, place.channels_last, place.channels, place.sizes) for place in plan.placements]


def assert_asks_for_channels_last(model: nn.Module, name: str, example: object) -> None:
    """The error asks for the axis, and both answers are accepted."""
    with pytest.raises(ValueError, match=rf"'{name}' is .* do not show .* Pass channels_last={{'{name}': False}} for"):
        insert_attention(model, [name], example_input=example)
    for last in (False, True):
        (place,) = insert_attention(
            model, [name], example_input=example, channels_last={name: last}, dry_run=True
        ).placements
        assert place.channels_last is last


@pytest.mark.parametrize(
    "settings",
    [{}, {"size": (32, 32), "settable": True}],
    ids=["any size", "settable size"],
)
def test_trial_runs_tell_channels_from_rows_and_columns(settings: dict[str, object]) -> None:
    names = [*PLACES, "same"]
    plan = insert_attention(host(**settings), names, example_input=SQUARE)
    assert found(plan) == [(name, name != "stem", 8, ((8, 8),)) for name in names]


def test_rows_and_columns_of_a_non_square_map() -> None:
    plan = insert_attention(host(), ["mixing"], example_input=random_tensor((2, 3, 20, 28), 0, torch.float32))
    assert found(plan) == [("mixing", True, 8, ((5, 7),))]


@pytest.mark.parametrize(("name", "size"), [("rows", (8, 1)), ("columns", (1, 8))])
def test_maps_pooled_to_one_row_or_column_are_channels_first(name: str, size: tuple[int, int]) -> None:
    assert found(insert_attention(Strips(), [name], example_input=torch.rand(1, 3, 8, 8))) == [
        (name, False, 8, (size,))
    ]


@pytest.mark.parametrize("settings", [{"size": (32, 32)}, {"square": True}], ids=["one size", "any square"])
@pytest.mark.parametrize("name", ["stem", "mixing", "same"])
def test_host_with_fixed_image_size_needs_channels_last(name: str, settings: dict[str, object]) -> None:
    assert_asks_for_channels_last(host(**settings), name, SQUARE)


def test_maps_pooled_to_a_fixed_size_need_channels_last() -> None:
    # Judged by proportions, this map of a 64 x 96 image, (1, 4, 7, 7), would be 4 x 7 with 7 channels.
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(7))
    assert_asks_for_channels_last(model, "1", torch.rand(1, 3, 64, 96))


class _MixesColumns(nn.Module):
    """A block on (N, C, H, W) with a fixed width and any C."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x)


def test_block_with_fixed_width_needs_channels_last() -> None:
    # Like a block on (N, H, W, C), it accepts any size of axes 1 and 2 but only one of axis 3.
    assert_asks_for_channels_last(nn.Sequential(nn.Conv2d(3, 4, 1), _MixesColumns()), "1", torch.rand(1, 3, 5, 6))


def test_places_before_a_fixed_size_part_do_not_need_channels_last() -> None:
    model = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU(), _MixesColumns())
    assert found(insert_attention(model, ["1"], example_input=torch.rand(1, 3, 6, 6))) == [("1", False, 6, ((6, 6),))]


class _Fuse(nn.Module):
    """Calls a block with two maps from a list or a dict."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, maps: list[Tensor] | dict[str, Tensor]) -> Tensor:
        first, second = maps.values() if isinstance(maps, dict) else maps
        return self.block(first + second)


@pytest.mark.parametrize("kind", [list, lambda maps: dict(zip("ab", maps, strict=True))], ids=["list", "dict"])
def test_example_inputs_in_lists_and_dicts_are_enlarged(kind: object) -> None:
    example = (kind([torch.rand(1, 4, 5, 9), torch.rand(1, 4, 5, 9)]),)
    model = _Fuse(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()))
    assert found(insert_attention(model, ["block"], example_input=example)) == [("block", False, 4, ((5, 9),))]
    assert_asks_for_channels_last(_Fuse(nn.Sequential(nn.Linear(9, 9), nn.ReLU())), "block", example)
    # A block without parameters fits both layouts.
    assert_asks_for_channels_last(_Fuse(nn.Sequential(nn.ReLU(), nn.GELU())), "block", example)


def test_channels_last_by_name_by_pattern_and_for_all_places() -> None:
    model = host(size=(32, 32))
    for told in ({"stem": False, "mixing": True, "stage": True}, {"*": True, "stem": False}):
        plan = insert_attention(model, PLACES, example_input=SQUARE, channels_last=told, dry_run=True)
        assert [place.channels_last for place in plan.placements] == [False, True, True]
    plan = insert_attention(model, PLACES[1:], example_input=SQUARE, channels_last=True)
    assert [place.channels_last for place in plan.placements] == [True, True]


@pytest.mark.parametrize(
    ("told", "error", "message"),
    [
        (True, ValueError, r"channels_last=True for 'stem', but .* show that axis 1 of its output, \(1, 8, 8, 8\)"),
        ({"mixing": False}, ValueError, r"channels_last=False for 'mixing', but .* that axis 3 of its output"),
        ({"head": True}, ValueError, r"No place for channels_last is named 'head'. Closest names: stem"),
        ({"stem": 1}, TypeError, r"expects channels_last\['stem'\] to be True or False, got 1"),
        ("last", TypeError, r"expects channels_last to be True or False, got 'last'"),
    ],
)
def test_channels_last_that_contradicts_trial_runs_or_matches_no_place_raises(
    told: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        insert_attention(host(), PLACES, example_input=SQUARE, channels_last=told)


def attended_by_hand(model: NHWCHost, bare: NHWCHost, x: Tensor, num_frames: int) -> Tensor:
    """Run NHWCHost's forward pass with the attention of ``model`` applied by hand on (N, C, H, W)."""

    def last(layer: nn.Module, x: Tensor) -> Tensor:
        return layer(x.permute(0, 3, 1, 2), num_frames=num_frames).permute(0, 2, 3, 1)

    x = model.stem.agdt_attention(bare.stem(x), num_frames=num_frames).permute(0, 2, 3, 1)
    x = last(model.mixing.agdt_attention.layer, bare.mixing(x))
    x = last(model.stage.agdt_attention.layer, bare.stage(x))
    return bare.head(x.mean(dim=(1, 2)))


def test_attention_in_an_nhwc_host_gets_nchw_maps() -> None:
    model, bare = host(), host()
    insert_attention(model, PLACES, example_input=SQUARE)
    expected = attended_by_hand(model, bare, CLIPS.flatten(0, 1), 3)
    assert torch.equal(FrameWise(model)(CLIPS).flatten(0, 1), expected)
    assert not torch.equal(model(CLIPS.flatten(0, 1)), expected), "attention ignored the clips"
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(FrameWise(twin)(CLIPS).flatten(0, 1), expected)
    with capture_attention(model) as maps:
        model(SQUARE)
    assert maps["stage.agdt_attention.layer"].spatial.shape == (1, 1, 8, 8)


def test_channels_last_attention_has_keys_gradients_and_can_be_removed() -> None:
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
        ("tokens", r"'tokens' is \(1, 64, 6\), and \(1, 128, 6\) at .* Nearest feature maps: 'stem', "),
        ("heads", r"'heads' is \(1, 2, 64, 3\), and \(1, 2, 128, 3\) at twice the height, .* maps: 'stem'"),
        (
            "windows",
            r"'windows' is \(16, 2, 2, 6\), and \(32, 2, 2, 6\) at twice the height, .* maps: 'stem'",
        ),
    ],
)
def test_tokens_heads_and_windows_raise_and_the_message_names_the_stem(name: str, message: str) -> None:
    model = TokenHost()
    with pytest.raises(ValueError, match=message):
        insert_attention(model, [name], example_input=SQUARE)
    assert insert_attention(model, ["stem"], example_input=SQUARE).placements[0].channels == 6


def test_module_called_with_both_layouts_raises() -> None:
    class Turning(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.act = nn.Conv2d(3, 5, 1), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.act(self.act(self.conv(x)).permute(0, 2, 3, 1))

    with pytest.raises(ValueError, match=r"'act' is \(1, 5, 32, 32\) and \(1, 32, 32, 5\), .* with a fixed C"):
        insert_attention(Turning(), ["act"], example_input=SQUARE)


def test_model_without_feature_maps_raises() -> None:
    with pytest.raises(ValueError, match=r"Nearest feature maps: none\."):
        insert_attention(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), ["1"], example_input=torch.rand(1, 3, 2, 2))
