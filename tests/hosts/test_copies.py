"""A host with attention that is copied, replicated, compiled or exported: every copy runs its own attention."""

import copy
import io
import pickle

import pytest
import torch

from agdt_layers import remove_attention
from helpers.hosts import IMAGES, Host, attention_of, host, inserted
from helpers.strategies import random_tensor


def changed(model: Host) -> Host:
    """Change the attention's parameters in place, so that a copy that shares them is detected."""
    with torch.no_grad():
        for layer in attention_of(model).values():
            for parameter in layer.parameters():
                parameter.add_(0.5)
    return model


@pytest.mark.parametrize("way", ["deepcopy", "pickle", "torch.save"])
def test_copy_runs_its_own_attention(way: str) -> None:
    model = inserted()
    expected = model(IMAGES)
    if way == "deepcopy":
        twin = copy.deepcopy(model)
    elif way == "pickle":
        twin = pickle.loads(pickle.dumps(model))
    else:
        buffer = io.BytesIO()
        torch.save(model, buffer)
        buffer.seek(0)
        twin = torch.load(buffer, weights_only=False)
    assert torch.equal(twin(IMAGES), expected)
    assert not torch.equal(changed(twin)(IMAGES), expected), "the copy does not use its own attention"
    assert torch.equal(model(IMAGES), expected), "changing the copy changed the original"
    remove_attention(twin)
    assert torch.equal(twin(IMAGES), host()(IMAGES))


def test_new_hook_does_not_overwrite_the_hook_of_an_unpickled_model() -> None:
    data = pickle.dumps(inserted(["own"]))
    # A new process starts counting hooks at 0.
    torch.utils.hooks.RemovableHandle.next_id = 0
    model = pickle.loads(data)
    expected = model(IMAGES)
    model.own.register_forward_hook(lambda module, args, output: None)
    assert len(model.own._forward_hooks) == 2
    assert torch.equal(model(IMAGES), expected)


def test_state_dict_round_trip() -> None:
    model, other = changed(inserted()), inserted()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(IMAGES), model(IMAGES))


def test_data_parallel_replica_uses_its_own_parameters() -> None:
    model = inserted()
    # What nn.DataParallel does for each device, here with other parameters instead of another device.
    modules = list(model.modules())
    replicas = [module._replicate_for_data_parallel() for module in modules]
    for module, replica in zip(modules, replicas, strict=True):
        for name, child in module._modules.items():
            if child is not None:
                setattr(replica, name, replicas[modules.index(child)])
        for name, parameter in module._parameters.items():
            if parameter is None:
                replica._parameters[name] = None
            else:
                setattr(replica, name, parameter.detach() + 0.25)
        replica._buffers = dict(module._buffers)
    shifted = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in shifted.parameters():
            parameter.add_(0.25)
    assert torch.equal(replicas[0](IMAGES), shifted(IMAGES))


def test_host_with_attention_compiles_and_exports_without_graph_breaks() -> None:
    model = inserted()
    with torch.no_grad():
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(IMAGES), model(IMAGES))
        sizes = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
        exported = torch.export.export(model, (IMAGES,), dynamic_shapes=(sizes,)).module()
        others = random_tensor((5, 3, 20, 12), 1, torch.float32)
        torch.testing.assert_close(exported(others), model(others))
