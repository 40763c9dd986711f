"""What processes exchange, and that a failure of one is everybody's and leaves none waiting."""

import os
import signal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bunri.core.errors import RunError
from bunri.training.divergence import DivergenceError
from bunri.training.processes import ALONE, PeerError, Share
from tests.training.group import run_group


@given(st.integers(1, 5), st.integers(1, 20), st.data())
def test_share__every_sample_is_one_process_s(count, num_samples, data):
    num_parts = data.draw(st.integers(1, num_samples))
    batches = [list(range(num_samples))[rank::count] for rank in range(count)]
    processes = type(ALONE)()
    processes.count = count
    for part in range(num_parts):
        found: dict[int, tuple[int, int]] = {}
        most = 0
        for rank, own in enumerate(batches):
            processes.rank = rank
            share = processes.split_batch(num_samples, num_parts)[part]
            samples = [] if share.is_idle else own[share.rows]
            most = max(most, len(samples))
            found |= {sample: (rank, row) for row, sample in enumerate(samples)}
        assert sorted(found) == list(range(share.start, share.stop))
        assert share.places == [found[sample] for sample in sorted(found)]
        assert share.most_rows == most


@given(st.integers(1, 30), st.data())
def test_split_batch__as_torch_splits(num_samples, data):
    num_parts = data.draw(st.integers(1, num_samples))
    shares = ALONE.split_batch(num_samples, num_parts)
    pieces = torch.arange(num_samples).tensor_split(num_parts)
    assert [list(range(s.start, s.stop)) for s in shares] == [p.tolist() for p in pieces]


def test_alone__is_first_and_gives_things_back():
    rows = torch.rand(3, 2)
    assert ALONE.is_first
    assert ALONE.take_share(range(4, 7)) == [4, 5, 6]
    assert ALONE.gather_samples(rows, Share(0, 3, 0, 1)) is rows
    assert ALONE.sum_up(rows) is rows
    assert ALONE.agree_max(2) == ALONE.take_first(2) == 2


def test_gather_samples__order_of_the_batch_and_own_gradient():
    batch = torch.arange(10.0).view(5, 2)

    def work(group):
        (share,) = group.split_batch(5, 1)
        own = batch[group.take_share(range(5))].requires_grad_()
        gathered = group.gather_samples(own, share)
        (gathered * batch).sum().backward()
        return gathered.detach(), own.grad

    (first, first_slope), (second, second_slope) = run_group(work)
    assert torch.equal(first, batch)
    assert torch.equal(second, batch)
    assert torch.equal(first_slope, batch[[0, 2, 4]])
    assert torch.equal(second_slope, batch[[1, 3]])


def test_gather_samples__of_fewer_samples_than_processes():
    def work(group):
        (share,) = group.split_batch(1, 1)
        own = torch.full((1, 2), 7.0 + group.rank, requires_grad=True)
        group.gather_samples(own, share).sum().backward()
        assert own.grad is not None
        return share.is_idle, group.gather_samples(own, share).tolist(), own.grad.tolist()

    assert run_group(work) == [(False, [[7, 7]], [[1, 1]]), (True, [[7, 7]], [[0, 0]])]


def test_group__sums_copies_and_agrees():
    def work(group):
        tensor = torch.tensor([1, 10]) * (group.rank + 1)
        copied = torch.full((2,), float(group.rank))
        group.copy_first([copied])
        parameter = torch.nn.Parameter(torch.zeros(2))
        parameter.grad = torch.ones(2) * (group.rank + 1)
        group.sum_gradients([parameter, torch.nn.Parameter(torch.zeros(1))])
        done = []
        group.do_first(lambda: done.append(group.rank))
        numbers = group.agree_max(group.rank), group.take_first(5 - group.rank)
        sums = group.sum_up(tensor).tolist(), tensor.tolist(), parameter.grad.tolist()
        return *sums, copied.tolist(), done, *numbers

    first, second = run_group(work)
    assert first == ([3, 30], [1, 10], [3, 3], [0, 0], [0], 1, 5)
    assert second == ([3, 30], [2, 20], [3, 3], [0, 0], [], 1, 5)


def test_refuse_difference__names_what_each_has():
    def work(group):
        group.refuse_difference([4], "photos")
        group.refuse_difference([4, group.rank], "their checkpoint")

    for error in run_group(work):
        assert isinstance(error, RunError)
        assert "process 1: (4, 1)" in str(error)


@pytest.mark.parametrize(
    ("error", "heard"),
    [
        (RunError("the disk is full"), PeerError),
        (ValueError("a bug"), PeerError),
        (DivergenceError("nan"), DivergenceError),
        (MemoryError(), MemoryError),
    ],
)
@pytest.mark.parametrize("culprit", [0, 1])
def test_sharing_fate__one_fails_and_the_other_hears(error, heard, culprit):
    """The one that is well is about to gather, to sum, or at the end of the block."""

    def work(group):
        raised = []
        for ahead in (lambda: group.sum_up(torch.ones(1)), lambda: group.agree_max(1), int):
            try:
                with group.sharing_fate():
                    if group.rank == culprit:
                        raise type(error)(*error.args)
                    ahead()
            except (RunError, ValueError, DivergenceError, MemoryError) as caught:
                raised.append(type(caught))
        return raised, group.agree_max(group.rank)

    results = run_group(work)
    assert results[culprit] == ([type(error)] * 3, 1)
    assert results[1 - culprit] == ([heard] * 3, 1)


def test_sharing_fate__both_fail_and_the_first_speaks():
    def work(group):
        with group.sharing_fate():
            raise RunError("the disk is full")

    first, second = run_group(work)
    assert str(first) == "the disk is full"
    assert isinstance(second, PeerError)


def test_sharing_fate__a_failure_outweighs_memory():
    """Who could have gone on with less memory ends too, if the other does."""

    def work(group):
        with group.sharing_fate():
            raise MemoryError if group.rank else RunError("broken")

    first, second = run_group(work)
    assert str(first) == "broken"
    assert isinstance(second, PeerError)


def test_sharing_fate__in_blocks_within_blocks_is_told_once():
    def work(group):
        try:
            with group.sharing_fate(), group.sharing_fate():
                group.do_first(lambda: 1 / 0)
        except (ZeroDivisionError, PeerError) as error:
            return type(error), group.agree_max(group.rank)

    assert run_group(work) == [(ZeroDivisionError, 1), (PeerError, 1)]


def test_group__a_killed_process_is_noticed():
    def work(group):
        if group.rank == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        with group.sharing_fate():
            group.agree_max(0)

    (error,) = run_group(work, survivors=[1])
    assert isinstance(error, RunError)
    assert "--resume" in error.hint
