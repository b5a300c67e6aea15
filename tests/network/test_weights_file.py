"""Reading weights files: every form that people have, and of any other file what it is; nothing is ever executed."""

import argparse
import gzip
import pickle
import re
import sys
import tarfile
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from agdt_layers import load_weights

STATE = {"weight": torch.tensor([[1.0, 2.0], [3.0, 5.0], [7.0, 11.0]]), "bias": torch.tensor([13.0, 17.0, 19.0])}
OPTIMISER = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(3, 2)}}, "param_groups": [{"lr": 0.1}]}
FORMS = [".pt", ".pth", ".ckpt", ".pth.tar", ".bin", "", "legacy.pt"]


def assert_loads(path: Path) -> None:
    net = nn.Linear(2, 3)
    load_weights(net, path)
    assert torch.equal(net.weight, STATE["weight"])
    assert torch.equal(net.bias, STATE["bias"])


def save(content: object, path: Path) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not path.name.startswith("legacy"))
    return path


def refusal(path: Path) -> str:
    net = nn.Linear(2, 3)
    before = net.weight.clone()
    with pytest.raises(ValueError, match="^" + re.escape(f"{path} ") + ".*$") as error:
        load_weights(net, path)
    assert torch.equal(net.weight, before)
    return str(error.value).removeprefix(f"{path} ")


@pytest.mark.parametrize("suffix", FORMS)
@pytest.mark.parametrize(
    "checkpoint",
    [
        STATE,
        {"state_dict": STATE, "optimizer_states": [OPTIMISER], "epoch": 7},
        {"epoch": torch.tensor(7), "model": STATE, "optimizer": OPTIMISER},
        {"model": {"state_dict": STATE, "version": 2}, "ema": {"weight": torch.zeros(3, 2)}},
        {"optimizer": OPTIMISER, "generator_weights": STATE},
        STATE | {"epoch": 7, "optimizer": OPTIMISER},
    ],
)
def test_a_checkpoint_gives_its_state_dict_under_any_name(suffix: str, checkpoint, tmp_path: Path) -> None:
    assert_loads(save(checkpoint, tmp_path / f"{'' if suffix.startswith('legacy') else 'weights'}{suffix}"))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_safetensors_are_known_by_their_content(suffix: str, tmp_path: Path) -> None:
    save_file(STATE, tmp_path / f"weights{suffix}")
    assert_loads(tmp_path / f"weights{suffix}")


def test_a_pickled_file_is_known_by_its_content(tmp_path: Path) -> None:
    assert_loads(save(STATE, tmp_path / "weights.safetensors"))


@pytest.mark.parametrize("file", ["new.pt", "legacy.pt"])
@pytest.mark.parametrize(
    "beside",
    [
        np.float64(0.5),
        np.int64(3),
        np.arange(3),
        np.random.RandomState(0).get_state(),
        argparse.Namespace(lr=0.1, out=Path("runs"), best=np.float32(0.5)),
        types.SimpleNamespace(lr=0.1),
        torch.__version__,
        Path("runs"),
    ],
    ids=["scalar", "integer", "array", "generator", "namespace", "simple namespace", "version", "path"],
)
def test_plain_data_beside_the_tensors_does_not_matter(file: str, beside, tmp_path: Path) -> None:
    assert_loads(save({"state_dict": STATE, "beside": beside}, tmp_path / file))
    allowed = [entry for entry in torch.serialization.get_safe_globals() if isinstance(entry, tuple)]
    assert not allowed, "what was replaced while reading is refused elsewhere again"


