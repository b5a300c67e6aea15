"""Deployed networks on a clip or a frame: eager, folded, compiled, in bfloat16 and in ONNX Runtime."""

import copy
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.export import Dim

from agdt_layers import ResNet18, StreamStep, build_agdtnet, fold_batch_norms
from dfer.benchmarking.measuring import Run, forward
from dfer.benchmarking.networks import AGDTNET, FORMER, FRAMES, HOST, medians_of_networks, networks, random_clips
from dfer.benchmarking.report import Row

EAGER, FOLDED, COMPILED, BFLOAT16, ONNX = "eager", "folded", "compiled", "bfloat16", "ONNX Runtime"
CLIP, FRAME = "a clip", "a frame"
STEP, ALONE = "AGDTNet's stream", "ResNet18 alone"


class Deployable(NamedTuple):
    """A network, its inputs, and their dynamic axes in an ONNX file."""

    net: nn.Module
    inputs: tuple[Any, ...]
    sizes: tuple[Any, ...]


@dataclass(frozen=True)
class Deployment:
    """Milliseconds of a network in one form, for one clip of 16 frames or for one frame."""

    network: str
    what: str
    form: str
    milliseconds: float


def deployables(device: str) -> dict[tuple[str, str], Deployable]:
    """Networks for clips; for frames, a stream's step and its ResNet18 alone."""
    clip = random_clips(1, device)
    frame = clip[:, 0].contiguous()
    # Former-DFER's position embeddings fix the number of frames.
    clips: tuple[Any, ...] = ({0: Dim.DYNAMIC, 1: Dim.AUTO},)
    found = {(name, CLIP): Deployable(net, (clip,), clips) for name, net in networks(device).items()}
    step = StreamStep(build_agdtnet(causal=True).to(device).eval(), num_frames=FRAMES)
    state = step.initial_state(1)
    batch = {0: Dim.DYNAMIC}
    found[STEP, FRAME] = Deployable(step.eval(), (frame, state), (batch, dict.fromkeys(state, batch)))
    found[ALONE, FRAME] = Deployable(ResNet18().to(device).eval(), (frame,), (batch,))
    return found


def deployments(device: str, seconds: float) -> list[Deployment]:
    """Measure every network in every installed form; ONNX Runtime only on a CPU."""
    nets = deployables(device)
    runs = {(*key, form): run for key, each in nets.items() for form, run in _forms(each)}
    forms = [runs]
    if device == "cpu" and not skipped_forms():
        # Not interleaved with torch, whose idle threads spin for a while and would slow ONNX Runtime down.
        forms.append({(*key, ONNX): in_onnxruntime(each) for key, each in nets.items()})
    found = []
    for what in (CLIP, FRAME):
        for of_forms in forms:
            named = {"/".join(key): run for key, run in of_forms.items() if key[1] == what}
            medians = medians_of_networks(named, device, seconds)
            found += [Deployment(*key, medians["/".join(key)]) for key in of_forms if key[1] == what]
    return found


def skipped_forms() -> Sequence[str]:
    """ONNX Runtime, if one of the packages that it needs is not installed."""
    found = all(importlib.util.find_spec(package) for package in ("onnx", "onnxscript", "onnxruntime"))
    return () if found else (ONNX,)


def deployed_rows(found: Sequence[Deployment]) -> Iterator[Row]:
    """Compare a clip of AGDTNet and a frame of its stream with their peers, in ONNX Runtime."""
    times = {(each.network, each.form): each.milliseconds for each in found}
    if (AGDTNET, ONNX) in times:
        for peer in (HOST, FORMER):
            yield Row(f"AGDTNet, {CLIP}, {ONNX}", f"{peer}, {ONNX}", "ms", times[AGDTNET, ONNX], times[peer, ONNX])
        ours, theirs = times[STEP, ONNX], times[ALONE, ONNX]
        yield Row(f"{STEP}, {FRAME}, {ONNX}", f"{ALONE}, {ONNX}", "ms", ours, theirs, 1.65)


def _forms(given: Deployable) -> Iterator[tuple[str, Run]]:
    compiled: Any = torch.compile(given.net)
    yield EAGER, forward(given.net, *given.inputs)
    yield FOLDED, forward(folded(given.net), *given.inputs)
    yield COMPILED, forward(compiled, *given.inputs)
    half: Any = copy.deepcopy(given.net).bfloat16()
    state = (half.initial_state(1),) if isinstance(half, StreamStep) else ()
    yield BFLOAT16, forward(half.to(memory_format=torch.channels_last), given.inputs[0].bfloat16(), *state)


def folded(net: Any) -> Any:
    """A copy with the backbone's batch norms folded and channels-last weights."""
    if isinstance(net, StreamStep):
        return StreamStep(folded(net.net), num_frames=net.num_frames).eval()
    net = copy.deepcopy(net)
    if hasattr(net, "backbone"):
        # torch.fx can trace only the backbone of Former-DFER.
        net.backbone = fold_batch_norms(net.backbone).model
    else:
        net = fold_batch_norms(net).model
    return net.to(memory_format=torch.channels_last)


def _twice(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _twice(each) for name, each in value.items()}
    return torch.cat([value, value])


def _tensors(value: Any) -> list[Tensor]:
    return [tensor for each in value.values() for tensor in _tensors(each)] if isinstance(value, Mapping) else [value]


def in_onnxruntime(given: Deployable) -> Run:
    """Export the network to ONNX and return its run, with as many threads as torch uses and without spinning."""
    import onnxruntime

    file = io.BytesIO()
    # The exporter warns about its own use of torch.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        # torch.export would specialise to a batch of one.
        inputs = tuple(_twice(each) for each in given.inputs)
        exported = torch.export.export(given.net, inputs, dynamic_shapes=given.sizes)
        program: Any = torch.onnx.export(exported, dynamo=True, verbose=False)
    program.save(file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    tensors = [tensor.numpy() for each in given.inputs for tensor in _tensors(each)]
    feed = dict(zip(names, tensors, strict=True))
    return lambda: session.run(None, feed)
