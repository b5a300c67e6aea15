"""Read a weights file without executing anything in it."""

from __future__ import annotations

import os
import re
import threading
import zipfile
from collections.abc import Mapping
from os import PathLike
from typing import Any

import torch
from torch import Tensor

# Where checkpoints keep the state dict, beside the optimiser's state and the epoch. The first match is used.
_USUAL_NAMES = ("state_dict", "model", "model_state_dict", "net", "network", "module", "weights", "params")
# Plain data that training scripts save beside the tensors. It is replaced by _NotATensor.
_PLAIN_DATA: dict[str, tuple[str, ...]] = {
    "argparse": ("Namespace",),
    "types": ("SimpleNamespace",),
    "torch.torch_version": ("TorchVersion",),
    "numpy": ("dtype", "ndarray"),
    "numpy.core.multiarray": ("scalar", "_reconstruct"),
    "numpy._core.multiarray": ("scalar", "_reconstruct"),
    "pathlib": ("PosixPath", "WindowsPath"),
    "pathlib._local": ("PosixPath", "WindowsPath"),
}
# The first bytes of files that are often mistaken for weights, and what to do.
_OTHER_FILES = {
    rb"\s*version https://git-lfs": "is a Git-LFS pointer, not weights. Run: git lfs pull",
    rb"\s*<(!doctype|html|head|\?xml)": "is a web page, not weights. Open it in a browser to see what it says, and "
    "download the weights themselves.",
    rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|.{257}ustar": "is an archive. Unpack it and pass the weights file inside.",
}
# torch.serialization.safe_globals affects the whole process.
_replacing = threading.Lock()


class _NotATensor:
    """Accepts any arguments and ignores them."""

    def __new__(cls, *args: Any) -> _NotATensor:
        return super().__new__(cls)

    def __init__(self, *args: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


def read_weights(source: str | PathLike[str]) -> object:
    """Return the contents of a file by ``torch.save`` or safetensors, on the CPU, whatever the file's name.

    ``torch.save`` writes a checksum for each tensor, which is verified. Its format before torch 1.6 and safetensors
    have none, so damage is found only if it breaks the structure of the file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged file, another kind of file, or objects that cannot be read without executing code.
    """
    if not os.path.isfile(source):
        raise FileNotFoundError(f"No weights file at {source!s:.200}: expected a path to a file, not a folder or URL.")
    with open(source, "rb") as file:
        head = file.read(512)
    for pattern, what in _OTHER_FILES.items():
        if re.match(pattern, head, re.IGNORECASE | re.DOTALL):
            raise ValueError(f"{source} {what}")
    read = _safetensors_reader() if head[8:9] == b"{" else _read_pickled
    try:
        if head.startswith(b"PK"):
            _verify_checksums(source)
        return read(source)
    except Exception as error:
        found = re.search(r"GLOBAL (?:builtins\.)?(\S+) (?:was not|whose module)|(TorchScript)", str(error))
    cause = (
        f"holds more than tensors ({found[1] or found[2]}), or is damaged"
        if found
        else "is damaged, or not a weights file"
    )
    raise ValueError(
        f"{source} {cause}; nothing in it was executed. Copy or download it again, or save only the tensors where it "
        "was created: torch.save(model.state_dict(), ...)."
    )


def _read_pickled(source: str | PathLike[str]) -> object:
    replaced: list[Any] = [(_NotATensor, f"{module}.{name}") for module, names in _PLAIN_DATA.items() for name in names]
    with open(source, "rb") as file, _replacing, torch.serialization.safe_globals(replaced):
        return torch.load(file, map_location="cpu", weights_only=True)


def _safetensors_reader() -> Any:
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise ImportError("Reading a safetensors file needs safetensors: pip install safetensors.") from None
    return load_file


def _verify_checksums(source: str | PathLike[str]) -> None:
    """Compare every record with its checksum, which torch.load does not."""
    with zipfile.ZipFile(source) as archive:
        for record in archive.infolist():
            if record.external_attr & 0x10 and record.file_size:
                raise zipfile.BadZipFile  # torch.load would skip it as a folder and return uninitialised memory
            if record.CRC:  # 0 if saved under torch.serialization.set_crc32_options(False)
                with archive.open(record) as stream:
                    while stream.read(2**20):
                        pass


def state_dict_in(content: object, name: str) -> Mapping[Any, Any]:
    """Return the part of a checkpoint that maps names to tensors.

    Raises:
        ValueError: there is none, there are several without a usual name, or a dict contains itself.
    """
    outer: list[object] = []
    while isinstance(content, Mapping):
        if any(content is one for one in outer):
            raise ValueError(f"{name} holds a dict that contains itself. Pass only the state dict.")
        outer.append(content)
        inner = [content[key] for key in _USUAL_NAMES if isinstance(content.get(key), Mapping)][:1]
        if not inner and _holds_tensors(content):
            return content
        inner = inner or list(filter(_holds_tensors, content.values()))
        if len(inner) != 1:
            break
        content = inner[0]
    items = list(content.items())[:4] if isinstance(content, Mapping) else []
    listed = ", ".join(f"{key!r}: {type(value).__name__}" for key, value in items)
    raise ValueError(
        f"{name} holds no single state dict: expected tensors by name, got a {type(content).__name__}"
        + (f" of {listed}." if listed else ".")
    )


def _holds_tensors(content: object) -> bool:
    return isinstance(content, Mapping) and any(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    )
