"""The cost of a model: what counts, and that the model is unchanged."""

import torch
from torch import Tensor, nn

from dfer.evaluation.complexity import complexity, count_launches, count_multiply_adds


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, padding=1, bias=False)
        self.lstm = nn.LSTM(5, 7, batch_first=True)
        self.classifier = nn.Linear(7, 2, bias=False)

    def forward(self, clips: Tensor) -> Tensor:
        maps = self.conv(clips.flatten(0, 1))
        return self.classifier(self.lstm(maps.mean(dim=(2, 3)).unflatten(0, clips.shape[:2]))[0][:, -1])


SHAPE = (1, 4, 3, 6, 8)
MULTIPLY_ADDS = 4 * (5 * 3 * 9 * 6 * 8) + 4 * 4 * (5 * 7 + 7 * 7) + 7 * 2


def test_convolutions_lstm_and_linear_layers_are_counted() -> None:
    assert count_multiply_adds(Net(), SHAPE) == MULTIPLY_ADDS


class Steps(nn.Module):
    """Three operators that work, and views and an allocation between them."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1).unsqueeze(0)[:, :, 1:].transpose(1, 2)
        y = torch.empty_like(x)
        torch.add(x, 1, out=y)
        return y.relu_().sum()


def test_views_and_allocations_are_not_counted() -> None:
    assert count_launches(Steps(), torch.zeros(2, 3, 5)) == 3


def test_cost_of_one_clip() -> None:
    net = Net()
    cost = complexity(net, SHAPE, device="cpu", seconds=0.0)
    parameters = 5 * 3 * 9 + 4 * 7 * (5 + 7 + 2) + 14
    assert (cost.parameters, cost.multiply_adds) == (parameters, MULTIPLY_ADDS)
    maps = 4 * 5 * 6 * 8 * 4
    assert cost.peak_bytes >= 4 * parameters + maps
    assert cost.milliseconds > 0
    assert cost.launches == count_launches(net, torch.randn(SHAPE))


class Scaled(nn.Module):
    """Holds two tensors of the clip's size at once, beside one weight and one buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(7))
        self.register_buffer("offset", torch.ones(7))

    def forward(self, clips: Tensor) -> Tensor:
        return (clips * self.weight).exp()


def test_peak_memory_counts_weights_and_tensors_of_one_run() -> None:
    cost = complexity(Scaled(), (1, 2, 3, 5, 7), device="cpu", seconds=0.0)
    assert cost.peak_bytes == 4 * (7 + 7) + 2 * 4 * 2 * 3 * 5 * 7


def test_measuring_leaves_the_weights_unchanged() -> None:
    net = Net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    complexity(net, SHAPE, device="cpu", seconds=0.0)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not net.training
