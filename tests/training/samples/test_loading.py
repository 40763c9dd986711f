"""Loader processes that die or hang are replaced, and no sample is lost or repeated."""

import os
import signal
import sys
import time

import pytest
import torch

from bunri.core.errors import RunError
from bunri.labels.coco import read_coco
from bunri.training.config import load_config
from bunri.training.samples import loading
from bunri.training.samples.data import PhotoStore, TrainingStream
from bunri.training.samples.loading import iterate_batches
from tests.builders import TINY_SETTINGS, write_data


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loading")
    data = write_data(folder / "data", counts=(6, 1, 1))
    return PhotoStore([read_coco(data.train)], "largest-first", 2**30)


class FailingStream(TrainingStream):
    """Fails at one position, in a loader process only, while a file is not there yet."""

    def prepare(self, marker, position, fail):
        self.marker, self.position, self.fail = marker, position, fail
        self.parent = os.getpid()
        return self

    def __getitem__(self, position):
        if position == self.position and os.getpid() != self.parent:
            count = len(list(self.marker.parent.glob("failed*")))
            if self.marker.name == "always" or not count:
                (self.marker.parent / f"failed{count}").touch()
                self.fail()
        return super().__getitem__(position)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def hang():
    time.sleep(60)


def open_stream(store, *settings, kind=FailingStream):
    config = load_config("", [*TINY_SETTINGS, "train.num_workers=1", "train.batch_size=2",
                              *settings])  # fmt: skip
    return kind(store, config, 8), config.train


def gather(stream, train, **options):
    return torch.cat([batch[0] for batch in iterate_batches(stream, 0, train, **options)])


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """Check loader processes often, and do not wait for a hanging one to end by itself."""
    monkeypatch.setattr(loading, "POLL_S", 0.5)
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.2)


@pytest.mark.parametrize(
    ("fail", "told", "position"), [(die, "died", 0), (die, "died", 7), (hang, "silent for 2", 3)]
)
def test_iterate_batches__worker_is_replaced(store, tmp_path, fail, told, position):
    calm, train = open_stream(store, kind=TrainingStream)
    expected = gather(calm, train)
    stream, train = open_stream(store, "train.worker_timeout_s=2")
    stream.prepare(tmp_path / "once", position, fail)
    warnings: list[str] = []
    assert torch.equal(gather(stream, train, warn=warnings.append), expected)
    assert len(warnings) == 1
    assert told in warnings[0]
    assert "replaced" in warnings[0]


def test_iterate_batches__worker_that_keeps_dying_names_its_photos(store, tmp_path):
    stream, train = open_stream(store)
    # In the first batch: one that arrived in between, or did not, would start the count anew.
    stream.prepare(tmp_path / "always", 1, die)
    told = r"died .*, 4 times in a row, among batch_01/train_"
    with pytest.raises(RunError, match=told) as caught:
        gather(stream, train)
    assert "train.num_workers=0" in caught.value.hint
    assert len(list(tmp_path.glob("failed*"))) == 4


@pytest.mark.parametrize("first_batch", [1, 4])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_iterate_batches__from_the_middle(store, first_batch, num_workers):
    stream, train = open_stream(store, f"train.num_workers={num_workers}", kind=TrainingStream)
    whole = gather(stream, train)
    rest = list(iterate_batches(stream, 0, train, first_batch=first_batch))
    assert sum(len(batch[0]) for batch in rest) == 8 - 2 * first_batch
    if rest:
        assert torch.equal(torch.cat([batch[0] for batch in rest]), whole[2 * first_batch :])


def test_iterate_batches__error_of_a_sample_is_its_own(store, tmp_path):
    def fail():
        raise RuntimeError("a fault of ours")

    stream, train = open_stream(store)
    stream.prepare(tmp_path / "once", 3, fail)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        gather(stream, train)


def test_workers__are_silent_when_the_line_is_dead_and_only_then(monkeypatch, capsys):
    monkeypatch.setattr("sys.excepthook", sys.excepthook)  # put back afterwards
    loading._ignore_hangups(0)
    for error in (ConnectionResetError("by peer"), BrokenPipeError(), EOFError()):
        sys.excepthook(type(error), error, None)
    assert capsys.readouterr().err == ""
    sys.excepthook(ValueError, ValueError("a fault of ours"), None)
    assert "ValueError: a fault of ours" in capsys.readouterr().err


def test_iterate_batches__death_of_a_worker_interrupts_nothing_else(store, tmp_path):
    """It dies while its first batch is worked on, and is missed when the next is asked for."""
    reader, writer = os.pipe()

    def die_on_signal():
        os.read(reader, 1)
        die()

    stream, train = open_stream(store)
    stream.prepare(tmp_path / "once", 3, die_on_signal)
    warnings: list[str] = []
    batches = iterate_batches(stream, 0, train, warn=warnings.append)
    next(batches)
    os.write(writer, b"!")
    time.sleep(0.5)  # for it to die and the signal to arrive
    assert not warnings
    assert len(list(batches)) == 3
    assert len(warnings) == 1


@pytest.mark.parametrize("error", [EOFError(), ConnectionResetError("by peer")])
def test_iterate_batches__worker_that_dies_while_it_hands_over(store, monkeypatch, error):
    stream, train = open_stream(store, kind=TrainingStream)
    expected = gather(stream, train)
    errors = [error]
    open_loader = loading._open_loader

    def open_failing(*arguments):
        batches = open_loader(*arguments)
        yield next(batches)
        if errors:
            raise errors.pop()
        yield from batches

    monkeypatch.setattr(loading, "_open_loader", open_failing)
    warnings: list[str] = []
    assert torch.equal(gather(stream, train, warn=warnings.append), expected)
    assert warnings == ["A loader process died while it handed over a batch; it was replaced."]
