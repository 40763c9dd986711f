"""Number format and memory layout: what is allowed, what is measured, what is remembered."""

import copy

import pytest
import torch
from torch import nn

from bunri.core.errors import ConfigError, RunError
from bunri.core.files import write_json
from bunri.training import numerics
from bunri.training.config import TrainConfig
from bunri.training.numerics import (
    Numerics,
    choose_numerics,
    keep_convolutions_wide,
    list_candidates,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def list_pairs(device, **settings):
    candidates = list_candidates(TrainConfig.model_validate(settings), device)
    return [(c.precision, c.memory_format) for c in candidates]


def test_list_candidates__on_a_cpu():
    assert list_pairs(CPU) == [
        ("f32", "channels_last"), ("f32", "contiguous"),
        ("bf16", "channels_last"), ("bf16", "contiguous"),
    ]  # fmt: skip
    assert list_pairs(CPU, precision="bf16", memory_format="contiguous") == [("bf16", "contiguous")]
    assert list_pairs(CPU, precision="f32")[0] == ("f32", "channels_last")


def test_list_candidates__fp16_needs_a_gpu():
    with pytest.raises(ConfigError, match="needs a GPU") as caught:
        list_pairs(CPU, precision="fp16")
    assert "train.precision=auto" in caught.value.hint


@pytest.mark.parametrize(
    ("has_bf16", "expected"), [(True, ["bf16", "fp16", "f32"]), (False, ["fp16", "f32"])]
)
def test_list_candidates__on_a_gpu(monkeypatch, has_bf16, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has_bf16)
    pairs = list_pairs(GPU, memory_format="channels_last")
    assert [precision for precision, _ in pairs] == expected


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)

    def forward(self, pixels):
        return self.drop(self.norm(self.conv(pixels)))


def choose(monkeypatch, seconds):
    """Choose among four formats whose passes take as long as given, by name."""
    candidates = list_candidates(TrainConfig(), CPU)
    if seconds is not None:
        give = lambda c, *_: seconds[f"{c.precision} {c.memory_format}"]  # noqa: E731
        monkeypatch.setattr(numerics, "_time_pass", give)
    network = Net().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    pixels = torch.rand(6, 3, 8, 8)
    state = torch.get_rng_state()
    chosen = choose_numerics(candidates, network, pixels, lambda x: x.square().mean())
    return chosen, network, before, state


SECONDS = {"f32 channels_last": 1.0, "f32 contiguous": 1.2, "bf16 channels_last": 0.5,
           "bf16 contiguous": 2.0}  # fmt: skip


def test_choose_numerics__the_fastest(monkeypatch):
    chosen, *_ = choose(monkeypatch, SECONDS)
    assert (chosen.precision, chosen.memory_format) == ("bf16", "channels_last")
    assert chosen.step_ms == {name: 1000 * value for name, value in SECONDS.items()}
    assert chosen.explain() == (
        "Computes in bf16, channels last (bf16 channels_last 500 ms, f32 channels_last 1000 ms, "
        "f32 contiguous 1200 ms, bf16 contiguous 2000 ms)"
    )


def test_choose_numerics__a_little_faster_is_not_enough(monkeypatch):
    chosen, *_ = choose(monkeypatch, {**SECONDS, "bf16 channels_last": 0.92})
    assert (chosen.precision, chosen.memory_format) == ("f32", "channels_last")


def test_choose_numerics__leaves_no_trace(monkeypatch):
    chosen, network, before, state = choose(monkeypatch, None)
    assert chosen.step_ms.keys() == SECONDS.keys()
    assert all(value > 0 for value in chosen.step_ms.values())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
    assert network.conv.weight.is_contiguous()


def test_choose_numerics__nothing_to_choose(monkeypatch):
    only = [Numerics(precision="bf16", memory_format="contiguous")]
    assert choose_numerics(only, Net(), torch.rand(1, 3, 8, 8), torch.mean) is only[0]


def test_numerics__come_back_as_written(tmp_path):
    written = Numerics(
        precision="bf16", memory_format="contiguous", step_ms={"f32 contiguous": 12.5}
    )
    write_json(tmp_path / "numerics.json", written.model_dump())
    assert Numerics.read(tmp_path / "numerics.json") == written


def test_numerics__damaged_file(tmp_path):
    (tmp_path / "numerics.json").write_text('{"precision": "f8", "memory_format": "contiguous"}')
    with pytest.raises(RunError, match=r"numerics\.json is incomplete or damaged"):
        Numerics.read(tmp_path / "numerics.json")


@pytest.mark.parametrize(
    ("layer", "is_wide"),
    [
        (nn.Conv2d(32, 32, 5, padding=2, groups=32), True),
        (nn.Conv2d(4096, 12, 1), True),
        (nn.ConvTranspose2d(12, 12, 4, stride=2, padding=1), True),
        (nn.Conv2d(32, 16, 3), False),
    ],
)
def test_keep_convolutions_wide__computes_some_in_float32(layer, is_wide):
    network = nn.Sequential(copy.deepcopy(layer))
    keep_convolutions_wide(network)
    pixels = torch.rand(2, layer.in_channels, 8, 8, requires_grad=True)
    expected = layer(pixels)
    assert torch.equal(network(pixels), expected)
    copied = copy.deepcopy(network)
    with torch.no_grad():
        copied.get_parameter("0.bias").add_(1)
    with torch.autocast("cpu", torch.bfloat16):
        outputs, shifted = network(pixels), copied(pixels)
        halved = network(pixels.bfloat16())
    assert torch.equal(outputs, expected) == is_wide
    assert (outputs.dtype == torch.float32) == is_wide
    assert halved.dtype == torch.bfloat16
    torch.testing.assert_close(shifted.float(), expected + 1, atol=0.05, rtol=0.02)
    (gradient,) = torch.autograd.grad(outputs.float().square().mean(), pixels)
    assert torch.isfinite(gradient).all()
