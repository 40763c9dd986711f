"""Training from the first file to the last: what is written, kept, resumed and refused."""

import contextlib
import errno
import io
import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
from itertools import product
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file

from bunri.core.errors import AnnotationError, ConfigError, OutputError, RunError
from bunri.model.bundle import read_bundle
from bunri.training import loop, stepper
from bunri.training.checkpoints import Checkpoint
from bunri.training.config import LossConfig, load_config, read_recipe
from bunri.training.loop import is_better
from bunri.training.losses.losses import compute_training_loss
from bunri.training.networks.build import build_network
from bunri.training.numerics import Numerics
from bunri.training.plan import DataSource, RunFolder, RunPlan
from bunri.training.run_writer import RunWriter
from bunri.training.runs import resume_training, start_training
from bunri.training.samples.data import mix_seed
from bunri.training.stepper import Stepper
from bunri.training.termination import TerminatedError, Termination
from bunri.training.validate import Validation
from tests.builders import TINY_SETTINGS, QuietListener, change_document, write_data
from tests.cli.runner import plain_environment


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Sums over another number of threads are rounded differently; one is also quicker here."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data")


def plan_run(data, *overrides):
    config = load_config(read_recipe("fpn-lite0"), [*TINY_SETTINGS, *overrides])
    return RunPlan(
        config,
        DataSource.pair([data.train], [], "--images"),
        DataSource.pair([data.val], [], "--val-images"),
    )


def train(data, path, *overrides, listener=None):
    folder = RunFolder(path)
    result = start_training(plan_run(data, *overrides), folder, listener or QuietListener())
    return folder, result


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def list_files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def skip_steps(monkeypatch, give_loss):
    """Let steps move nothing, and have the loss that is given."""
    monkeypatch.setattr(Stepper, "prepare_step", lambda *_: give_loss())
    monkeypatch.setattr(Stepper, "take_step", lambda *_: None)


ONE_EPOCH = ("train.epochs=1", "train.samples_per_epoch=3")
"""One step: for tests of what happens around training."""


# -- a run ---------------------------------------------------------------------------------


class NotingListener(QuietListener):
    def __init__(self):
        self.events = []

    def warn(self, text):
        self.events.append(("warn", text))

    def note(self, text):
        self.events.append(("note", text))

    def start_photos(self, num_photos):
        self.events.append(("photos", num_photos))

    def advance_photos(self):
        self.events.append(("photo",))

    def start_training(self, first_epoch, num_epochs, steps_per_epoch):
        self.events.append(("training", first_epoch, num_epochs, steps_per_epoch))

    def end_step(self, loss):
        assert math.isfinite(loss)
        self.events.append(("step",))

    def roll_back(self, epoch, reason, rate_scale):
        self.events.append(("rollback", epoch, reason, rate_scale))

    def end_epoch(self, record, *, is_best):
        self.events.append(("epoch", record["epoch"], is_best))


def test_start_training__writes_everything(data, tmp_path):
    listener = NotingListener()
    folder, result = train(data, tmp_path / "run", listener=listener)
    assert list_files(folder.path) == [
        ".lock",
        *("bundle/README.md", "bundle/bunri.json", "bundle/model.safetensors"),
        *("config.yaml", "data.json", "last.ckpt", "metrics.jsonl", "numerics.json"),
        *("samples/epoch_001.jpg", "samples/epoch_002.jpg", "timings.jsonl"),
    ]
    records = read_lines(folder.metrics)
    assert [r["epoch"] for r in records] == [1, 2]
    assert [r["step"] for r in records] == [2, 4]
    assert all(r["num_photos"] == 4 for r in records)
    assert [r["epoch"] for r in read_lines(folder.timings)] == [1, 2]
    best = max(records, key=lambda r: r["miou"]["global"])
    assert result.best == best
    info = read_bundle(folder.bundle)
    assert info.scores["miou"] == best["miou"]
    assert info.training["epoch"] == f"{best['epoch']} of 2"
    assert load_config(folder.config.read_text()) == plan_run(data).config
    assert listener.events[:11] == [("photos", 10), *[("photo",)] * 10]
    trained = listener.events[listener.events.index(("training", 1, 2, 2)) + 1 :]
    assert [event[0] for event in trained] == ["step", "step", "epoch"] * 2
    assert trained[2] == ("epoch", 1, True)


@pytest.mark.slow
def test_start_training__learns(data, tmp_path):
    _, result = train(
        data,
        tmp_path / "run",
        *("train.epochs=4", "train.samples_per_epoch=24", "optim.lr=3e-3", "loss.dice=0"),
    )
    first, *_, last = read_lines(tmp_path / "run" / "metrics.jsonl")
    assert last["train_loss"] < 0.5 * first["train_loss"]
    assert result.num_epochs == 4


