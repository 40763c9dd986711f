"""Every recipe's network learns, and has as many parameters as docs/models.md says."""

import re
from pathlib import Path
from typing import get_args

import pytest
import torch

from bunri.training.config import ModelName, list_recipes, load_config, read_recipe
from bunri.training.losses.losses import compute_training_loss
from bunri.training.networks.build import build_network
from bunri.training.optimization import build_optimizer

MODELS_PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def read_models_table():
    """Return recipe -> (network, encoder, parameters of the encoder, of the whole)."""
    row = re.compile(r"^\| `([\w-]+)`[^|]*\| (\w+) \| (\w+) \| ([\d,]+) \| ([\d,]+) \|$", re.M)
    return {
        recipe: (name, encoder, int(inner.replace(",", "")), int(whole.replace(",", "")))
        for recipe, name, encoder, inner, whole in row.findall(MODELS_PAGE.read_text("utf-8"))
    }


@pytest.mark.parametrize("recipe", list_recipes())
def test_recipe__takes_a_step(recipe):
    config = load_config(read_recipe(recipe), ["model.weights=none"])
    torch.manual_seed(1)
    network, _ = build_network(config.model, 12)
    parts = (network.get_submodule("encoder"), network)
    counts = [sum(p.numel() for p in part.parameters()) for part in parts]
    assert read_models_table()[recipe] == (config.model.name, config.model.encoder, *counts)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = build_optimizer(network, config.optim)
    pixels, targets = torch.rand(2, 3, 64, 64), torch.randint(0, 12, (2, 64, 64))
    loss = compute_training_loss(network(pixels), targets, config.loss)
    assert loss.isfinite()
    loss.backward()
    optimizer.step()
    after = dict(network.named_parameters())
    assert all(p.isfinite().all() for p in after.values())
    moved = {
        name.partition(".")[0] for name, p in before.items() if not torch.equal(p, after[name])
    }
    assert "encoder" in moved
    assert len(moved) > 1


def test_models_page__names_every_network():
    page = MODELS_PAGE.read_text("utf-8")
    assert read_models_table().keys() == set(list_recipes())
    for name in get_args(ModelName):
        assert f"| `{name}` |" in page
