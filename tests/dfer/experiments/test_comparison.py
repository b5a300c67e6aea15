"""The comparison's data, layers and costs, on files small enough to be checked by eye."""

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dfer.errors import BadInput
from dfer.experiments.comparison import multiply_adds
from dfer.experiments.eca import EfficientChannelAttention
from dfer.experiments.fitting import Fit, accuracy, fit
from dfer.experiments.shipped_data import Examples, read_digits, read_japanese_vowels, read_series
from dfer.experiments.small_nets import ATTENTIONS, ENCODERS, SeriesNet, small_cnn
from dfer.models.wide_resnet18 import parameters

SERIES = """#A comment
@problemName Vowels
@classLabel true x y
@data
1.5,2,3:10,20,30:y
4,5:40,50:x
"""


def test_series_are_read_frame_by_frame_and_padded_with_a_mask(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_text(SERIES)
    series = read_series(tmp_path / "a.ts")
    assert series.inputs.tolist() == [[[1.5, 10], [2, 20], [3, 30]], [[4, 40], [5, 50], [0, 0]]]
    assert series.labels.tolist() == [1, 0]
    assert series.mask is not None
    assert series.mask.tolist() == [[True, True, True], [True, True, False]]


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins of both packages, whose import would fail."""
    digits, vowels = (tmp_path / p for p in ("sklearn/datasets/data", "aeon/datasets/data/JapaneseVowels"))
    for folder in (digits, vowels):
        folder.mkdir(parents=True)
    for package in ("sklearn", "aeon"):
        (tmp_path / package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for package in ("sklearn", "aeon"):
        monkeypatch.delitem(sys.modules, package, raising=False)
    return tmp_path


def test_digits_are_pictures_in_rows_with_the_label_last(packages: Path) -> None:
    table = np.concatenate([np.arange(128).reshape(2, 64), [[3], [9]]], axis=1)
    with gzip.open(packages / "sklearn/datasets/data/digits.csv.gz", "wt") as file:
        np.savetxt(file, table, delimiter=",", fmt="%d")
    pictures = read_digits()
    assert pictures.labels.tolist() == [3, 9]
    assert pictures.inputs.shape == (2, 1, 8, 8)
    expected = (torch.arange(128.0) - 63.5) / torch.arange(128.0).std()
    torch.testing.assert_close(pictures.inputs.flatten(), expected)


def test_series_are_scaled_by_the_real_frames_of_the_training_part_alone(packages: Path) -> None:
    folder = packages / "aeon/datasets/data/JapaneseVowels"
    (folder / "JapaneseVowels_TRAIN.ts").write_text(SERIES)
    (folder / "JapaneseVowels_TEST.ts").write_text("@classLabel true x y\n@data\n3.1:30:x\n")
    training, test = read_japanese_vowels()
    values = torch.tensor([1.5, 2, 3, 4, 5])
    assert training.mask is not None
    torch.testing.assert_close(training.inputs[training.mask][:, 0], (values - values.mean()) / values.std())
    assert training.inputs[1, 2].tolist() == [0, 0]
    torch.testing.assert_close(test.inputs[0, 0, 0], (3.1 - values.mean()) / values.std())


def test_a_missing_package_is_named_with_the_command(packages: Path) -> None:
    with pytest.raises(BadInput, match="package sklearn is not installed; get it by: pip install scikit-learn"):
        read_digits()
    with pytest.raises(BadInput, match="package aeon is not installed; get it by: pip install --no-deps aeon"):
        read_japanese_vowels()


@pytest.mark.parametrize(("channels", "size"), [(8, 3), (32, 3), (64, 3), (128, 5), (512, 5)])
def test_eca_beside_its_equation(channels: int, size: int) -> None:
    layer = EfficientChannelAttention(channels).double()
    kernel = layer.conv.weight.detach().flatten()
    assert len(kernel) == size
    x = torch.randn(2, channels, 3, 5, dtype=torch.float64)
    expected = torch.empty_like(x)
    for n in range(2):
        for c in range(channels):
            total = torch.zeros((), dtype=torch.float64)
            for k in range(size):
                neighbour = c + k - size // 2
                if 0 <= neighbour < channels:
                    total += kernel[k] * x[n, neighbour].mean()
            expected[n, c] = x[n, c] * torch.sigmoid(total)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_padding_changes_no_encoder(encoder: str) -> None:
    net = SeriesNet(encoder, 3, 4, max_frames=7).eval()
    series, mask = torch.randn(2, 5, 3), torch.ones(2, 5, dtype=torch.bool)
    longer = torch.cat([series, torch.full((2, 2, 3), 9.0)], dim=1)
    padded = torch.cat([mask, torch.zeros(2, 2, dtype=torch.bool)], dim=1)
    torch.testing.assert_close(net(longer, padded), net(series, mask))


def test_torchs_encoder_has_the_size_of_tformer_and_the_perceptron_nearly() -> None:
    size = {encoder: parameters(SeriesNet(encoder, 3, 4, max_frames=7)) for encoder in ENCODERS}
    assert size["torch encoder"] == size["TFormer"]
    assert size["MLP + mean"] == pytest.approx(size["TFormer"], rel=0.03)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_every_cnn_scores_each_picture_as_it_would_alone(attention: str) -> None:
    net = small_cnn(attention, 10).eval()
    pictures = torch.randn(3, 1, 8, 8)
    torch.testing.assert_close(net(pictures)[1:2], net(pictures[1:2]))
    counts = [name for name, _ in net.named_children() if "agdt_attention" in dict(net[int(name)].named_children())]
    assert counts == ([] if attention == "none" else ["0", "1"])


def test_multiply_adds_by_hand() -> None:
    net = SeriesNet("mean", 3, 5, max_frames=7)
    one = Examples(torch.randn(1, 7, 3), torch.zeros(1, dtype=torch.long), torch.ones(1, 7, dtype=torch.bool))
    assert multiply_adds(net, one) == 7 * 3 * 64 + 64 * 5
    plain, with_se = (small_cnn(name, 10) for name in ("none", "SE"))
    picture = Examples(torch.randn(1, 1, 8, 8), torch.zeros(1, dtype=torch.long))
    # Two linear maps each at 32 and 64 channels, reduced by 16.
    assert multiply_adds(with_se, picture) - multiply_adds(plain, picture) == 2 * 32 * 2 + 2 * 64 * 4


def test_a_fit_learns_and_depends_on_its_seed_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (60,), generator=generator)
    series = torch.randn(60, 4, 3, generator=generator) + 2 * labels[:, None, None]
    examples = Examples(series, labels, torch.ones(60, 4, dtype=torch.bool))

    def fitted(seed: int) -> tuple[float, torch.Tensor]:
        torch.manual_seed(0)
        net = SeriesNet("mean", 3, 2, max_frames=4)
        fit(net, examples, Fit(epochs=60), seed)
        return accuracy(net, examples), net.classifier.weight

    right, weight = fitted(3)
    assert right > 0.95
    assert torch.equal(fitted(3)[1], weight)
    assert not torch.equal(fitted(4)[1], weight)