def test_start_training__same_seed_same_run(data, tmp_path):
    first, _ = train(data, tmp_path / "a", "train.epochs=1")
    second, _ = train(data, tmp_path / "b", "train.epochs=1", "train.num_workers=1")
    other, _ = train(data, tmp_path / "c", "train.epochs=1", "seed=22")
    assert first.metrics.read_bytes() == second.metrics.read_bytes()
    assert first.metrics.read_bytes() != other.metrics.read_bytes()


def test_start_training__train_loss_is_the_mean_over_samples(data, tmp_path, monkeypatch):
    """Five samples in batches of 2, 2 and 1: the last batch counts half."""
    losses = iter([1.0, 2.0, 6.0])
    skip_steps(monkeypatch, lambda: next(losses))
    settings = ("train.epochs=1", "train.samples_per_epoch=5", "train.batch_size=2")
    folder, _ = train(data, tmp_path / "run", *settings)
    (record,) = read_lines(folder.metrics)
    assert record["train_loss"] == pytest.approx((2 * 1.0 + 2 * 2.0 + 1 * 6.0) / 5)
    assert record["step"] == 3


@pytest.mark.parametrize(
    ("select_by", "best_epoch"),
    [
        ("loss", 3),
        pytest.param("global_miou", 1, marks=pytest.mark.slow),
        ("per_image_miou", 2),
        pytest.param("per_batch_miou", 4, marks=pytest.mark.slow),
    ],
)
def test_start_training__keeps_the_epoch_that_select_by_says(
    data, tmp_path, monkeypatch, select_by, best_epoch
):
    """Figures of four epochs are given; each way to choose prefers another one."""
    figures = iter(
        [
            {"val_loss": 0.5, "global": 0.9, "per_image": 0.1, "per_batch": 0.2},
            {"val_loss": 0.4, "global": 0.8, "per_image": 0.7, "per_batch": 0.2},
            {"val_loss": 0.1, "global": 0.9, "per_image": 0.7, "per_batch": 0.1},
            {"val_loss": 0.2, "global": 0.1, "per_image": 0.3, "per_batch": 0.3},
        ]
    )
    validate = loop.Trainer._validate
    current = {}

    def give_loss(trainer):
        current.update(next(figures))
        validation = validate(trainer)
        return Validation(current["val_loss"], validation.matrices, validation.samples)

    class Sheet:
        def to_json(self, names):
            return {"miou": {k: current[k] for k in ("global", "per_image", "per_batch")}}

    monkeypatch.setattr(loop.Trainer, "_validate", give_loss)
    skip_steps(monkeypatch, lambda: 1.0)
    monkeypatch.setattr(loop, "compute_scores", lambda *_: Sheet())
    monkeypatch.setattr("bunri.model.bundle.describe_model", lambda info, notes: "")
    settings = ("train.epochs=4", "train.samples_per_epoch=1", f"train.select_by={select_by}")
    folder, result = train(data, tmp_path / "run", *settings)
    assert result.best["epoch"] == best_epoch
    assert read_bundle(folder.bundle).training["epoch"] == f"{best_epoch} of 4"


def make_record(value, loss=1.0):
    return {"val_loss": loss, "miou": {"global": value, "per_image": value, "per_batch": value}}


@pytest.mark.parametrize("select_by", ["global_miou", "per_image_miou", "per_batch_miou"])
def test_is_better__miou(select_by):
    low, high, none = make_record(0.2, loss=0.1), make_record(0.3, loss=9.0), make_record(None)
    assert is_better(high, low, select_by)
    assert not is_better(low, high, select_by)
    assert not is_better(low, low, select_by)  # the earlier of equals stays
    assert is_better(low, none, select_by)
    assert not is_better(none, low, select_by)
    assert not is_better(none, none, select_by)


def test_is_better__looks_at_its_own_figure():
    record = {"val_loss": 1.0, "miou": {"global": 0.5, "per_image": 0.1, "per_batch": 0.1}}
    best = {"val_loss": 1.0, "miou": {"global": 0.4, "per_image": 0.2, "per_batch": 0.2}}
    assert is_better(record, best, "global_miou")
    assert not is_better(record, best, "per_image_miou")
    assert not is_better(record, best, "per_batch_miou")


