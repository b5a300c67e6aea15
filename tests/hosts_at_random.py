"""Insert attention at random places of random timm and torchvision models. Run by hand, with both installed:

    PYTHONPATH=src python tests/hosts_at_random.py --number 60 --seed 0

For each host it prints where attention was accepted, where it was refused and why, and what went wrong.
"""

from __future__ import annotations

import argparse
import copy
import pickle
import random
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from agdt_layers import FrameWise, Placement, insert_attention, remove_attention

PLACES = 2
DRAWS = 6


def all_hosts() -> list[str]:
    from_torchvision = torchvision.models.list_models(module=torchvision.models)
    return sorted([*timm.list_models(), *(f"torchvision/{name}" for name in from_torchvision)])


def created(name: str) -> nn.Module:
    if name.startswith("torchvision/"):
        settings = {"init_weights": False} if name.endswith(("googlenet", "inception_v3")) else {}
        return torchvision.models.get_model(name.partition("/")[2], weights=None, **settings)
    return timm.create_model(name, pretrained=False)


def host(name: str, largest: int) -> nn.Module | None:
    """Return a host with perturbed parameters instead of zeros and ones, or None if it is too large."""
    try:
        with torch.device("meta"):
            if sum(p.numel() for p in created(name).parameters()) > largest:
                return None
    except (RuntimeError, NotImplementedError):
        pass
    model = created(name)
    if sum(p.numel() for p in model.parameters()) > largest:
        return None
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 0 or parameter.std() < 1e-3:
                parameter.add_(0.2 + 0.05 * torch.randn_like(parameter))
    return model.eval()


def images(model: nn.Module, number: int) -> Tensor:
    """Return images of the smallest size that the host accepts."""
    config = getattr(model, "default_cfg", {"input_size": (3, 224, 224)})
    channels, height, width = config["input_size"]
    for size in ((64, 64), (96, 96), (height, width)):
        x = torch.rand(number, channels, *size)
        try:
            with torch.no_grad():
                model(x)
        except Exception:  # hosts reject a size with different exceptions
            continue
        return x
    raise ValueError(f"accepts neither 64 x 64 nor {height} x {width}")


