"""Several processes: equal shares, averaged gradients, one writer, and no process left waiting."""

import os
import signal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from bunri.core.errors import OutputError, RunError
from bunri.training.checkpoints import Checkpoint
from bunri.training.listener import TrainingListener
from bunri.training.plan import RunFolder
from bunri.training.processes import ALONE, PeerError, Processes
from bunri.training.run_writer import RunWriter
from bunri.training.runs import resume_training, start_training
from bunri.training.stepper import DivergenceError
from tests.builders import write_data
from tests.training.group import run_group
from tests.training.test_stepper import Pixelwise, limit_memory, make_batch, make_stepper
from tests.training.tiny import plan_run, read_lines

# Five photos to validate are not even for two processes; in double precision, so that rounding
# plays no part.
SETTINGS = (
    *("model.dropout=0", "data.allow_leaks=true", "train.precision=f64"),
    *("train.samples_per_epoch=4", "train.batch_size=4"),
)


@given(st.integers(1, 5), st.integers(1, 20))
def test_take_share__equal_shares_that_cover_the_batch(count, num_samples):
    batch = list(range(100, 100 + num_samples))
    shares = [Processes(rank, count).take_share(batch) for rank in range(count)]
    assert len({len(share) for share in shares}) == 1
    taken = [sample for group in zip(*shares, strict=True) for sample in group]
    assert taken[:num_samples] == batch
    assert len(taken) - num_samples < count
    assert ALONE.take_share(batch) == batch


def test_together__a_failure_in_one_is_a_failure_of_all():
    def work(processes):
        with processes.together():
            if processes.rank == 1:
                raise OutputError("the disk is full")

    first, second = run_group(work)
    assert isinstance(first, PeerError)
    assert "Process 1 of 2 failed" in str(first)
    assert str(second) == "the disk is full"


def test_do_first__failure_of_the_first_and_of_both():
    def fail_first(processes):
        processes.do_first(lambda: 1 / 0)

    def fail_both(processes):
        with processes.together():
            raise OutputError("no such file")

    first, second = run_group(fail_first)
    assert isinstance(first, ZeroDivisionError)
    assert isinstance(second, PeerError)
    first, second = run_group(fail_both)  # reported once
    assert type(first) is OutputError
    assert isinstance(second, PeerError)


def test_exchange__numbers_values_and_differences():
    def work(processes):
        rank = processes.rank
        assert processes.agree_max(5 - rank) == 5
        assert processes.take_first(f"of {rank}") == "of 0"
        assert processes.sum_up(torch.tensor([rank, 10])).tolist() == [1, 20]
        assert processes.average(torch.tensor(float(rank))).item() == 0.5
        buffer = torch.tensor([float(rank)])
        processes.copy_first([buffer])
        assert buffer.item() == 0
        processes.refuse_difference("same", "nothing")
        processes.refuse_difference(f"photos of {rank}", "their photos")

    first, second = run_group(work)
    assert str(first).startswith("The processes differ in their photos.")
    assert isinstance(second, PeerError)


def test_noticing_loss__killed_process_is_reported_by_the_first():
    def work(processes):
        if processes.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        with processes.noticing_loss():
            processes.agree_max(1)

    (error,) = run_group(work, survivors=[0])
    assert isinstance(error, RunError)
    assert "connection to another process is lost" in str(error)
    assert "--resume" in error.hint


# -- steps ---------------------------------------------------------------------------------


def step_together(processes, *settings, spoil=lambda *_: None):
    """Prepare a step of this process's share of six samples; return loss and gradients."""
    stepper, network = make_stepper("loss.dice=1", *settings, processes=processes)
    spoil(processes, network)
    rows = processes.take_share(range(6))
    loss = stepper.prepare_step(tuple(tensor[rows] for tensor in make_batch(6)))
    return loss, [parameter.grad for parameter in network.parameters()]