def test_is_better__loss():
    assert is_better(make_record(0.1, loss=0.5), make_record(0.9, loss=0.6), "loss")
    assert not is_better(make_record(0.9, loss=0.6), make_record(0.1, loss=0.5), "loss")
    assert not is_better(make_record(0.1, loss=0.5), make_record(0.1, loss=0.5), "loss")


# -- losses that are no number -------------------------------------------------------------


def spoil_loss(monkeypatch, spoil, is_spoilt):
    """Pass the loss of each step for which ``is_spoilt(its number)`` is true through ``spoil``."""
    numbers = itertools.count()

    def compute(*batch):
        loss = compute_training_loss(*batch)
        return spoil(loss) if is_spoilt(next(numbers)) else loss

    monkeypatch.setattr(stepper, "compute_training_loss", compute)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_start_training__loss_that_stays_no_number(data, tmp_path, monkeypatch, value):
    spoil_loss(monkeypatch, lambda loss: loss * value, lambda _: True)
    listener = NotingListener()
    with pytest.raises(RunError, match=f"In epoch 1 the training loss became {value}") as e:
        train(data, tmp_path / "run", listener=listener)
    assert "0.125 times the rate" in e.value.message
    assert "--set optim.lr=7e-06" in e.value.hint
    assert not (tmp_path / "run" / "last.ckpt").exists()
    rollbacks = [event for event in listener.events if event[0] == "rollback"]
    assert rollbacks == [
        ("rollback", 1, f"the training loss became {value}", scale) for scale in (0.5, 0.25, 0.125)
    ]


def test_start_training__gradient_that_is_no_number_makes_no_step(data, tmp_path, monkeypatch):
    # The value is as it was; the slope of a root at 0 is infinite.
    spoil_loss(monkeypatch, lambda loss: loss + ((loss - loss).sqrt()), lambda _: True)
    with pytest.raises(RunError, match="In epoch 1 the gradient's norm became"):
        train(data, tmp_path / "run")
    assert not (tmp_path / "run" / "last.ckpt").exists()


def test_start_training__blown_up_once_goes_on_at_half_the_rate(data, tmp_path, monkeypatch):
    spoil_loss(monkeypatch, lambda loss: loss * math.nan, lambda number: number == 3)
    listener = NotingListener()
    settings = ("optim.schedule=constant", "optim.warmup=0", "optim.lr=1e-3")
    folder, _ = train(data, tmp_path / "run", *settings, listener=listener)
    records = read_lines(folder.metrics)
    assert [r["lr"] for r in records] == [1e-3, 5e-4]
    assert [(r["rollbacks"], r["rate_scale"]) for r in records] == [(0, 1.0), (1, 0.5)]
    assert ("rollback", 2, "the training loss became nan", 0.5) in listener.events
    checkpoint = Checkpoint.load(folder.checkpoint)
    assert (checkpoint.rate_scale, checkpoint.num_rollbacks) == (0.5, 1)


def test_start_training__rolling_back_undoes_everything(data, tmp_path, monkeypatch):
    """At the same rate, an epoch that was started over equals one that never blew up."""
    calm, _ = train(data, tmp_path / "calm", *FOUR_EPOCHS)
    monkeypatch.setattr(loop, "RATE_FACTOR", 1.0)
    spoil_loss(monkeypatch, lambda loss: loss * math.nan, lambda number: number in (1, 6))
    rough, _ = train(data, tmp_path / "rough", *FOUR_EPOCHS)
    rough_records, calm_records = (read_lines(f.metrics) for f in (rough, calm))
    assert rough_records[-1].pop("rollbacks") == 2
    for records in (rough_records, calm_records):
        for record in records:
            record.pop("rollbacks", None)
    assert rough_records == calm_records
    first, second = (Checkpoint.load(f.checkpoint) for f in (rough, calm))
    assert all(torch.equal(t, second.network[n]) for n, t in first.network.items())
    assert all(torch.equal(t, second.average[n]) for n, t in first.average.items())
    assert first.num_rollbacks == 2


def test_start_training__last_step_that_ruins_the_weights_saves_nothing(data, tmp_path):
    """The loss of the only step is fine; its update is not."""
    settings = ("optim.name=sgd", "optim.lr=1e38", "optim.warmup=0", "train.epochs=2")
    with pytest.raises(RunError, match="In epoch 1 the validation loss became nan"):
        train(data, tmp_path / "run", *settings, "train.samples_per_epoch=3")
    assert not (tmp_path / "run" / "last.ckpt").exists()
    assert not (tmp_path / "run" / "bundle").exists()
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == ""


