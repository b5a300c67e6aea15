"""Reading weights files: damaged and other files raise a one-line error, and nothing in a file is executed."""

import argparse
import gzip
import pickle
import re
import sys
import tarfile
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from agdt_layers import load_weights

STATE = {
    "weight": torch.tensor([[1.0, 2.0], [3.0, 5.0], [7.0, 11.0]], device="cpu"),
    "bias": torch.tensor([13.0, 17.0, 19.0], device="cpu"),
}
OPTIMISER = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(3, 2)}}, "param_groups": [{"lr": 0.1}]}
FORMATS = ["zip.pt", "before-1.6.pt", "weights.safetensors"]


def save(content: object, path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=path.stem != "before-1.6")
    return path


def loads_equal(path: Path) -> bool:
    net = nn.Linear(2, 3, device="cpu")
    return not load_weights(net, path).missing and all(torch.equal(net.state_dict()[key], STATE[key]) for key in STATE)


def refusal(path: Path) -> str:
    net = nn.Linear(2, 3)
    before = net.weight.clone()
    with pytest.raises(ValueError, match="^" + re.escape(f"{path} ") + ".*$") as error:
        load_weights(net, path)
    assert torch.equal(net.weight, before)
    return str(error.value).removeprefix(f"{path} ")


CHECKPOINTS: list[dict[str, object]] = [
    STATE,
    {"state_dict": STATE, "optimizer_states": [OPTIMISER], "epoch": 7},
    {"epoch": torch.tensor(7), "model": STATE, "optimizer": OPTIMISER},
    {"model": {"state_dict": STATE, "version": 2}, "ema": {"weight": torch.zeros(3, 2)}},
    {"optimizer": OPTIMISER, "generator_weights": STATE},
]


@pytest.mark.parametrize("saved_as", FORMATS[:2])
@pytest.mark.parametrize("name", ["weights.pth.tar", "weights", "weights.safetensors"])
@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_state_dict_is_found_in_a_checkpoint_of_any_name(saved_as: str, name: str, checkpoint, tmp_path: Path) -> None:
    assert loads_equal(save(checkpoint, tmp_path / saved_as).rename(tmp_path / name))


def test_safetensors_file_loads_under_any_name(tmp_path: Path) -> None:
    assert loads_equal(save(STATE, tmp_path / "weights.safetensors").rename(tmp_path / "weights.pt"))


@pytest.mark.parametrize("name", FORMATS[:2])
@pytest.mark.parametrize(
    "beside",
    [
        np.float64(0.5),
        np.arange(3),
        np.random.RandomState(0).get_state(),
        argparse.Namespace(lr=0.1, out=Path("runs"), best=np.float32(0.5)),
        types.SimpleNamespace(lr=0.1),
        torch.__version__,
    ],
    ids=["scalar", "array", "generator", "namespace", "simple namespace", "version"],
)
def test_plain_data_beside_the_tensors_is_ignored(name: str, beside, tmp_path: Path) -> None:
    assert loads_equal(save({"state_dict": STATE, "beside": beside}, tmp_path / name))
    assert not [entry for entry in torch.serialization.get_safe_globals() if isinstance(entry, tuple)]


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


class HiddenBomb(Bomb):
    """A bomb inside an object that the reader replaces."""

    def __reduce__(self):
        return (argparse.Namespace, (), {"bomb": Bomb(self.trace)})


@pytest.mark.parametrize("name", FORMATS[:2])
@pytest.mark.parametrize("kind", [Bomb, HiddenBomb])
def test_code_in_a_file_raises_and_is_not_executed(name: str, kind, tmp_path: Path) -> None:
    message = refusal(save({"state_dict": STATE, "note": kind(tmp_path / "executed")}, tmp_path / name))
    assert message.startswith("holds more than tensors (getattr), or is damaged; nothing in it was executed.")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"state_dict": 3, "note": kind(tmp_path / "executed")}))
    refusal(tmp_path / "plain.pt")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", FORMATS[:2])
def test_pickled_module_raises_and_the_message_names_its_class(name: str, tmp_path: Path) -> None:
    message = refusal(save(nn.Linear(2, 3), tmp_path / name))
    assert "holds more than tensors (torch.nn.modules.linear.Linear)" in message
    assert "save only the tensors where it was created: torch.save(model.state_dict(), ...)" in message


