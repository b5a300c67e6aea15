"""A host with attention copied, replicated, compiled and exported: every copy is whole and runs its own attention."""

import copy
import io
import pickle

import pytest
import torch

from agdt_layers import remove_attention
from helpers.hosts import IMAGES, Host, attention_of, host, inserted
from helpers.strategies import random_tensor


def changed(model: Host) -> Host:
    """The same model with other attention, so that one that uses the wrong parameters is found out."""
    with torch.no_grad():
        for layer in attention_of(model).values():
            for parameter in layer.parameters():
                parameter.add_(0.5)
    return model


@pytest.mark.parametrize("way", ["deepcopy", "pickle", "torch.save"])
def test_a_copy_is_whole_and_independent(way: str) -> None:
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
    assert not torch.equal(changed(twin)(IMAGES), expected), "the copy runs its own attention"
    assert torch.equal(model(IMAGES), expected), "the original runs its own attention"
    remove_attention(twin)
    assert torch.equal(twin(IMAGES), host()(IMAGES))


def test_the_hook_of_an_unpickled_model_is_not_overwritten_by_the_next() -> None:
    data = pickle.dumps(inserted(["own"]))
    # A new process counts its hooks from 0 again.
    torch.utils.hooks.RemovableHandle.next_id = 0
    model = pickle.loads(data)
    expected = model(IMAGES)
    model.own.register_forward_hook(lambda module, args, output: None)
    assert len(model.own._forward_hooks) == 2
    assert torch.equal(model(IMAGES), expected)


def test_the_state_dict_goes_round() -> None:
    model, other = changed(inserted()), inserted()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(IMAGES), model(IMAGES))


def test_a_replica_runs_its_own_parameters() -> None:
    model = inserted()
    # What nn.DataParallel does to a model for every device, here with other parameters instead of another device.
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


def test_compile_and_export_take_the_model_whole() -> None:
    model = inserted()
    with torch.no_grad():
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(IMAGES), model(IMAGES))
        sizes = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
        exported = torch.export.export(model, (IMAGES,), dynamic_shapes=(sizes,)).module()
        others = random_tensor((5, 3, 20, 12), 1, torch.float32)
        torch.testing.assert_close(exported(others), model(others))
