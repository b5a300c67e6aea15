"""insert_attention raises for unsuitable arguments and leaves the model unchanged."""

import pytest
import torch
from torch import Tensor, nn

from agdt_layers import insert_attention
from helpers.hosts import EVERYWHERE, IMAGES, Host, host, inserted


def assert_bare(model: Host) -> None:
    bare = host()
    assert list(model.state_dict()) == list(bare.state_dict())
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(model(IMAGES), bare(IMAGES))


@pytest.mark.parametrize(
    ("attention", "error", "message"),
    [
        (["squential"], ValueError, r"No submodule of Host is named 'squential'. Closest names: sequential"),
        (["layer*"], ValueError, r"No submodule of Host is named 'layer\*'. Closest names: "),
        (["head"], ValueError, r"The output of 'head' is \(2, 3\); expected a feature map, \(N, C, H, W\) or"),
        (["pair"], ValueError, r"The output of 'pair' is tuple; .* Nearest feature maps: 'twice', 'dense'"),
        (["unused"], ValueError, r"'unused' is never called itself: it is a container, or"),
        (["own", 3], TypeError, r"expects attention to be a list of submodule names, or a dict .* got \['own', 3\]"),
        ([], TypeError, r"expects attention to be a list of submodule names, .* got \[\]"),
        ("own", TypeError, r"expects attention to be a list of submodule names, .* got 'own'"),
    ],
)
def test_names_without_a_feature_map_raise_and_change_nothing(attention: object, error: type, message: str) -> None:
    model = host()
    with pytest.raises(error, match=message):
        insert_attention(model, attention, example_input=IMAGES)
    assert_bare(model)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"num_frames": 0}, ValueError, r"insert_attention expects num_frames to be at least 1, got 0"),
        ({"example_input": IMAGES[:, :2]}, ValueError, r"Host failed on the example input \(2, 2, 16, 24\)"),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_invalid_settings_raise_before_anything_changes(
    settings: dict[str, object], error: type, message: str, dry_run: bool
) -> None:
    model = host()
    with pytest.raises(error, match=message):
        insert_attention(model, EVERYWHERE, dry_run=dry_run, **{"example_input": IMAGES, **settings})
    assert_bare(model)


@pytest.mark.parametrize("name", EVERYWHERE)
def test_second_insertion_at_the_same_place_raises(name: str) -> None:
    model = inserted()
    with pytest.raises(ValueError, match=f"'{name}' has attention already"):
        insert_attention(model, [name], example_input=IMAGES)


class Stubborn(nn.Module):
    """Fails on every input with a message of two lines."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("expected audio\nand a second line")


def test_message_quotes_the_first_line_of_the_models_own_error() -> None:
    with pytest.raises(ValueError, match=r"on the example input \(2, 3, 16, 24\): RuntimeError: expected audio$"):
        insert_attention(Stubborn(), ["conv"], example_input=IMAGES)


def test_lazy_modules_raise_until_they_are_initialised() -> None:
    model = nn.Sequential(nn.LazyConv2d(5, 3), nn.LazyBatchNorm2d())
    with pytest.raises(ValueError, match=r"Sequential failed .*: ValueError: Attempted to use an uninitialized"):
        insert_attention(model, ["0"], example_input=IMAGES)
    model(IMAGES)
    insert_attention(model, ["0"], example_input=IMAGES)


def test_scripted_submodules_and_in_place_changes_of_the_input_are_supported() -> None:
    class Unusual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.script = nn.Conv2d(3, 5, 1), torch.jit.script(nn.ReLU())
            self.steps = torch.zeros(())  # neither parameter nor buffer, so the copy cannot run on meta

        def forward(self, x: Tensor) -> Tensor:
            x -= self.steps + 1
            return self.script(self.conv(x))

    images = IMAGES.clone()
    insert_attention(Unusual(), ["conv"], example_input=images)
    assert torch.equal(images, IMAGES)
