"""Two processes train what one would: the same steps, figures, weights and files."""

import json

import pytest
import torch
from torch import nn

from bunri.config import load_config, read_recipe
from bunri.contracts import OutputError
from bunri.learning import validate
from bunri.learning.checkpoints import Checkpoint
from bunri.learning.loop import resume_training, start_training
from bunri.learning.networks import build_network
from bunri.learning.numerics import Numerics
from bunri.learning.optimization import build_optimizer
from bunri.learning.plan import RunFolder
from bunri.learning.processes import ALONE, PeerError
from bunri.learning.run_writer import RunWriter
from bunri.learning.stepper import Stepper
from bunri.learning.synced_norm import SyncedNorm, sync_norms
from bunri.learning.termination import TerminatedError
from tests.builders import TINY_SETTINGS, QuietListener, write_data
from tests.learning.group import run_group
from tests.learning.test_loop import plan_run, read_lines


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Sums over another number of threads are rounded differently."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# Batches of three are never even for two processes; nor are five photos to validate.
SETTINGS = ("model.dropout=0", "data.allow_leaks=true")


@pytest.fixture
def exact(monkeypatch):
    """Compute in double precision, so that rounding, which a step can amplify, plays no part."""
    monkeypatch.setattr(Numerics, "fabric_precision", "64-true")
    compute = validate.compute_logits

    def compute_exactly(network, pixels, device):
        return compute(network.double(), pixels.astype("float64"), device)

    monkeypatch.setattr(validate, "compute_logits", compute_exactly)


def train(processes, data, path, *settings):
    start_training(plan_run(data, *settings), RunFolder(path), QuietListener(), processes)


def assert_close_records(found, expected):
    assert len(found) == len(expected)
    for record, other in zip(found, expected, strict=True):
        for name in ("train_loss", "val_loss", "lr", "pixel_accuracy"):
            assert record[name] == pytest.approx(other[name], abs=1e-5)
        for kind in ("global", "per_image", "per_batch"):
            assert record["miou"][kind] == pytest.approx(other["miou"][kind], abs=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize(
    "settings",
    [
        ("train.samples_per_epoch=8", "model.weights=imagenet"),
        # The last batch is of one sample, and one process has none of it.
        ("train.samples_per_epoch=7", "train.epochs=1"),
        ("train.accumulate=2", "optim.clip_norm=1.0", "train.epochs=1"),
    ],
)
def test_training__two_processes_equal_one(tmp_path, settings):
    data = write_data(tmp_path / "data", (6, 5, 0))
    train(ALONE, data, tmp_path / "one", *SETTINGS, *settings)
    run_group(lambda group: train(group, data, tmp_path / "two", *SETTINGS, *settings))
    one, two = RunFolder(tmp_path / "one"), RunFolder(tmp_path / "two")
    assert_close_records(read_lines(two.metrics), read_lines(one.metrics))
    first, second = (Checkpoint.load(folder.checkpoint) for folder in (one, two))
    assert first.network.keys() == second.network.keys()
    for name, tensor in first.network.items():
        assert torch.allclose(tensor, second.network[name], atol=1e-5), name
    for name, tensor in first.average.items():
        assert torch.allclose(tensor, second.average[name], atol=1e-5), name
    files = [sorted(p.name for p in f.path.rglob("*")) for f in (one, two)]
    assert files[0] == files[1]
