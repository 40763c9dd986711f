"""How weights move: rates over time and by depth, averages."""

import math
from itertools import pairwise

import pytest
import torch

from bunri.training.config import OptimConfig, load_config
from bunri.training.networks.build import build_network
from bunri.training.optimization import build_average, build_optimizer, scale_rate, split_stages


def test_scale_rate__cosine_with_warmup_by_hand():
    """20 steps, 4 of warm-up: 1/5 to 4/5, then half a cosine over the 16 others."""
    config = OptimConfig(schedule="cosine", warmup=0.2)
    rates = [scale_rate(step, 20, config) for step in range(20)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[4] == pytest.approx(1.0)
    assert rates[8] == pytest.approx((1 + math.sqrt(0.5)) / 2)  # a quarter of the way
    assert rates[12] == pytest.approx(0.5)  # half of it
    assert rates[16] == pytest.approx((1 - math.sqrt(0.5)) / 2)
    assert 0 < rates[19] < 0.02
    assert rates[4:] == sorted(rates[4:], reverse=True)


def test_scale_rate__constant():
    config = OptimConfig(schedule="constant", warmup=0.0)
    assert {scale_rate(step, 10, config) for step in range(10)} == {1.0}


def test_scale_rate__constant_with_warmup():
    config = OptimConfig(schedule="constant", warmup=0.3)
    rates = [scale_rate(step, 10, config) for step in range(10)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, *[1.0] * 7])


@pytest.mark.parametrize("schedule", ["constant", "cosine", "poly"])
@pytest.mark.parametrize("warmup", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("num_steps", [1, 7])
def test_scale_rate__stays_within_bounds(schedule, warmup, num_steps):
    config = OptimConfig.model_validate({"schedule": schedule, "warmup": warmup})
    assert all(0 < scale_rate(step, num_steps, config) <= 1 for step in range(num_steps))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)],
)
def test_build_optimizer__encoder_has_its_own_rate(name, kind):
    network = torch.nn.ModuleDict(
        {"encoder": torch.nn.Linear(2, 3), "decoder": torch.nn.Linear(3, 4)}
    )
    config = OptimConfig.model_validate(
        {"name": name, "lr": 0.01, "encoder_lr_scale": 0.25, "weight_decay": 0.003}
    )
    optimizer = build_optimizer(network, config)
    assert type(optimizer) is kind
    encoder, rest = optimizer.param_groups
    assert (encoder["lr"], encoder["base_lr"]) == (0.0025, 0.0025)
    assert (rest["lr"], rest["base_lr"]) == (0.01, 0.01)
    assert encoder["weight_decay"] == rest["weight_decay"] == 0.003
    assert [id(p) for p in encoder["params"]] == [id(p) for p in network["encoder"].parameters()]
    assert [id(p) for p in rest["params"]] == [id(p) for p in network["decoder"].parameters()]


def test_build_optimizer__holds_every_parameter_once():
    config = load_config("", ["model.weights=none", "model.decoder_channels=64"])
    network, _ = build_network(config.model, 12)
    groups = build_optimizer(network, config.optim).param_groups
    held = [id(p) for group in groups for p in group["params"]]
    assert len(held) == len(set(held))
    assert set(held) == {id(p) for p in network.parameters()}


def test_scale_rate__poly_by_hand():
    """10 steps, none of warm-up: 1 - step / 10, squared."""
    config = OptimConfig(schedule="poly", warmup=0.0, poly_power=2.0)
    rates = [scale_rate(step, 10, config) for step in range(10)]
    assert rates == pytest.approx([(1 - step / 10) ** 2 for step in range(10)])


def list_stages(*names):
    """Return the positions of the parameters in each stage."""
    parameters = [(n, torch.nn.Parameter(torch.tensor(float(i)))) for i, n in enumerate(names)]
    return [[int(p.item()) for p in stage] for stage in split_stages(parameters)]


def test_split_stages__by_the_first_number():
    names = ("conv_stem.weight", "blocks.0.0.conv.weight", "blocks.0.1.conv.weight",
             "blocks.2.0.conv9.weight", "conv_head.weight")  # fmt: skip
    assert list_stages(*names) == [[0], [1, 2], [3, 4]]
    assert list_stages("layer1.0.a", "layer2.1.b", "layer10.0.c", "layer2.0.d") == [
        [0],
        [1, 3],
        [2],
    ]
    assert list_stages("stem", "head") == [[0, 1]]


@pytest.mark.parametrize("encoder", ["tf_efficientnet_lite0", "resnet18", "mit_b0"])
def test_build_optimizer__layer_decay(encoder):
    config = load_config("", ["model.weights=none", f"model.encoder={encoder}"])
    network, _ = build_network(config.model, 12)
    optim = OptimConfig(lr=0.1, encoder_lr_scale=0.5, layer_decay=0.5)
    *stages, rest = build_optimizer(network, optim).param_groups
    assert rest["base_lr"] == 0.1
    assert stages[-1]["base_lr"] == 0.05
    assert len(stages) >= 4
    assert all(a["base_lr"] == pytest.approx(b["base_lr"] / 2) for a, b in pairwise(stages))
    held = [id(p) for group in (*stages, rest) for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in network.parameters())


def test_build_optimizer__momentum():
    network = torch.nn.ModuleDict({"encoder": torch.nn.Linear(2, 3), "rest": torch.nn.Linear(3, 4)})
    groups = build_optimizer(network, OptimConfig(name="sgd", momentum=0.8)).param_groups
    assert [group["momentum"] for group in groups] == [0.8, 0.8]


def test_build_average__by_hand():
    """From 0 to 1 in one jump: the first step is copied, the next keep (1 + n) / (10 + n)."""
    network = torch.nn.Linear(1, 1, bias=False)
    average = build_average(network, OptimConfig(ema_decay=0.9), 9)
    assert average is not None
    expected = 0.0
    for number, value in enumerate([0.0, 1.0, 1.0, 1.0]):
        with torch.no_grad():
            network.weight.fill_(value)
        average.update(network, number)
        expected += (value - expected) * (1 - (1 + number) / (10 + number))
        assert next(average.module.parameters()).item() == pytest.approx(expected)


def test_build_average__long_runs_reach_the_decay():
    network = torch.nn.Linear(1, 1, bias=False)
    average = build_average(network, OptimConfig(ema_decay=0.5), 9)
    assert average is not None
    average.get_buffer("n_averaged").fill_(1000)
    before = next(average.module.parameters()).item()
    with torch.no_grad():
        network.weight.fill_(before + 2.0)
    average.update(network, 1000)
    assert next(average.module.parameters()).item() == pytest.approx(before + 1.0)


def test_build_average__off():
    assert build_average(torch.nn.Linear(1, 1), OptimConfig(ema_decay=0.0), 9) is None


def test_build_average__plain_average_over_the_last_share():
    """Eight steps, the last half counts: 5, 6, 7 and 8."""
    network = torch.nn.BatchNorm1d(1)
    average = build_average(network, OptimConfig(ema_decay=0.0, swa_share=0.5), 8)
    assert average is not None
    for step in range(8):
        with torch.no_grad():
            network.weight.fill_(step + 1.0)
            network.get_buffer("running_mean").fill_(10.0 * (step + 1))
        average.update(network, step)
        if step < 4:
            assert average.module.get_parameter("weight").item() == step + 1.0
    assert average.module.get_parameter("weight").item() == pytest.approx(6.5)
    assert average.module.get_buffer("running_mean").item() == pytest.approx(65.0)
