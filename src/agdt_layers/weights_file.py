"""Reading a weights file safely: its tensors come out, nothing in it is executed, and what it is instead is said."""

from __future__ import annotations

import pickle
import re
import threading
import zipfile
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

# Where checkpoints keep the state dict, beside the optimiser's state and the epoch; the first that is there counts.
_WRAPPERS = (
    "state_dict",
    "model",
    "model_state_dict",
    "model_state",
    "net",
    "network",
    "module",
    "weights",
    "params",
)
# Plain data that training scripts save beside the tensors. It is replaced while reading, not built.
_REPLACED = (
    "argparse.Namespace",
    "types.SimpleNamespace",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.dtype",
    "numpy.ndarray",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "torch.torch_version.TorchVersion",
)
# torch.serialization.safe_globals acts on the whole process.
_replacing = threading.Lock()
_MAGIC_NUMBER = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


class _Replaced:
    """Stands for an object of ``_REPLACED``: takes anything, does nothing with it."""

    def __new__(cls, *args: Any) -> _Replaced:
        return super().__new__(cls)

    def __init__(self, *args: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


def read_weights(source: str | PathLike[str]) -> object:
    """Give what a file by ``torch.save`` or safetensors holds, on the CPU; its content says which it is, not its name.

    Raises:
        FileNotFoundError: no such file.
        ValueError: any other file, a damaged one, or one with objects that only executing it could build.
    """
    if "://" in str(source):
        raise FileNotFoundError(f"No weights file at {source}: it is a link. Download the file and give its path.")
    path = Path(source)
    try:
        if path.is_dir():
            raise FileNotFoundError(f"No weights file at {path}: it is a folder. Give a file in it.")
        with path.open("rb") as file:
            head = file.read(512)
    except FileNotFoundError as error:
        raise FileNotFoundError(str(error) if error.errno is None else f"No weights file at {path}.") from None
    except (OSError, ValueError) as error:
        raise FileNotFoundError(f"{str(path)[:200]!r} cannot be opened: {error!s:.100}.") from None
    _refuse_other_files(path, head)
    if head[8:9] == b"{":
        return _read_safetensors(path)
    return _read_pickled(path)


def state_dict_in(content: object, name: str) -> Mapping[object, object]:
    """Give the part of a checkpoint that holds tensors by name.

    Raises:
        ValueError: there is none, or there are several and none has one of the usual names.
    """
    if isinstance(content, Mapping):
        for wrapper in _WRAPPERS:
            if isinstance(content.get(wrapper), Mapping):
                return state_dict_in(content[wrapper], name)
        if _holds_tensors(content):
            return content
        found = [key for key, value in content.items() if isinstance(value, Mapping) and _holds_tensors(value)]
        if len(found) > 1:
            listed = ", ".join(repr(key) for key in found[:4]) + (", ..." if len(found) > 4 else "")
            raise ValueError(f"{name} holds several state dicts: {listed}. Give one of them, as a dict.")
        if found:
            return state_dict_in(content[found[0]], name)
        if content:
            key, value = next(iter(content.items()))
            raise ValueError(
                f"{name} holds no state dict: expected tensors by name, got {key!r} with a {_type_of(value)}."
            )
    raise ValueError(f"{name} holds no state dict: expected tensors by name, got a {_type_of(content)}.")


def _holds_tensors(content: Mapping[Any, Any]) -> bool:
    return any(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items())


def _type_of(value: object) -> str:
    if isinstance(value, Mapping) and not value:
        return f"{type(value).__name__} that is empty"
    return "value that is no tensor" if isinstance(value, _Replaced) else type(value).__name__


def _damaged(path: Path) -> ValueError:
    return ValueError(f"{path} is cut short or damaged. Copy or download it again.")


def _refuse_other_files(path: Path, head: bytes) -> None:
    """Let through what begins like a file by ``torch.save`` or safetensors; say of any other what it is."""
    start = head.lstrip()[:40].lower()
    if not head:
        raise ValueError(f"{path} is empty. Copy or download it again.")
    if start.startswith(b"version https://git-lfs"):
        raise ValueError(f"{path} is a Git-LFS pointer; the weights themselves were not downloaded. Run: git lfs pull")
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        raise ValueError(
            f"{path} is a web page, not weights: the link led to a page. Open the file in a browser to see what it "
            "says, and download the weights themselves."
        )
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf")) or head[257:262] == b"ustar":
        raise ValueError(f"{path} is an archive. Unpack it and give the weights file inside.")
    if head.startswith(b"PK"):
        try:
            with zipfile.ZipFile(path) as archive:
                names = [name.rpartition("/")[2] for name in archive.namelist()]
        except Exception:  # BadZipFile of a cut file, almost anything of a damaged one
            raise _damaged(path) from None
        if "constants.pkl" in names:
            raise ValueError(
                f"{path} holds a TorchScript program, which could only be executed. "
                "Where it was made, save the weights alone: torch.save(model.state_dict(), ...)."
            )
        if "data.pkl" not in names:
            raise ValueError(f"{path} is a zip archive without weights by torch.save. Unpack it, if they are inside.")
    elif head[8:9] != b"{" and _MAGIC_NUMBER not in head[:40]:
        raise ValueError(
            f"{path} is no weights file: expected one by torch.save (.pt, .pth, .ckpt, .pth.tar) or a .safetensors. "
            "Save the weights so: torch.save(model.state_dict(), ...)."
        )


def _read_pickled(path: Path) -> object:
    with path.open("rb") as file:
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:
            refused = error
        try:
            if _culprit(refused) in _REPLACED:
                file.seek(0)
                with _replacing, torch.serialization.safe_globals([(_Replaced, name) for name in _REPLACED]):
                    return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:
            refused = error
        culprit = None if _ends_in_a_name(file) else _culprit(refused)
    if culprit is not None:
        raise ValueError(
            f"{path} holds a {culprit} beside tensors and was refused; nothing of it was executed. "
            "Where it was made, save the tensors alone: torch.save(model.state_dict(), ...)."
        )
    if isinstance(refused, pickle.UnpicklingError) and "Unsupported operand" in str(refused):
        raise ValueError(
            f"{path} is pickled in a way that only an unsafe reader understands, or damaged. "
            "Where it was made, save it again without a pickle_protocol: torch.save(model.state_dict(), ...)."
        )
    raise _damaged(path)


def _ends_in_a_name(file: BinaryIO) -> bool:
    """Of a cut file in torch's older format, the last name read may be half a name."""
    at_end = not file.read(1)
    file.seek(0)
    return at_end and file.read(2) != b"PK"


def _culprit(error: Exception) -> str | None:
    found = re.search(r"GLOBAL (\S+) (?:was not|whose module)", str(error))
    return found[1].removeprefix("builtins.") if found else None  # an older torch writes it


def _read_safetensors(path: Path) -> object:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise ImportError(f"Reading {path} needs safetensors: pip install safetensors.") from None
    try:
        return load_file(path)
    except SafetensorError:
        raise _damaged(path) from None
