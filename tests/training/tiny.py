"""The smallest runs: plans, listeners and comparisons that several tests of training share."""

import json
import math

import torch
from safetensors.torch import load_file

from bunri.training.checkpoints import Checkpoint
from bunri.training.config import load_config, read_recipe
from bunri.training.listener import TrainingListener
from bunri.training.plan import DataSource, RunFolder, RunPlan
from bunri.training.runs import start_training
from tests.builders import TINY_SETTINGS

ONE_STEP = ("train.epochs=1", "train.samples_per_epoch=3")
"""Settings of tests about things around training."""
THREE_EPOCHS = ("train.epochs=3", "model.dropout=0.5")
"""Settings of tests about resuming: two steps an epoch."""


def plan_run(data, *overrides):
    config = load_config(read_recipe("fpn-lite0"), [*TINY_SETTINGS, *overrides])
    return RunPlan(
        config,
        DataSource.pair([data.train], [], "--images"),
        DataSource.pair([data.val], [], "--val-images"),
    )


def train(data, path, *overrides, listener=None, stop=None):
    folder = RunFolder(path)
    return folder, start_training(plan_run(data, *overrides), folder, listener, stop=stop)


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def list_files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


class NotingListener(TrainingListener):
    """Notes every event."""

    def __init__(self):
        self.events = []

    def progress(self, label, total):
        self.events.append(("progress", label, total))
        return super().progress(label, total)

    def warn(self, text):
        self.events.append(("warn", text))

    def note(self, text):
        self.events.append(("note", text))

    def start_fold(self, number):
        self.events.append(("fold", number))

    def start_training(self, first_epoch, num_epochs, steps_per_epoch):
        self.events.append(("training", first_epoch, num_epochs, steps_per_epoch))

    def end_step(self, loss):
        assert math.isfinite(loss)
        self.events.append(("step",))

    def roll_back(self, epoch, reason, rate_scale):
        self.events.append(("rollback", epoch, reason, rate_scale))

    def end_epoch(self, record, *, is_best):
        self.events.append(("epoch", record["epoch"], is_best))


class StoppingListener(TrainingListener):
    """Calls a function at a step, counted from 1 over the whole run."""

    def __init__(self, step, stop):
        self.steps_left = step
        self.stop = stop

    def end_step(self, loss):
        self.steps_left -= 1
        if not self.steps_left:
            self.stop()


def cut_power():
    raise ValueError("power cut")


def assert_same_run(found, expected):
    """Compare two finished runs bit by bit: metrics, checkpoint, bundle, names of files."""
    assert found.metrics.read_bytes() == expected.metrics.read_bytes()
    first, second = (Checkpoint.load(f.checkpoint) for f in (found, expected))
    assert (first.num_epochs, first.best_epoch) == (second.num_epochs, second.best_epoch)
    assert_same_tensors(first.network, second.network)
    assert_same_tensors(first.average, second.average)
    states = (c.optimizer["state"].values() for c in (first, second))
    for one, other in zip(*states, strict=True):
        assert_same_tensors(one, other)
    assert_same_tensors(*(load_file(f.bundle / "model.safetensors") for f in (found, expected)))
    assert list_files(found.path) == list_files(expected.path)


def assert_same_tensors(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