def calibrate(model: nn.Module, x: Tensor) -> None:
    """Set the batch norms' running statistics from x.

    With the initial statistics, 0 and 1, the maps of a deep host grow to 1e9. Sigmoids then round to 0 or 1, even in
    float64, and their gradients vanish.
    """
    norms = [module for module in model.modules() if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train().momentum = 1.0
    with torch.no_grad():
        model(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval().momentum = momentum


def flat(output: Any) -> Tensor:
    return torch.cat([leaf.flatten(1) for leaf in tree_leaves(output) if isinstance(leaf, Tensor) and leaf.ndim > 1], 1)


def by_hand(bare: nn.Module, model: nn.Module, plan: tuple[Placement, ...], x: Tensor) -> Tensor:
    """Return the bare host's output with the inserted layers called by plain hooks."""
    hooks = []
    for place in plan:
        layer = model.get_submodule(f"{place.name}.{place.path}")
        layer = layer.layer if place.channels_last else layer

        def attend(_module: Any, _args: Any, output: Tensor, layer: nn.Module = layer, last: bool = False) -> Tensor:
            return layer(output.movedim(3, 1)).movedim(1, 3) if last else layer(output)

        last = place.channels_last
        hook = bare.get_submodule(place.name).register_forward_hook(
            lambda m, a, o, attend=attend, last=last: attend(m, a, o, last=last)
        )
        hooks.append(hook)
    with torch.no_grad():
        output = flat(bare(x))
    for hook in hooks:
        hook.remove()
    return output


def depends_on(bare: nn.Module, name: str, x: Tensor, before: Tensor) -> bool:
    """Return whether the submodule's output affects the host's output."""
    hook = bare.get_submodule(name).register_forward_hook(lambda m, a, output: output + torch.randn_like(output))
    with torch.no_grad():
        other = flat(bare(x))
    hook.remove()
    return not torch.equal(other, before)


def wrongs(model: nn.Module, bare: nn.Module, plan: tuple[Placement, ...], x: Tensor) -> Iterator[str]:
    """Yield every fault of a host with attention. Removes the attention at the end."""
    with torch.no_grad():
        before, after = flat(bare(x)), flat(model(x))
    keys = list(bare.state_dict())
    if [key for key in model.state_dict() if "agdt_attention" not in key] != keys:
        yield "the host's keys changed"
    if before.shape != after.shape:
        yield "the output's shape changed"
    if not torch.equal(by_hand(bare, model, plan, x), after):
        yield "the values differ from attention called by hand"
    live = [place for place in plan if depends_on(bare, place.name, x, before)]
    if live and torch.equal(before, after):
        yield "the output did not change"
    yield from _wrong_clips(model, x)
    yield from _wrong_gradients(model, live, x)
    yield from _wrong_copies(model, bare, x, after)
    remove_attention(model)
    with torch.no_grad():
        if list(model.state_dict()) != keys or not torch.equal(flat(model(x)), before):
            yield "the removal did not restore the host"


def _wrong_clips(model: nn.Module, x: Tensor) -> Iterator[str]:
    # In float64, because deep untrained hosts amplify rounding errors, which depend on the batch size.
    net, x = FrameWise(copy.deepcopy(model).double()), x.double()
    for num_frames in (1, 2):
        clips = x.unflatten(0, (-1, num_frames))
        with torch.no_grad():
            together, alone = (tree_map(lambda output: output[:1], net(some)) for some in (clips, clips[:1]))
        error = (flat(together) - flat(alone)).norm() / flat(alone).norm()
        if not error < 1e-9:
            yield f"clips of {num_frames} frames affect each other: {error:.1e}"


def _wrong_gradients(model: nn.Module, live: list[Placement], x: Tensor) -> Iterator[str]:
    flat(model(x)).square().sum().backward()
    for place in live:
        layer = model.get_submodule(f"{place.name}.{place.path}")
        gradients = [p.grad for p in layer.parameters()]
        if any(g is None or not g.isfinite().all() for g in gradients):
            yield f"no finite gradient in the attention after {place.name}"
        elif not any(g.any() for g in gradients if g is not None):
            yield f"gradients of 0 in the attention after {place.name}"
    model.zero_grad()


def _wrong_copies(model: nn.Module, bare: nn.Module, x: Tensor, expected: Tensor) -> Iterator[str]:
    ways: dict[str, Callable[[nn.Module], nn.Module]] = {
        "deepcopy": copy.deepcopy,
        "pickle": lambda module: pickle.loads(pickle.dumps(module)),
    }
    for way, copied in ways.items():
        try:
            copied(bare)
        except Exception:  # the host itself cannot be copied
            continue
        with torch.no_grad():
            if not torch.equal(flat(copied(model)(x)), expected):
                yield f"{way} changed the output"
    yield from _wrong_when_recomputed(model, x)


def _wrong_when_recomputed(model: nn.Module, x: Tensor) -> Iterator[str]:
    if not hasattr(model, "set_grad_checkpointing"):
        return
    twin = copy.deepcopy(model)
    # Some hosts compute differently with gradients, checkpointed or not.
    expected = flat(twin(x.clone().requires_grad_()))
    try:
        twin.set_grad_checkpointing(True)
    except AssertionError:  # not supported by this host
        return
    if not torch.equal(flat(twin(x.clone().requires_grad_())), expected):
        yield "activation checkpointing changed the output"


def tried(name: str, largest: int, draw: random.Random, refusals: Counter[str]) -> tuple[str, list[str]]:
    """Return the result for a host in one word, and the lines to print."""
    model = host(name, largest)
    if model is None:
        return "too large", []
    try:
        x = images(model, 4)
        calibrate(model, x)
        with torch.no_grad():
            if not torch.equal(flat(model(x)), flat(model(x))):
                return "random", ["its output changes between calls"]
    except Exception as error:
        return "not an image classifier", [str(error).partition("\n")[0][:150]]
    names = [key for key, module in model.named_modules() if key and (list(module.children()) or draw.random() < 0.2)]
    bare, lines, plan = copy.deepcopy(model), list[str](), tuple[Placement, ...]()
    for name in draw.sample(names, min(DRAWS, len(names))):
        try:
            (place,) = insert_attention(model, [name], example_input=x[:1]).placements
        except (ValueError, TypeError) as error:
            lines.append(f"  refused: {error}")
            refusals[str(error).replace(repr(name), "'...'").partition(";")[0][:60]] += 1
            continue
        lines.append(f"  accepted: {name}, C = {place.channels}, {place.sizes[0]}{' last' * place.channels_last}")
        plan = (*plan, place)
        if len(plan) == PLACES:
            break
    if not plan:
        return "refused", lines
    wrong = [f"  WRONG: {text}" for text in wrongs(model, bare, plan, x)]
    return ("wrong" if wrong else "accepted"), lines + wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=60, help="hosts to try, not counting skipped ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--largest", type=int, default=60, help="skip hosts with more million parameters")
    parser.add_argument("--only", nargs="*", help="try these hosts instead of random ones")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    hosts = arguments.only or random.Random(arguments.seed).sample(all_hosts(), len(all_hosts()))
    became: Counter[str] = Counter()
    refusals: Counter[str] = Counter()
    for name in hosts:
        if became["accepted"] + became["refused"] + became["wrong"] == arguments.number:
            break
        torch.manual_seed(arguments.seed)
        try:
            draw = random.Random(f"{arguments.seed} {name}")
            result, lines = tried(name, arguments.largest * 10**6, draw, refusals)
        except Exception:
            result, lines = "wrong", ["  WRONG: " + traceback.format_exc()]
        became[result] += 1
        print(f"{name}: {result}", *lines, sep="\n", flush=True)
    print("\n" + ", ".join(f"{number} {result}" for result, number in became.most_common()))
    print("places refused:", *(f"{number} x {text}" for text, number in refusals.most_common()), sep="\n  ")
    return 1 if became["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