def test_torchscript_program_raises(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("script/data.pkl", b"")
        archive.writestr("script/constants.pkl", b"")
        archive.writestr("script/version", b"3")
    with pytest.warns(UserWarning, match="TorchScript"):
        assert "holds more than tensors (TorchScript)" in refusal(tmp_path / "script.pt")


UNREADABLE = "is damaged, or not a weights file; nothing in it was executed. Copy or download it again"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", UNREADABLE),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 46830571\n", "is a Git-LFS pointer"),
        (b"\n<!DOCTYPE html>\n<html><head><title>Sign in</title>", "is a web page"),
        (b"<HTML><body>404", "is a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "is a web page"),
        (gzip.compress(b"weights", mtime=0), "is an archive. Unpack it"),
        (b'{"error": "not found"}', UNREADABLE),
        (b"no weights", UNREADABLE),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 500, UNREADABLE),
        (b"\x10\0\0\0\0\0\0\0{ no header at all", UNREADABLE),
        (b"PK\x03\x04 and no archive", UNREADABLE),
    ],
)
def test_other_kinds_of_file_raise_and_the_message_names_them(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    assert refusal(path).startswith(message)


def test_tar_archive_raises(tmp_path: Path) -> None:
    save(STATE, tmp_path / "inside.pth")
    with tarfile.open(tmp_path / "weights.pth.tar", "w") as archive:
        archive.add(tmp_path / "inside.pth", "inside.pth")
    assert refusal(tmp_path / "weights.pth.tar") == "is an archive. Unpack it and pass the weights file inside."


def test_unsupported_pickle_protocol_raises(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "weights.pt", pickle_protocol=4)
    assert refusal(tmp_path / "weights.pt").startswith(UNREADABLE)


def truncations(content: bytes) -> Iterator[bytes]:
    for length in sorted({*range(0, len(content), 7), len(content) - 1}):
        yield content[:length]


def flips(content: bytes) -> Iterator[bytes]:
    generator = np.random.default_rng(0)
    for place in generator.permutation(len(content))[:400]:
        yield content[:place] + bytes([content[place] ^ generator.integers(1, 256)]) + content[place + 1 :]


@pytest.mark.parametrize("name", FORMATS)
def test_truncated_file_raises(name: str, tmp_path: Path) -> None:
    path = save(STATE, tmp_path / name)
    for content in truncations(path.read_bytes()):
        path.write_bytes(content)
        assert "is damaged" in refusal(path), len(content)


@pytest.mark.parametrize("name", FORMATS)
def test_flipped_byte_raises_or_is_harmless(name: str, tmp_path: Path) -> None:
    path = save(STATE, tmp_path / name)
    messages = []
    for content in flips(path.read_bytes()):
        path.write_bytes(content)
        try:
            # The other formats have no checksums, so a value or a key may have changed.
            assert loads_equal(path) or name != "zip.pt", content
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert all(message.startswith(str(path)) and "\n" not in message for message in messages)


def test_flipped_byte_of_a_tensor_raises(tmp_path: Path) -> None:
    path = save(STATE, tmp_path / "zip.pt")
    content = path.read_bytes()
    place = content.index(STATE["bias"].numpy().tobytes())
    path.write_bytes(content[:place] + b"\1" + content[place + 1 :])
    assert refusal(path).startswith(UNREADABLE)


def test_tensor_record_marked_as_a_folder_raises(tmp_path: Path) -> None:
    path = save(STATE, tmp_path / "zip.pt")
    content = bytearray(path.read_bytes())
    # torch.load skips such a record and returns uninitialised memory.
    content[content.rindex(b"zip/data/0") - 8] = 0x10
    path.write_bytes(content)
    assert refusal(path).startswith(UNREADABLE)


def test_file_saved_without_checksums_loads(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        path = save(STATE, tmp_path / "zip.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert loads_equal(path)


def test_recompressed_file_loads(tmp_path: Path) -> None:
    path = save(STATE, tmp_path / "zip.pt")
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(tmp_path / "again.pt", "w", zipfile.ZIP_DEFLATED) as again:
        again.mkdir("zip")
        for record in archive.namelist():
            again.writestr(record, archive.read(record))
    assert loads_equal(tmp_path / "again.pt")


@pytest.mark.parametrize("name", ["absent.pt", "", "a" * 5000, "a\0b"])
def test_path_without_a_file_raises(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^No weights file at .{1,200}: expected a path to a file"):
        load_weights(nn.Linear(2, 3), f"{tmp_path}/{name}")


def test_url_raises() -> None:
    with pytest.raises(FileNotFoundError, match=r"^No weights file at https://.*, not a folder or URL\.$"):
        load_weights(nn.Linear(2, 3), "https://example.org/weights.pt")


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        ({"conv1.weight": 3}, "a dict of 'conv1.weight': int"),
        ({"weight": np.zeros((3, 2))}, "a dict of 'weight': _NotATensor"),
        ({"state_dict": [1, 2]}, "a dict of 'state_dict': list"),
        ({}, "a dict"),
        ({0: torch.zeros(3)}, "a dict of 0: Tensor"),
        ([STATE], "a list"),
        ({"generator": STATE, "critic": STATE}, "a dict of 'generator': dict, 'critic': dict"),
    ],
)
def test_file_without_a_single_state_dict_raises(checkpoint, message: str, tmp_path: Path) -> None:
    path = save(checkpoint, tmp_path / "weights.pt")
    assert refusal(path) == f"holds no single state dict: expected tensors by name, got {message}."


@pytest.mark.parametrize("keys", [("model",), ("state_dict", "model"), ("net", "other", "model")])
@pytest.mark.parametrize("from_file", [False, True])
def test_dict_that_contains_itself_raises(keys: tuple[str, ...], from_file: bool, tmp_path: Path) -> None:
    inner = outermost = {}
    for key in keys[:-1]:
        inner[key] = {}
        inner = inner[key]
    inner.update({"weight": torch.ones(3, 2), keys[-1]: outermost})
    with pytest.raises(ValueError, match=r"holds a dict that contains itself\. Pass only the state dict\.$"):
        load_weights(nn.Linear(2, 3), save(outermost, tmp_path / "zip.pt") if from_file else outermost)


def test_missing_safetensors_package_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(STATE, tmp_path / "weights.safetensors")
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ImportError, match=r"needs safetensors: pip install safetensors\.$"):
        load_weights(nn.Linear(2, 3), path)
