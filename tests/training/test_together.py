"""Two processes train what one would: the same steps, figures, weights and files."""

import pytest
import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from bunri.core.errors import OutputError
from bunri.training.checkpoints import Checkpoint
from bunri.training.plan import RunFolder
from bunri.training.processes import ALONE, PeerError
from bunri.training.run_writer import RunWriter
from bunri.training.runs import resume_training, start_training
from bunri.training.synced_norm import SyncedNorm, sync_norms
from tests.builders import QuietListener, write_data
from tests.training.group import run_group
from tests.training.test_loop import plan_run, read_lines
from tests.training.test_stepper import Pixelwise, limit_memory, make_batch, make_stepper


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Sums over another number of threads are rounded differently."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# Batches of three are never even for two processes; nor are five photos to validate.
# In double precision, so that rounding, which a step can amplify, plays no part.
SETTINGS = ("model.dropout=0", "data.allow_leaks=true", "train.precision=f64")


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
@pytest.mark.parametrize(
    "settings",
    [
        ("train.samples_per_epoch=8", "model.weights=imagenet"),
        # The last batch is of one sample, and one process has none of it.
        ("train.samples_per_epoch=7",),
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


# -- steps ---------------------------------------------------------------------------------


def step_together(group, *settings, spoil=lambda *_: None):
    """Prepare a step of five samples, two of them pseudo-labelled; return what it came to."""
    network = Pixelwise(norm=True)
    torch.manual_seed(3)
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    sync_norms(network, group)
    stepper, _ = make_stepper("loss.dice=1", *settings, network=network, processes=group)
    spoil(group, network)
    rows = group.take_share(range(5))
    loss = stepper.prepare_step(tuple(tensor[rows] for tensor in make_batch()), 5)
    gradients = [parameter.grad for parameter in network.parameters()]
    return loss, gradients, list(network.buffers()), stepper.num_parts


def assert_same_step(found, expected):
    assert found[0] == pytest.approx(expected[0], abs=1e-6)
    for place in (1, 2):
        for tensor, other in zip(found[place], expected[place], strict=True):
            assert torch.allclose(tensor, other, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("train.accumulate=2",),
        ("train.accumulate=5",),  # one process has nothing to do in each part
        ("data.pseudo_weight=0.3", "loss.lovasz=1"),
    ],
)
@pytest.mark.parametrize("count", [2, 3])
def test_prepare_step__together_as_alone(settings, count):
    expected = step_together(ALONE, *settings)
    for found in run_group(lambda group: step_together(group, *settings), count):
        assert_same_step(found, expected)


def test_prepare_step__out_of_memory_in_one_halves_in_both():
    def spoil(group, network):
        if group.rank == 1:
            limit_memory(network, 1, MemoryError())

    expected = step_together(ALONE, "train.accumulate=2")
    for found in run_group(lambda group: step_together(group, spoil=spoil)):
        assert_same_step(found, expected)
        assert found[3] == 2


def test_prepare_step__a_fault_in_one_ends_both():
    def spoil(group, network):
        if group.rank == 1:
            limit_memory(network, 0, ValueError("a bug"))

    first, second = run_group(lambda group: step_together(group, spoil=spoil))
    assert isinstance(first, PeerError)
    assert str(second) == "a bug"


# -- batch normalisation -------------------------------------------------------------------


def norm_samples(processes, norm, batch, momentum=0.1):
    """Normalise a batch, take a slope from it; return outputs, slopes and statistics."""
    norm.momentum = momentum
    network = nn.Sequential(norm).double().train()
    sync_norms(network, processes)
    (share,) = processes.split_batch(len(batch), 1)
    processes.is_idle = share.is_idle
    features = batch[processes.take_share(range(len(batch)))].clone().requires_grad_()
    gathered = processes.gather_samples(network(features), share)
    (gathered**3 * torch.arange(gathered.numel()).view_as(gathered)).sum().backward()
    processes.sum_gradients(network.parameters())
    slopes = [parameter.grad for parameter in network.parameters()]
    return gathered.detach(), features.grad, slopes, network.state_dict(), type(network[0])


@pytest.mark.parametrize("num_samples", [5, 1])
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("kind", [nn.BatchNorm2d, BatchNormAct2d])
def test_synced_norm__as_all_samples_together(kind, momentum, num_samples):
    generator = torch.Generator().manual_seed(5)
    batch = 1e3 + torch.randn(num_samples, 3, 4, 4, generator=generator, dtype=torch.float64)
    expected = norm_samples(ALONE, kind(3), batch, momentum)
    results = run_group(lambda group: norm_samples(group, kind(3), batch, momentum))
    assert [result[4] for result in results] == [SyncedNorm] * 2
    for rank, found in enumerate(results):
        assert torch.allclose(found[0], expected[0])
        own = expected[1][rank::2] if rank < num_samples else torch.zeros_like(expected[1])
        assert torch.allclose(found[1], own, rtol=1e-4, atol=1e-6)
        for slope, other in zip(found[2], expected[2], strict=True):
            assert torch.allclose(slope, other)
        assert found[3].keys() == expected[3].keys()
        for name, tensor in expected[3].items():
            assert torch.allclose(found[3][name], tensor), name


def test_synced_norm__one_value_a_channel_takes_running_statistics():
    def work(group):
        network = nn.Sequential(nn.BatchNorm2d(2))
        sync_norms(network, group)
        group.is_idle = group.rank == 1
        return network(torch.full((1, 2, 1, 1), 3.0)).flatten().tolist()

    for found in run_group(work):
        assert found == pytest.approx([3, 3], abs=1e-4)


# -- faults around steps -------------------------------------------------------------------

SHORT = (*SETTINGS, "train.epochs=1", "train.samples_per_epoch=3")


def test_training__disk_full_for_the_first_ends_both(tmp_path, monkeypatch):
    data = write_data(tmp_path / "data")

    def fail(*_):
        raise OutputError("the disk is full")

    monkeypatch.setattr(RunWriter, "write_history", fail)
    first, second = run_group(lambda group: train(group, data, tmp_path / "run", *SHORT))
    assert str(first) == "the disk is full"
    assert isinstance(second, PeerError)


@pytest.mark.slow
def test_resume__on_another_number_of_processes(tmp_path):
    data = write_data(tmp_path / "data")
    settings = (*SETTINGS, "train.samples_per_epoch=3")
    run = RunFolder(tmp_path / "run")

    class Stopping(QuietListener):
        def end_epoch(self, record, *, is_best):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_training(plan_run(data, *settings), run, Stopping())
    results = run_group(lambda group: resume_training(run, QuietListener(), group).num_epochs)
    assert results == [2, 2]
    assert [record["epoch"] for record in read_lines(run.metrics)] == [1, 2]
