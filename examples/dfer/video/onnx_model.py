"""A network in an ONNX file, described by the JSON file beside it: a stream's step, or a classifier of single faces."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from dfer.errors import BadInput
from dfer.training.trained_file import TrainedFacts, facts_of

CLASSIFIER = (
    'expected "classes" (names), "size" (pixels), "mean" and "std" (three numbers each), "num_frames" (whose '
    'probabilities are averaged) and "output" ("logits" or "probabilities")'
)


class OnnxModel(Protocol):
    """One face's next frame (3, H, W) and its state to probabilities (classes) and the new state."""

    def initial_state(self) -> Any: ...

    def __call__(self, frame: Tensor, state: Any) -> tuple[Tensor, Any]: ...


class OnnxFaces:
    """Probabilities of several faces, one frame after the other, each face with a state of its own."""

    def __init__(self, model: OnnxModel) -> None:
        self._model = model
        self._states: dict[int, Any] = {}

    def push(self, frames: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """Map each face's next normalised frames (n, 3, H, W) to its probabilities (n, classes)."""
        return {face: torch.stack([self._next(face, frame) for frame in run]) for face, run in frames.items()}

    def keep_only(self, faces: Iterable[int]) -> None:
        """Drop the states of all other faces."""
        kept = set(faces)
        self._states = {face: state for face, state in self._states.items() if face in kept}

    def _next(self, face: int, frame: Tensor) -> Tensor:
        state = self._states[face] if face in self._states else self._model.initial_state()
        probabilities, self._states[face] = self._model(frame, state)
        return probabilities


class Step:
    """The stream's step of export_stream.py."""

    def __init__(self, session: Any, state: Mapping[str, Any]) -> None:
        self._session, self._kept = session, state

    def initial_state(self) -> dict[str, Any]:
        shapes = {
            name: (torch.Size((1, *own["shape"])), getattr(torch, own["dtype"])) for name, own in self._kept.items()
        }
        return {name: torch.zeros(shape, dtype=dtype).numpy() for name, (shape, dtype) in shapes.items()}

    def __call__(self, frame: Tensor, state: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        scores, *new = self._session.run(None, {"frames": frame[None].numpy(), **state})
        return torch.from_numpy(scores)[0].softmax(0), dict(zip(state, new, strict=True))


class Classifier:
    """A classifier of single faces; its probabilities are averaged over the last ``num_frames`` frames."""

    def __init__(self, session: Any, name: str, logits: bool, num_frames: int) -> None:
        self._session, self._name, self._logits, self._num_frames = session, name, logits, num_frames
        self._input = session.get_inputs()[0].name

    def initial_state(self) -> Sequence[Tensor]:
        return ()

    def __call__(self, frame: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        own = torch.from_numpy(self._session.run(None, {self._input: frame[None].numpy()})[0])[0]
        if self._logits:
            own = own.softmax(0)
        elif not (own.min() >= 0 and abs(float(own.sum()) - 1) < 1e-3):
            raise BadInput(
                f"{self._name}: expected probabilities, got outputs from {own.min():.3g} to {own.max():.3g} with sum "
                f'{own.sum():.3g}; should "output" be "logits"?'
            )
        recent = (*state, own)[-self._num_frames :]
        return torch.stack(recent).mean(0), recent


def load_onnx(path: Path) -> tuple[OnnxFaces, TrainedFacts]:
    """Load the model and the JSON file of the same name beside it. Raises BadInput if they cannot be used together."""
    try:
        import onnxruntime
    except ImportError:
        raise BadInput("--onnx needs ONNX Runtime: pip install onnxruntime") from None
    if not path.is_file():
        raise BadInput(f"--onnx {path}: no such file; expected an ONNX model")
    about = read_description(path.with_suffix(".json"))
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no other class
        raise BadInput(f"--onnx {path}: ONNX Runtime cannot read it ({str(error).splitlines()[0]})") from None
    if "state" in about:
        facts = _facts_of_step(path, about)
        expected: dict[str | None, list[int | None]] = {"frames": [None, 3, facts.size, facts.size]}
        expected |= {name: [None, *own["shape"]] for name, own in about["state"].items()}
        check_fit(path, session, expected, len(facts.classes))
        return OnnxFaces(Step(session, about["state"])), facts
    facts = facts_of_classifier(path, about)
    check_fit(path, session, {None: [None, 3, facts.size, facts.size]}, len(facts.classes))
    return OnnxFaces(Classifier(session, path.name, about["output"] == "logits", facts.frames)), facts


def read_description(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file; it must describe the ONNX model beside it: {CLASSIFIER}") from None
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(about, dict):
        raise BadInput(f"{path}: expected a JSON object; {CLASSIFIER}")
    return about


def facts_of_classifier(path: Path, about: Mapping[str, Any]) -> TrainedFacts:
    """Raises BadInput, naming the first entry of the description that is missing or cannot be right."""

    def three(value: Any) -> bool:
        return isinstance(value, list) and len(value) == 3 and all(isinstance(v, int | float) for v in value)

    def count(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 1

    def names(value: Any) -> bool:
        return isinstance(value, list) and len(value) > 1 and all(isinstance(v, str) for v in value)

    rules: dict[str, Callable[[Any], bool]] = {
        "classes": names,
        "size": count,
        "mean": three,
        "std": lambda value: three(value) and min(value) > 0,
        "num_frames": count,
        "output": lambda value: value in ("logits", "probabilities"),
    }
    for name, holds in rules.items():
        if not holds(about.get(name)):
            raise BadInput(f"{path.with_suffix('.json')}: {name} is {about.get(name, 'missing')!r}; {CLASSIFIER}")
    return TrainedFacts(
        classes=tuple(about["classes"]),
        mean=tuple(about["mean"]),
        std=tuple(about["std"]),
        size=about["size"],
        frames=about["num_frames"],
        frames_per_segment=1,
        net={"model": path.name},
        trained_on=f"data that {path.name} does not name",
        epoch=0,
        epoch_selected_on="",
        uar=math.nan,
        war=math.nan,
        recall=(None,) * len(about["classes"]),
    )


def _facts_of_step(path: Path, about: Mapping[str, Any]) -> TrainedFacts:
    try:
        for kept in about["state"].values():
            torch.zeros(kept["shape"], dtype=getattr(torch, kept["dtype"]))
        return facts_of(about["trained"])
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError):
        raise BadInput(
            f"{path.with_suffix('.json')}: expected the stream.json of export_stream.py, got another"
        ) from None


def check_fit(path: Path, session: Any, expected: Mapping[str | None, Sequence[int | None]], classes: int) -> None:
    """Raise BadInput unless the model takes a batch of one of these inputs and scores these classes first."""
    inputs = {entry.name: entry for entry in session.get_inputs()}
    if None in expected and len(inputs) == 1:
        expected = dict(zip(inputs, expected.values(), strict=True))
    fits = inputs.keys() == expected.keys() and all(
        _fits(inputs[name].shape, shape) for name, shape in expected.items()
    )
    # Only the number of frames seen, in the state of a step, is an integer.
    fits = fits and all(own.type == f"tensor({'int64' if name == 'seen' else 'float'})" for name, own in inputs.items())
    if not fits or not _fits(session.get_outputs()[0].shape, [None, classes]):
        wants = ", ".join(f"{entry.name} {entry.type} {entry.shape}" for entry in inputs.values())
        gives = session.get_outputs()[0]
        needed = ", ".join(f"{name or 'one input'} {['N', *shape[1:]]}" for name, shape in expected.items())
        raise BadInput(
            f"--onnx {path}: takes {wants} and gives {gives.shape}; expected float32 {needed} and scores "
            f"['N', {classes}], N dynamic or 1, as its JSON file says"
        )


def _fits(shape: Sequence[Any], expected: Sequence[int | None]) -> bool:
    """A name or None in the model's shape is a dynamic axis; the expected None is a batch of one."""
    pairs = zip(shape, expected, strict=False)
    return len(shape) == len(expected) and all(not isinstance(own, int) or own == (want or 1) for own, want in pairs)
