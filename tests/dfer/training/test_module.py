"""What every step and every epoch do: precision, memory format, a loss that is no number, the lines of a log."""

import json
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dfer.errors import BadInput
from dfer.training import device, module, networks
from dfer.training.device import Processes
from dfer.training.run import run
from dfer.training.settings import TrainingSettings
from helpers.tiny_runs import NAMES, TinyNet, tiny_settings, use_tiny_model


class WatchedNet(TinyNet):
    def __init__(self) -> None:
        super().__init__(len(NAMES), 0.0)
        self.half: set[bool] = set()
        self.formats: set[bool] = set()
        self.kernel = torch.nn.Conv2d(3, 4, 3)

    def forward(self, clips: Tensor) -> Tensor:
        self.half.add(torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") is torch.bfloat16)
        self.formats.add(self.kernel.weight.is_contiguous(memory_format=torch.channels_last))
        return super().forward(clips) + 0 * self.kernel(clips[:, 0]).sum()


@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
@pytest.mark.parametrize("channels_last", [True, False])
def test_precision_and_memory_format_follow_the_settings(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    precision: str,
    channels_last: bool,
) -> None:
    net = WatchedNet()
    use_tiny_model(monkeypatch)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setitem(networks.MODELS, "tiny", lambda *_: net)
    # The pictures are drawn outside of the run's precision.
    monkeypatch.setattr("dfer.training.run.write_results", lambda *_: None)
    run(tiny_settings(tmp_path, epochs=1, precision=precision, channels_last=channels_last))
    assert net.half == {precision == "bfloat16"}
    assert net.formats == {channels_last}
    said = "on the CPU, " + ("bfloat16 autocast" if precision == "bfloat16" else "float32")
    assert f"parameters, {said}{', channels_last' if channels_last else ''}\n" in capsys.readouterr().out


def test_gpu_uses_bfloat16_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(precision: str) -> device.Device:
        return device.choose_device(
            TrainingSettings(recipe="dfew", epochs=1, batch_size=1, workers=0, precision=precision),  # type: ignore
            Processes(),
        )

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    for has_it in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation, has=has_it: has)
        assert chosen("auto").bfloat16 is has_it
        assert not chosen("float32").bfloat16
        assert chosen("bfloat16").bfloat16
    assert str(chosen("bfloat16")) == "on a GPU, bfloat16 autocast, channels_last, pinned memory"


class BreakingNet(TinyNet):
    """From one training step on, or in one evaluation, its scores are no numbers."""

    def __init__(self, *, step: int | None = None, evaluation: int | None = None) -> None:
        super().__init__(len(NAMES), 0.0)
        self.at, self.seen = {True: step, False: evaluation}, {True: 0, False: 0}

    def forward(self, clips: Tensor) -> Tensor:
        scores = super().forward(clips)
        self.seen[self.training] += 1
        at = self.at[self.training]
        return scores * torch.nan if at is not None and self.seen[self.training] > at else scores


@pytest.mark.parametrize(
    ("net", "look_every"),
    [
        # Twenty clips in batches of 8: three steps an epoch. The fifth breaks; it is seen at once, or after its epoch.
        (BreakingNet(step=4), 1),
        (BreakingNet(step=4), 1000),
        # The first evaluation is that of the first epoch; the second is broken.
        (BreakingNet(evaluation=1), 1000),
    ],
)
def test_nan_loss_ends_the_run_and_earlier_epochs_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, net: BreakingNet, look_every: int
) -> None:
    use_tiny_model(monkeypatch)
    monkeypatch.setattr(module, "CHECK_EVERY", look_every)
    monkeypatch.setitem(networks.MODELS, "tiny", lambda *_: net)
    with pytest.raises(BadInput, match=r"the loss is nan in epoch 2; .* or give --resume --epochs 1 to keep the best"):
        run(tiny_settings(tmp_path, epochs=4))
    if look_every == 1:
        assert net.seen[True] == 5
    # The advice is right.
    monkeypatch.setitem(networks.MODELS, "tiny", lambda *_: TinyNet(len(NAMES), 0.0))
    run(tiny_settings(tmp_path, epochs=1, resume=True))
    assert json.loads((tmp_path / "metrics.json").read_text())["epoch"] == 1


class DrawingNet(TinyNet):
    """Draws as dropout does."""

    def __init__(self) -> None:
        super().__init__(len(NAMES), 0.0)
        self.draws: list[float] = []

    def forward(self, clips: Tensor) -> Tensor:
        if self.training:
            self.draws.append(float(torch.rand(())))
        return super().forward(clips)


def test_dropout_depends_on_seed_epoch_and_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for out, seed in (("a", 0), ("b", 0), ("c", 1)):
        net = DrawingNet()
        use_tiny_model(monkeypatch)
        monkeypatch.setitem(networks.MODELS, "tiny", lambda *_, net=net: net)
        run(tiny_settings(tmp_path / out, epochs=2, seed=seed))
        drawn.append(net.draws)
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0] + drawn[2])) == 12


def test_log_has_one_short_line_per_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_tiny_model(monkeypatch)
    run(tiny_settings(tmp_path, epochs=3))
    printed = capsys.readouterr().out.splitlines()
    lines = [line for line in printed if line.startswith("epoch")]
    loss, percent = r"loss \d\.\d{{3}}", r"[ \d.]{{5}} %"
    pattern = rf"epoch   {{}}/3  {loss}  validation {loss}  UAR {percent}  WAR {percent} +\d+ s"
    assert all(re.fullmatch(pattern.format(number), line) for number, line in enumerate(lines, start=1))
    assert len(lines) == 3
    assert printed[0] == "20 + 7 + 8 clips to train, choose and test on; 2 frames of 16 x 16"
    assert max(map(len, printed[:-1])) <= 80