class Bomb:
    """Pickles as a call that leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


class Pretender(Bomb):
    """The same behind an object that is replaced while reading."""

    def __reduce__(self):
        return (argparse.Namespace, (), {"bomb": Bomb(self.trace)})


@pytest.mark.parametrize("file", ["new.pt", "new.pth", "new.ckpt", "legacy.pt"])
@pytest.mark.parametrize("kind", [Bomb, Pretender])
def test_code_in_a_file_is_refused_by_name_and_never_executed(file: str, kind, tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    message = refusal(save({"state_dict": STATE, "note": kind(trace)}, tmp_path / file))
    assert message.startswith("holds a getattr beside tensors and was refused; nothing of it was executed.")
    assert not trace.exists()


def test_a_pickle_without_torch_is_refused_and_never_executed(tmp_path: Path) -> None:
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"state_dict": 3, "note": Bomb(tmp_path / "executed")}))
    assert "is no weights file: expected one by torch.save" in refusal(tmp_path / "plain.pt")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("file", ["new.pt", "legacy.pt"])
def test_the_culprit_is_named_and_its_advice_works(file: str, tmp_path: Path) -> None:
    net = nn.Linear(2, 3)
    net.load_state_dict(STATE)
    message = refusal(save(net, tmp_path / file))
    assert "holds a torch.nn.modules.linear.Linear beside tensors" in message
    assert "save the tensors alone: torch.save(model.state_dict(), ...)" in message
    assert_loads(save(net.state_dict(), tmp_path / file))


def test_a_new_pickle_protocol_is_named_and_its_advice_works(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(STATE, path, pickle_protocol=4)
    assert "save it again without a pickle_protocol" in refusal(path)
    torch.save(STATE, path)
    assert_loads(path)


def test_a_script_is_named_and_its_advice_works(tmp_path: Path) -> None:
    net = nn.Linear(2, 3)
    net.load_state_dict(STATE)
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("script/data.pkl", b"")
        archive.writestr("script/constants.pkl", b"")
    assert "holds a TorchScript program" in refusal(tmp_path / "script.pt")
    assert_loads(save(net.state_dict(), tmp_path / "script.pt"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty."),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 46830571\n", "is a Git-LFS pointer"),
        (b"\n<!DOCTYPE html>\n<html><head><title>Sign in</title>", "is a web page"),
        (b"<HTML><body>404", "is a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "is a web page"),
        (gzip.compress(b"weights", mtime=0), "is an archive. Unpack it"),
        (b'{"error": "not found"}', "is no weights file: expected one by torch.save"),
        (b"no weights", "is no weights file: expected one by torch.save"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 500, "is no weights file: expected one by torch.save"),
        (b"\x10\0\0\0\0\0\0\0{ no header at all", "is cut short or damaged."),
    ],
)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_another_file_is_told_what_it_is(suffix: str, content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights.{suffix}"
    path.write_bytes(content)
    assert refusal(path).startswith(said)


def test_an_archive_is_told_and_its_advice_works(tmp_path: Path) -> None:
    save(STATE, tmp_path / "inside.pth")
    with tarfile.open(tmp_path / "weights.pth.tar", "w") as archive:
        archive.add(tmp_path / "inside.pth", "inside.pth")
    with zipfile.ZipFile(tmp_path / "weights.zip", "w") as packed:
        packed.write(tmp_path / "inside.pth", "inside.pth")
    (tmp_path / "weights.gz").write_bytes(gzip.compress((tmp_path / "inside.pth").read_bytes()))
    for name in ("weights.pth.tar", "weights.zip", "weights.gz"):
        assert "archive" in refusal(tmp_path / name)
        assert "Unpack it" in refusal(tmp_path / name)
    (tmp_path / "out.pth").write_bytes(gzip.decompress((tmp_path / "weights.gz").read_bytes()))
    assert_loads(tmp_path / "out.pth")


@pytest.mark.parametrize("file", ["new.pt", "legacy.pt", "weights.safetensors"])
def test_a_file_cut_anywhere_is_refused_in_words(file: str, tmp_path: Path) -> None:
    whole = tmp_path / file
    save_file(STATE, whole) if whole.suffix == ".safetensors" else save(STATE, whole)
    content = whole.read_bytes()
    for length in sorted({*range(16, len(content), 7), len(content) - 1}):
        whole.write_bytes(content[:length])
        assert refusal(whole).startswith("is cut short or damaged. Copy or download it again."), length
    whole.write_bytes(content)
    assert_loads(whole)


@pytest.mark.parametrize("file", ["new.pt", "legacy.pt", "weights.safetensors"])
def test_a_damaged_file_never_ends_in_another_error(file: str, tmp_path: Path) -> None:
    path = tmp_path / file
    save_file(STATE, path) if path.suffix == ".safetensors" else save({"state_dict": STATE, "n": 3}, path)
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    messages = []
    for _ in range(300):
        damaged = bytearray(content)
        for place in generator.integers(0, len(content), 3):
            damaged[place] = generator.integers(0, 256)
        path.write_bytes(damaged)
        try:
            load_weights(nn.Linear(2, 3), path)
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert all(message.startswith(str(path)) and "\n" not in message for message in messages)


def test_an_absent_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"No weights file at .*absent\.pt\.$"):
        load_weights(nn.Linear(2, 3), tmp_path / "absent.pt")
    with pytest.raises(FileNotFoundError, match=r"it is a folder\. Give a file in it\."):
        load_weights(nn.Linear(2, 3), tmp_path)
    for name in ("a" * 5000, "a\0b"):
        with pytest.raises(FileNotFoundError, match=r"^'a.* cannot be opened"):
            load_weights(nn.Linear(2, 3), name)
    assert_loads(save(STATE, tmp_path / "absent.pt"))


@pytest.mark.parametrize(
    ("checkpoint", "said"),
    [
        ({"conv1.weight": 3}, "expected tensors by name, got 'conv1.weight' with a int."),
        ({"weight": np.zeros((3, 2))}, "expected tensors by name, got 'weight' with a value that is no tensor."),
        ({"state_dict": [1, 2]}, "expected tensors by name, got 'state_dict' with a list."),
        ({}, "expected tensors by name, got a dict that is empty."),
        ({0: torch.zeros(3)}, "expected tensors by name, got 0 with a Tensor."),
        (torch.zeros(3), "expected tensors by name, got a Tensor."),
        ([STATE], "expected tensors by name, got a list."),
    ],
)
def test_a_file_without_a_state_dict_is_told_what_it_holds(checkpoint, said: str, tmp_path: Path) -> None:
    assert refusal(save(checkpoint, tmp_path / "weights.pt")) == f"holds no state dict: {said}"


def test_several_state_dicts_are_named_and_the_advice_works(tmp_path: Path) -> None:
    both = {"generator": STATE, "critic": {"weight": torch.zeros(3, 2), "bias": torch.zeros(3)}}
    path = save(both, tmp_path / "weights.pt")
    assert refusal(path) == "holds several state dicts: 'generator', 'critic'. Give one of them, as a dict."
    net = nn.Linear(2, 3)
    load_weights(net, torch.load(path, weights_only=True)["generator"])
    assert torch.equal(net.weight, STATE["weight"])


def test_without_safetensors_its_files_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"weights.safetensors needs safetensors: pip install safetensors\.$"):
        load_weights(nn.Linear(1, 2), path)
