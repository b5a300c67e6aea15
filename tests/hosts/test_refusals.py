"""insert_attention refuses what it cannot do right, and leaves the model as it was."""

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
        (["squential"], ValueError, r"No submodule of Host is named 'squential'. The nearest: sequential"),
        (["layer*"], ValueError, r"No submodule of Host is named 'layer\*'. The nearest: "),
        (["head"], ValueError, r"The output of 'head' is \(2, 3\); attention follows a feature map, \(N, C, H, W\) or"),
        (["pair"], ValueError, r"The output of 'pair' is tuple; .* The nearest that do: 'twice', 'dense'"),
        (["unused"], ValueError, r"'unused' itself is not run, although its parts may be"),
        (["own", 3], TypeError, r"expects a list of submodule names, or a dict .* got \['own', 3\]"),
        ([], TypeError, r"expects a list of submodule names, .* got \[\]"),
        ("own", TypeError, r"expects a list of submodule names, .* got 'own'"),
    ],
)
def test_names_that_mean_no_feature_map_are_refused_and_nothing_changed(
    attention: object, error: type, message: str
) -> None:
    model = host()
    with pytest.raises(error, match=message):
        insert_attention(model, attention, example_input=IMAGES)
    assert_bare(model)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"num_frames": 0}, ValueError, r"insert_attention expects num_frames to be at least 1, got 0"),
        ({"example_input": IMAGES[:, :2]}, ValueError, r"Host cannot be run on the example input \(2, 2, 16, 24\)"),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_settings_are_checked_before_anything_changes(
    settings: dict[str, object], error: type, message: str, dry_run: bool
) -> None:
    model = host()
    with pytest.raises(error, match=message):
        insert_attention(model, EVERYWHERE, dry_run=dry_run, **{"example_input": IMAGES, **settings})
    assert_bare(model)


@pytest.mark.parametrize("name", EVERYWHERE)
def test_inserting_twice_at_one_place_is_refused(name: str) -> None:
    model = inserted()
    with pytest.raises(ValueError, match=f"'{name}' has attention already"):
        insert_attention(model, [name], example_input=IMAGES)


class Stubborn(nn.Module):
    """Runs on no input, and says why in two lines."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("wants sound\nand a long story")


def test_a_model_that_does_not_run_is_refused_with_the_first_line_of_its_error() -> None:
    with pytest.raises(ValueError, match=r"on the example input \(2, 3, 16, 24\): RuntimeError: wants sound$"):
        insert_attention(Stubborn(), ["conv"], example_input=IMAGES)


def test_a_lazy_norm_is_refused_until_it_was_called() -> None:
    model = nn.Sequential(nn.LazyConv2d(5, 3), nn.LazyBatchNorm2d())
    with pytest.raises(ValueError, match=r"Sequential cannot be run .*: ValueError: Attempted to use an uninitialized"):
        insert_attention(model, ["0"], example_input=IMAGES)
    model(IMAGES)
    insert_attention(model, ["0"], example_input=IMAGES)


def test_a_scripted_part_and_writing_to_the_input_are_supported() -> None:
    class Unusual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.script = nn.Conv2d(3, 5, 1), torch.jit.script(nn.ReLU())
            self.steps = torch.zeros(())  # neither parameter nor buffer, so that the copy is run on numbers

        def forward(self, x: Tensor) -> Tensor:
            x -= self.steps + 1
            return self.script(self.conv(x))

    images = IMAGES.clone()
    insert_attention(Unusual(), ["conv"], example_input=images)
    assert torch.equal(images, IMAGES)