def test_start_training__every_loss_at_once(data, tmp_path):
    weights = [f"loss.{name}=0.5" for name in LossConfig.list_losses()]
    _, result = train(data, tmp_path / "run", *ONE_EPOCH, *weights)
    assert math.isfinite(result.best["train_loss"])
    assert math.isfinite(result.best["val_loss"])


def test_start_training__class_weights_for_another_number_of_classes(data, tmp_path):
    with pytest.raises(ConfigError, match=r"class_weights has 2 numbers, but there are \d+"):
        train(data, tmp_path / "run", "loss.class_weights=[1, 2]")
    assert not (tmp_path / "run").exists()


def test_start_training__class_to_paste_that_does_not_exist(data, tmp_path):
    settings = ("augment.paste=0.5", 'augment.paste_classes=["Batery"]')
    with pytest.raises(ConfigError, match="cannot be pasted") as caught:
        train(data, tmp_path / "run", *settings)
    assert "'Battery'" in str(caught.value)
    assert not (tmp_path / "run").exists()


# -- folders -------------------------------------------------------------------------------


def test_start_training__folder_that_is_not_empty(data, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty") as e:
        train(data, tmp_path / "run")
    assert "--resume" in e.value.hint
    assert list_files(tmp_path / "run") == ["notes.txt"]


def test_start_training__empty_folder_is_fine(data, tmp_path):
    (tmp_path / "run").mkdir()
    train(data, tmp_path / "run", *ONE_EPOCH)


def test_start_training__file_in_place_of_the_folder(data, tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(RunError, match="is a file"):
        train(data, tmp_path / "run")
    assert (tmp_path / "run").read_text() == "mine"


def test_start_training__folder_taken_while_photos_were_read(data, tmp_path):
    class Rival(QuietListener):
        def start_photos(self, num_photos):
            (tmp_path / "run").mkdir()
            (tmp_path / "run" / "config.yaml").write_text("of another run")

    with pytest.raises(RunError, match="is not empty"):
        train(data, tmp_path / "run", listener=Rival())
    assert (tmp_path / "run" / "config.yaml").read_text() == "of another run"


def hold_lock(path):
    """Hold a run's lock in another process; return it."""
    code = (
        "import sys; from pathlib import Path; from bunri.core.files import lock_folder\n"
        "with lock_folder(Path(sys.argv[1])):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


@pytest.mark.parametrize("dies", [False, True])
def test_training__folder_that_another_process_holds(data, tmp_path, dies):
    holder = hold_lock(tmp_path / "run")
    try:
        with pytest.raises(RunError, match="in use by another bunri process"):
            train(data, tmp_path / "run", *ONE_EPOCH)
        assert list_files(tmp_path / "run") == [".lock"]
    finally:
        if dies:
            holder.kill()
        holder.communicate()
    train(data, tmp_path / "run", *ONE_EPOCH)  # the lock went with its process


def test_resume_training__run_that_another_process_holds(data, tmp_path):
    folder, _ = train(data, tmp_path / "run", *ONE_EPOCH)
    holder = hold_lock(folder.path)
    try:
        with pytest.raises(RunError, match="in use by another bunri process"):
            resume_training(folder, QuietListener())
    finally:
        holder.communicate()


def test_training__holds_its_own_lock(data, tmp_path):
    class Prober(QuietListener):
        def end_step(self, loss):
            lock = FileLock(tmp_path / "run" / ".lock", is_singleton=False)
            with pytest.raises(TimeoutError):
                lock.acquire(timeout=0)

    train(data, tmp_path / "run", *ONE_EPOCH, listener=Prober())


# -- resuming ------------------------------------------------------------------------------


class StoppingListener(QuietListener):
    """Raises at a step, counted from 1 over the whole run."""

    def __init__(self, step, error):
        self.steps_left = step
        self.error = error

    def end_step(self, loss):
        self.steps_left -= 1
        if not self.steps_left:
            raise self.error


FOUR_EPOCHS = ("train.epochs=4", "model.dropout=0.5")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The data, and a run of four epochs that nothing stopped."""
    path = tmp_path_factory.mktemp("unbroken")
    data = write_data(path / "data")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("BUNRI_CACHE", str(path / "cache"))
        return data, train(data, path / "run", *FOUR_EPOCHS)[0]


def assert_same_run(found, expected):
    assert found.metrics.read_bytes() == expected.metrics.read_bytes()
    first, second = (Checkpoint.load(f.checkpoint) for f in (found, expected))
    assert first.num_epochs == second.num_epochs
    assert first.best_epoch == second.best_epoch
    assert first.network.keys() == second.network.keys()
    assert all(torch.equal(t, second.network[n]) for n, t in first.network.items())
    weights = [load_file(f.bundle / "model.safetensors") for f in (found, expected)]
    assert all(torch.equal(t, weights[1][n]) for n, t in weights[0].items())
    assert first.average.keys() == second.average.keys()
    assert all(torch.equal(t, second.average[n]) for n, t in first.average.items())
    for one, other in zip(
        first.optimizer["state"].values(), second.optimizer["state"].values(), strict=True
    ):
        assert all(torch.equal(one[k], other[k]) for k in one)
    assert list_files(found.path) == list_files(expected.path)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), pytest.param(ValueError("power cut"), marks=pytest.mark.slow)]
)
def test_resume_training__as_if_never_stopped_in_epoch_3(unbroken, tmp_path, error):
    data, expected = unbroken
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(type(error)):  # two steps an epoch: the fifth is in the third
        train(data, folder.path, *FOUR_EPOCHS, listener=StoppingListener(5, error))
    assert len(read_lines(folder.metrics)) == 2
    torch.manual_seed(12345)  # whatever state the next process is in
    result = resume_training(folder, QuietListener())
    assert_same_run(folder, expected)
    assert result.num_epochs == 4
    assert [r["epoch"] for r in read_lines(folder.timings)] == [1, 2, 3, 4]


@pytest.mark.slow
def test_resume_training__before_the_first_epoch_was_done(unbroken, tmp_path):
    data, expected = unbroken
    folder = RunFolder(tmp_path / "run")
    listener = StoppingListener(1, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        train(data, folder.path, *FOUR_EPOCHS, listener=listener)
    resume_training(folder, QuietListener())
    assert_same_run(folder, expected)


@pytest.mark.slow
@pytest.mark.parametrize("function", ["write_samples", "write_history"])
def test_resume_training__stopped_between_two_files_of_an_epoch(
    unbroken, tmp_path, monkeypatch, function
):
    """Around the checkpoint: the bundle is of epoch 2 before, metrics of epoch 1 after."""
    data, expected = unbroken
    folder = RunFolder(tmp_path / "run")
    calls = []
    original = getattr(RunWriter, function)

    def stop_at_epoch_2(writer, *args):
        calls.append(1)
        if len(calls) == (3 if function == "write_history" else 2):
            raise ValueError("power cut")
        original(writer, *args)

    with monkeypatch.context() as patched:
        patched.setattr(RunWriter, function, stop_at_epoch_2)
        with pytest.raises(ValueError, match="power cut"):
            train(data, folder.path, *FOUR_EPOCHS)
    assert len(read_lines(folder.metrics)) == 1
    resume_training(folder, QuietListener())
    assert_same_run(folder, expected)


def list_command(data, path, *settings):
    """Return the command line of a run in a process of its own."""
    arguments = [sys.executable, "-m", "bunri", "train", "--data", str(data.train)]
    arguments += ["--val", str(data.val), "--out", str(path)]
    for setting in (*TINY_SETTINGS, *settings):
        arguments += ["--set", setting]
    return arguments


def open_process(arguments):
    return subprocess.Popen(
        arguments, stderr=subprocess.PIPE, text=True, env=plain_environment(), process_group=0
    )


def wait_for_line(process, start):
    assert process.stderr is not None
    assert any(line.startswith(start) for line in iter(process.stderr.readline, ""))


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_training__signal_saves_the_steps_that_were_made(unbroken, tmp_path, kind, num_workers):
    """Also where the whole group of processes, the loader's too, is told to end."""
    data, expected = unbroken
    path = tmp_path / "run"
    settings = (*FOUR_EPOCHS, f"train.num_workers={num_workers}")
    process = open_process(list_command(data, path, *settings))
    wait_for_line(process, "epoch   1/4")
    os.killpg(process.pid, kind)
    error = process.communicate(timeout=30)[1]
    assert process.returncode == (143 if kind == signal.SIGTERM else 130)
    assert f"Stopped. Go on with: bunri train --resume --out {path}" in error
    assert "Traceback" not in error
    saved = Checkpoint.load(RunFolder(path).checkpoint)
    assert saved.num_epochs >= 1
    resume_training(RunFolder(path), QuietListener())
    assert_same_run(RunFolder(path), expected)


class SignallingListener(QuietListener):
    """Sends SIGTERM to its own process in the middle of an epoch."""

    def __init__(self, step):
        self.steps_left = step

    def end_step(self, loss):
        self.steps_left -= 1
        if not self.steps_left:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("step", [1, 5])
def test_training__sigterm_in_the_middle_of_an_epoch(unbroken, tmp_path, step):
    """The steps that were made are not made again, not even in the first epoch."""
    data, expected = unbroken
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(TerminatedError):
        train(data, folder.path, *FOUR_EPOCHS, listener=SignallingListener(step))
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    saved = Checkpoint.load(folder.checkpoint)
    assert (saved.num_epochs, len(saved.losses_done)) == (step // 2, 1)
    listener = NotingListener()
    resume_training(folder, listener)
    assert [event[0] for event in listener.events].count("step") == 8 - step
    assert_same_run(folder, expected)


def test_termination__waits_for_what_must_not_be_cut():
    done = []

    def work(stop):
        with stop.held_back():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append(1)
            with stop.held_back():
                done.append(2)
            done.append(3)
        done.append(4)

    with Termination() as stop, pytest.raises(TerminatedError):
        work(stop)
    assert done == [1, 2, 3]


def test_termination__signal_that_was_swallowed_is_raised_at_the_next_safe_point():
    """As in a finaliser, or an import within a bare except."""
    stop = Termination()

    def work():
        with contextlib.suppress(TerminatedError):
            os.kill(os.getpid(), signal.SIGTERM)
        with stop.held_back():
            done.append(1)
        done.append(2)

    done: list[int] = []
    with stop, pytest.raises(TerminatedError):
        work()
    assert done == [1]


def test_termination__of_a_thread_leaves_signals_alone():
    before = signal.getsignal(signal.SIGTERM)
    found = []

    def look():
        with Termination():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [before]


def test_training__memory_that_runs_out_is_told_and_remembered(data, tmp_path, monkeypatch):
    work_through = Stepper._work_through

    def fail(stepper, batch, num_samples):
        if num_samples > 2 * stepper.num_parts:
            raise MemoryError
        return work_through(stepper, batch, num_samples)

    monkeypatch.setattr(Stepper, "_work_through", fail)
    listener = NotingListener()
    folder, _ = train(data, tmp_path / "run", "train.epochs=1", listener=listener)
    assert ("warn", "Out of memory: from step 1 on, each batch is worked through in 2 parts.") in (
        listener.events
    )
    assert str(listener.events).count("Out of memory") == 1
    assert Checkpoint.load(folder.checkpoint).num_parts == 2


@pytest.mark.slow
def test_training__measures_formats_where_it_pays(data, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "MIN_STEPS", 2)
    listener = NotingListener()
    settings = (*ONE_EPOCH, "train.samples_per_epoch=6", "train.precision=auto")
    folder, _ = train(data, tmp_path / "run", *settings, listener=listener)
    chosen = Numerics.read(folder.numerics)
    assert len(chosen.step_ms) == 4
    assert ("note", chosen.explain()) in listener.events


def test_resume_training__computes_as_it_began(stopped, monkeypatch):
    Numerics("bf16", "contiguous").write(stopped.numerics)
    resume_training(stopped, QuietListener())
    assert Numerics.read(stopped.numerics).precision == "bf16"


def test_resume_training__of_a_finished_run_changes_nothing(unbroken, tmp_path):
    data, _ = unbroken
    folder, result = train(data, tmp_path / "run", *ONE_EPOCH)
    before = {name: (folder.path / name).read_bytes() for name in list_files(folder.path)}
    assert resume_training(folder, QuietListener()).best == result.best
    assert before == {name: (folder.path / name).read_bytes() for name in list_files(folder.path)}


def test_resume_training__without_a_run(tmp_path):
    with pytest.raises(RunError, match="no run to resume") as e:
        resume_training(RunFolder(tmp_path / "run"), QuietListener())
    assert str(tmp_path / "run") in e.value.hint
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A run of one of its two epochs; only copies of it are touched."""
    path = tmp_path_factory.mktemp("original")
    data, listener = write_data(path), StoppingListener(2, ValueError("power cut"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("BUNRI_CACHE", str(path / "cache"))
        with pytest.raises(ValueError, match="power cut"):
            train(data, path / "run", "train.samples_per_epoch=3", listener=listener)
    return path


@pytest.fixture
def stopped(original, tmp_path):
    """A copy of that run, with data of its own."""
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    folder = RunFolder(tmp_path / "run")
    folder.data.write_text(folder.data.read_text().replace(str(original), str(tmp_path)))
    assert folder.checkpoint.exists()
    return folder


def test_resume_training__annotation_file_that_changed(stopped, tmp_path):
    change_document(tmp_path / "val.json", lambda d: d["annotations"].pop())
    with pytest.raises(RunError, match="data changed since the run was started") as e:
        resume_training(stopped, QuietListener())
    assert e.value.problems == (f"{tmp_path / 'val.json'} has another content",)


def test_resume_training__annotation_file_that_is_gone(stopped, tmp_path):
    (tmp_path / "train.json").unlink()
    with pytest.raises(RunError) as e:
        resume_training(stopped, QuietListener())
    assert e.value.problems == (f"{tmp_path / 'train.json'} is gone",)


def cut_off(content):
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    "damage",
    [
        cut_off,
        lambda content: b"",
        lambda content: b"not a checkpoint\n",
        lambda content: b"\x80\x02" + content,
        lambda content: content.replace(b"best_epoch", b"best_epach"),
    ],
    ids=["cut", "empty", "text", "pickle", "keys"],
)
def test_resume_training__damaged_checkpoint(stopped, damage):
    stopped.checkpoint.write_bytes(damage(stopped.checkpoint.read_bytes()))
    with pytest.raises(RunError, match=r"checkpoint .*last\.ckpt is damaged"):
        resume_training(stopped, QuietListener())


class Trap:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_resume_training__checkpoint_that_would_run_code(stopped, tmp_path):
    torch.save({"num_epochs": Trap(tmp_path / "sprung")}, stopped.checkpoint)
    with pytest.raises(RunError, match="is damaged"):
        resume_training(stopped, QuietListener())
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.json", b""),
        *product(("data.json", "config.yaml"), (b"{", b"\xff\xfe", b"[1, 2]", b'{"train": 3}')),
    ],
)
def test_resume_training__damaged_plan(stopped, name, content):
    (stopped.path / name).write_bytes(content)
    with pytest.raises((RunError, ConfigError), match=name.replace(".", r"\.")):
        resume_training(stopped, QuietListener())


def test_resume_training__settings_edited_into_another_network(stopped):
    text = stopped.config.read_text()
    assert "decoder_channels: 64" in text
    stopped.config.write_text(text.replace("decoder_channels: 64", "decoder_channels: 128"))
    with pytest.raises(RunError, match=r"last\.ckpt does not fit the network"):
        resume_training(stopped, QuietListener())


# -- a full disk ---------------------------------------------------------------------------


def raise_full(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("function", ["fsync", "write"])
def test_checkpoint__full_disk_leaves_the_old_one(tmp_path, monkeypatch, function):
    path = tmp_path / "last.ckpt"
    Checkpoint(num_epochs=1, network={"a": torch.ones(3)}).save(path)
    before = path.read_bytes()
    if function == "fsync":
        monkeypatch.setattr(os, "fsync", raise_full)
    else:
        monkeypatch.setattr(Path, "write_bytes", raise_full)
    with pytest.raises(OutputError, match="the disk is full"):
        Checkpoint(num_epochs=2, network={"a": torch.zeros(3)}).save(path)
    assert path.read_bytes() == before
    assert list_files(tmp_path) == ["last.ckpt"]


@pytest.mark.slow
def test_checkpoint__really_full_disk_is_told_as_such(tmp_path):
    """No monkeypatch: the kernel refuses to let a file grow, as a full disk would."""
    code = """
import resource, signal, sys
from pathlib import Path
import torch
from bunri.core.errors import OutputError
from bunri.training.checkpoints import Checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
Checkpoint(num_epochs=1).save(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    Checkpoint(num_epochs=2, network={"a": torch.zeros(100_000)}).save(path)
except OutputError as error:
    print(error)
print(Checkpoint.load(path).num_epochs)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "last.ckpt")], capture_output=True, text=True
    )
    assert done.stderr == ""
    message, num_epochs = done.stdout.splitlines()
    assert message.startswith(f"Cannot write {tmp_path / 'last.ckpt'}: File too large")
    assert num_epochs == "1"
    assert list_files(tmp_path) == ["last.ckpt"]


def test_training__full_disk_keeps_checkpoint_and_bundle(stopped, monkeypatch):
    before = {n: (stopped.path / n).read_bytes() for n in list_files(stopped.path)}

    class Filler(QuietListener):
        def end_step(self, loss):
            monkeypatch.setattr(os, "fsync", raise_full)

    with pytest.raises(OutputError, match="the disk is full"):
        resume_training(stopped, Filler())
    monkeypatch.undo()
    assert before == {n: (stopped.path / n).read_bytes() for n in list_files(stopped.path)}
    resume_training(stopped, QuietListener())  # and with space again, on it goes
    assert len(read_lines(stopped.metrics)) == 2


def test_checkpoint__comes_back_as_saved(tmp_path):
    network = {"a": torch.arange(6.0).reshape(1, 2, 3, 1)}
    state = {"state": {0: {"step": torch.tensor(2.0)}}}
    saved = Checkpoint(3, network=network, optimizer=state, history=[{"epoch": 1}], best_epoch=1)
    saved.save(tmp_path / "c")
    loaded = Checkpoint.load(tmp_path / "c")
    assert (loaded.num_epochs, loaded.best_epoch, loaded.history) == (3, 1, [{"epoch": 1}])
    assert torch.equal(loaded.network["a"], network["a"])
    assert loaded.optimizer["state"][0]["step"] == 2.0


def test_checkpoint__is_read_by_plain_torch(tmp_path):
    Checkpoint(num_epochs=3).save(tmp_path / "c")
    content = torch.load(io.BytesIO((tmp_path / "c").read_bytes()), weights_only=True)
    assert content["num_epochs"] == 3


# -- how weights move ----------------------------------------------------------------------


def test_training__rates_follow_schedule_and_group(data, tmp_path, monkeypatch):
    """4 steps, no warm-up: the factors are (1 + cos(pi * step / 4)) / 2."""
    rates = []

    take_step = Stepper.take_step

    def note_rates(stepper, *args):
        take_step(stepper, *args)
        rates.append([group["lr"] for group in stepper.optimizer.param_groups])

    monkeypatch.setattr(Stepper, "take_step", note_rates)
    train(data, tmp_path / "run", "optim.warmup=0", "optim.lr=0.1", "optim.encoder_lr_scale=0.5")
    factors = [1.0, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]
    for (encoder, rest), factor in zip(rates, factors, strict=True):
        assert rest == pytest.approx(0.1 * factor)
        assert encoder == pytest.approx(0.05 * factor)


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_training__encoder_rate_of_zero_leaves_it_as_it_was(data, tmp_path, scale):
    settings = (*ONE_EPOCH, f"optim.encoder_lr_scale={scale}")
    folder, _ = train(data, tmp_path / "run", *settings)
    plan = plan_run(data, *settings)
    torch.manual_seed(mix_seed(plan.config.seed, "weights", 0))
    start = dict(build_network(plan.config.model, 12)[0].named_parameters())
    moved = {
        name
        for name, tensor in Checkpoint.load(folder.checkpoint).network.items()
        if name in start and not torch.equal(tensor, start[name])
    }
    assert any(name.startswith("decoder") for name in moved)
    assert any(name.startswith("encoder") for name in moved) == (scale > 0)


# -- plans ---------------------------------------------------------------------------------


def test_data_source__photos_lie_beside_the_file_or_where_said(tmp_path):
    a, b, roots = tmp_path / "a" / "x.json", tmp_path / "b" / "y.json", [tmp_path, tmp_path / "c"]
    beside = DataSource.pair([a, b], [], "--images")
    assert [s.image_root for s in beside] == [tmp_path / "a", tmp_path / "b"]
    said = DataSource.pair([a, b], roots, "--images")
    assert [s.image_root for s in said] == roots
    with pytest.raises(
        AnnotationError, match=r"--images was given 1 time\(s\) for 2 annotation file"
    ):
        DataSource.pair([a, b], roots[:1], "--images")


def test_run_plan__comes_back_as_written(data, tmp_path):
    plan = plan_run(data, "optim.lr=3e-4", "augment.crop_size_px=null")
    plan.write(RunFolder(tmp_path))
    assert RunPlan.read(RunFolder(tmp_path)) == plan


def test_run_plan__is_found_from_another_folder(data, tmp_path, monkeypatch):
    """Paths are kept absolute."""
    monkeypatch.chdir(data.folder)
    sources = [DataSource.pair([Path(name)], [], "-") for name in ("train.json", "val.json")]
    RunPlan(plan_run(data).config, *sources).write(RunFolder(tmp_path))
    monkeypatch.chdir("/")
    assert RunPlan.read(RunFolder(tmp_path)) == plan_run(data)


def test_start_training__keeps_the_average(data, tmp_path):
    """The bundle holds the averaged weights, not those of the last step."""
    folder, _ = train(data, tmp_path / "run", "train.epochs=1", "optim.ema_decay=0.9")
    saved = Checkpoint.load(folder.checkpoint)
    kept = load_file(folder.bundle / "model.safetensors")
    name = next(n for n in kept if n.endswith("weight"))
    assert torch.equal(kept[name], saved.average[f"module.{name}"])
    assert not torch.equal(kept[name], saved.network[name])
