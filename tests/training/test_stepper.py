"""One step: parts, memory that runs out, gradients that are cut, and no trace of a failure."""

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from bunri.core.errors import RunError
from bunri.training.config import load_config
from bunri.training.optimization import build_average, build_optimizer
from bunri.training.processes import ALONE
from bunri.training.stepper import DivergenceError, Stepper, is_out_of_memory

CPU_MESSAGE = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate"


class Pixelwise(nn.Module):
    """A tiny network whose batches do not mix samples, so that parts change nothing."""

    def __init__(self, *, norm=False):
        super().__init__()
        self.encoder = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.head = nn.Conv2d(4, 12, 1)
        self.sizes = []

    def forward(self, pixels):
        self.sizes.append(len(pixels))
        return self.head(self.norm(self.encoder(pixels)))


def make_stepper(*settings, network=None, processes=ALONE):
    config = load_config("", ["loss.dice=0", "optim.warmup=0", *settings])
    torch.manual_seed(3)
    network = network or Pixelwise()
    fabric = Fabric(accelerator="cpu", devices=1) if processes is ALONE else processes.fabric
    average = build_average(network, config.optim, 10)
    optimizer = build_optimizer(network, config.optim)
    layout = torch.contiguous_format
    stepper = Stepper(fabric, network, optimizer, average, config, layout, 10, processes)
    return stepper, network


def make_batch(count=5):
    generator = torch.Generator().manual_seed(7)
    pixels = torch.rand(count, 3, 8, 8, generator=generator)
    targets = torch.randint(0, 12, (count, 8, 8), generator=generator)
    return pixels, targets, torch.arange(count) % 2 == 1


def read_gradients(network):
    return [p.grad.clone() for p in network.parameters()]


def limit_memory(network, most, error):
    """Let a forward pass of more samples than ``most`` fail."""
    forward = network.forward

    def fail(pixels):
        logits = forward(pixels)  # as late as it gets: statistics have moved
        if len(pixels) > most:
            raise error
        return logits

    network.forward = fail


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_prepare_step__in_parts_is_the_same_batch(parts):
    whole, first = make_stepper()
    pieces, second = make_stepper(f"train.accumulate={parts}")
    assert pieces.prepare_step(make_batch()) == pytest.approx(whole.prepare_step(make_batch()))
    assert len(second.sizes) == parts
    assert sum(second.sizes) == 5
    for a, b in zip(read_gradients(first), read_gradients(second), strict=True):
        assert torch.allclose(a, b, atol=1e-7)


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError(CPU_MESSAGE), MemoryError()],
)
def test_prepare_step__out_of_memory_halves_and_gives_the_same_gradients(error):
    whole, first = make_stepper()
    stepper, network = make_stepper()
    limit_memory(network, 2, error)
    assert stepper.prepare_step(make_batch()) == pytest.approx(whole.prepare_step(make_batch()))
    assert stepper.num_parts == 4
    assert network.sizes == [5, 3, 2, 1, 1, 1]  # whole; halves, of which the first is too large
    for a, b in zip(read_gradients(first), read_gradients(network), strict=True):
        assert torch.allclose(a, b, atol=1e-7)
    stepper.prepare_step(make_batch())
    assert network.sizes[6:] == [2, 1, 1, 1]  # and it stays so


def test_prepare_step__out_of_memory_leaves_statistics_as_after_one_pass():
    calm, first = make_stepper("train.accumulate=2", network=Pixelwise(norm=True))
    tight, second = make_stepper(network=Pixelwise(norm=True))
    second.load_state_dict(first.state_dict())
    limit_memory(second, 3, MemoryError())
    for stepper in (calm, tight):
        stepper.prepare_step(make_batch())
    assert all(torch.equal(a, b) for a, b in zip(first.buffers(), second.buffers(), strict=True))


def test_prepare_step__no_memory_for_one_sample():
    stepper, network = make_stepper()
    limit_memory(network, 0, MemoryError())
    with pytest.raises(RunError, match="not enough memory for a single training sample") as caught:
        stepper.prepare_step(make_batch())
    assert "augment.crop_size_px" in caught.value.hint


def test_prepare_step__another_error_is_not_taken_for_it():
    stepper, network = make_stepper()
    limit_memory(network, 0, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        stepper.prepare_step(make_batch())
    assert network.sizes == [5]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("broken")])
def test_prepare_step__that_fails_leaves_no_trace(error):
    stepper, network = make_stepper(network=Pixelwise(norm=True))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    limit_memory(network, 0, error)
    with pytest.raises(type(error)):
        stepper.prepare_step(make_batch())
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())


def test_prepare_step__loss_that_is_no_number():
    stepper, network = make_stepper()
    with torch.no_grad():
        network.head.bias.fill_(torch.nan)
    with pytest.raises(DivergenceError, match="training loss became nan"):
        stepper.prepare_step(make_batch())


def test_prepare_step__long_gradients_are_cut_and_keep_their_direction():
    free, first = make_stepper()
    cut, second = make_stepper("optim.clip_norm=0.01")
    loose, third = make_stepper("optim.clip_norm=1000")
    for stepper in (free, cut, loose):
        stepper.prepare_step(make_batch())
    flat = [torch.cat([g.flatten() for g in read_gradients(n)]) for n in (first, second, third)]
    assert flat[0].norm() > 0.05
    assert flat[1].norm().item() == pytest.approx(0.01, rel=1e-4)
    assert torch.allclose(flat[1] * (flat[0].norm() / 0.01), flat[0], atol=1e-5)
    assert torch.equal(flat[2], flat[0])


def test_take_step__moves_weights_and_average():
    stepper, network = make_stepper("optim.ema_decay=0.5", "optim.lr=0.1")
    start = network.head.weight.clone()
    stepper.prepare_step(make_batch())
    assert torch.equal(network.head.weight, start)
    stepper.take_step(0, 1.0)
    assert not torch.equal(network.head.weight, start)
    assert stepper.optimizer.param_groups[-1]["lr"] == pytest.approx(0.1)
    stepper.prepare_step(make_batch())
    stepper.take_step(5, 0.5)  # half of the cosine, half of that
    assert stepper.optimizer.param_groups[-1]["lr"] == pytest.approx(0.025)


def test_is_out_of_memory__on_this_machine():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("anything else"))
    assert not is_out_of_memory(ValueError("DefaultCPUAllocator"))