@pytest.mark.parametrize("settings", [("train.accumulate=2",), ("data.pseudo_weight=0.3",)])
def test_prepare_step__loss_and_gradients_are_means_over_shares(settings):
    shares = [Processes(rank, 2).take_share(range(6)) for rank in range(2)]
    alone = []
    for rows in shares:
        stepper, network = make_stepper("loss.dice=1", *settings)
        loss = stepper.prepare_step(tuple(tensor[rows] for tensor in make_batch(6)))
        alone.append((loss, [parameter.grad for parameter in network.parameters()]))
    for loss, gradients in run_group(lambda processes: step_together(processes, *settings)):
        assert loss == pytest.approx((alone[0][0] + alone[1][0]) / 2)
        for found, one, other in zip(gradients, alone[0][1], alone[1][1], strict=True):
            assert torch.allclose(found, (one + other) / 2, atol=1e-6)


def test_prepare_step__loss_that_is_no_number_in_one_diverges_in_both():
    def spoil(processes, network):
        if processes.rank == 1:
            network.register_forward_hook(lambda _module, _args, logits: logits * torch.nan)

    for error in run_group(lambda processes: step_together(processes, spoil=spoil)):
        assert isinstance(error, DivergenceError)


def test_prepare_step__out_of_memory_in_one_ends_both():
    def work(processes):
        def spoil(_, network):
            if processes.rank == 1:
                limit_memory(network, 1, MemoryError())

        with processes.noticing_loss():
            step_together(processes, spoil=spoil)

    first, second = run_group(work)
    assert "connection to another process is lost" in str(first)
    assert "Process 1 ran out of memory" in str(second)
    assert "train.accumulate" in second.hint


def test_setup__norms_are_synchronised_on_gpus_alone():
    def work(processes):
        _, network = make_stepper(network=Pixelwise(norm=True), processes=processes)
        return type(network.norm)

    assert run_group(work) == [nn.BatchNorm2d] * 2  # there is no GPU in tests


# -- runs ----------------------------------------------------------------------------------


class StoppingListener(TrainingListener):
    def end_epoch(self, record, *, is_best):
        raise KeyboardInterrupt


def test_training__two_processes_write_one_run_and_one_goes_on(tmp_path):
    """Figures are those of the weights kept, so both validated the same network."""
    data, run = write_data(tmp_path / "data", (6, 5, 0)), RunFolder(tmp_path / "run")

    def work(processes):
        start_training(plan_run(data, *SETTINGS), run, StoppingListener(), processes)

    first, second = run_group(work)
    assert isinstance(first, KeyboardInterrupt)  # of the one that reports
    assert isinstance(second, PeerError)
    assert Checkpoint.load(run.checkpoint).num_epochs == 1
    assert resume_training(run).num_epochs == 2
    records = read_lines(run.metrics)
    assert [(record["epoch"], record["num_photos"]) for record in records] == [(1, 5), (2, 5)]
    assert load_file(run.bundle / "model.safetensors")


def test_training__goes_on_in_two_processes(tmp_path):
    data, run = write_data(tmp_path / "data", (6, 5, 0)), RunFolder(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        start_training(plan_run(data, *SETTINGS), run, StoppingListener())
    results = run_group(lambda processes: resume_training(run, None, processes))
    assert [result.num_epochs for result in results] == [2, 2]
    assert results[0].best == results[1].best
    assert [record["num_photos"] for record in read_lines(run.metrics)] == [5, 5]


def test_training__disk_full_for_the_first_ends_both(tmp_path, monkeypatch):
    data = write_data(tmp_path / "data")

    def fail(*_):
        raise OutputError("the disk is full")

    monkeypatch.setattr(RunWriter, "write_history", fail)
    first, second = run_group(
        lambda p: start_training(plan_run(data, *SETTINGS), RunFolder(tmp_path / "run"), None, p)
    )
    assert str(first) == "the disk is full"
    assert isinstance(second, PeerError)
