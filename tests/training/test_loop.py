"""What a run writes, how it chooses its best epoch, and how it survives divergence."""

import itertools
import math

import pytest
import torch
from safetensors.torch import load_file

from bunri.core.errors import ConfigError, RunError
from bunri.model.bundle import read_bundle
from bunri.training import loop, stepper
from bunri.training.checkpoints import Checkpoint
from bunri.training.config import LossConfig, load_config
from bunri.training.loop import is_better
from bunri.training.losses.losses import compute_training_loss
from bunri.training.networks.build import build_network
from bunri.training.numerics import Numerics
from bunri.training.samples.data import mix_seed
from bunri.training.stepper import Stepper
from bunri.training.validate import Validation
from tests.training.tiny import (
    ONE_STEP,
    THREE_EPOCHS,
    NotingListener,
    assert_same_tensors,
    list_files,
    plan_run,
    read_lines,
    train,
)


def skip_steps(monkeypatch, give_loss):
    """Let steps move nothing, and have the loss that is given."""
    monkeypatch.setattr(Stepper, "prepare_step", lambda *_: give_loss())
    monkeypatch.setattr(Stepper, "take_step", lambda *_: None)


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
    assert listener.events[0] == ("progress", "Reading and checking 10 photos", 10)
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
    first, _ = train(data, tmp_path / "a", *ONE_STEP)
    second, _ = train(data, tmp_path / "b", *ONE_STEP, "train.num_workers=1")
    other, _ = train(data, tmp_path / "c", *ONE_STEP, "seed=22")
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


@pytest.mark.parametrize(("select_by", "best_epoch"), [("loss", 3), ("per_image_miou", 2)])
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


def test_start_training__loss_that_stays_no_number(data, tmp_path, monkeypatch):
    value = math.inf
    spoil_loss(monkeypatch, lambda loss: loss * value, lambda _: True)
    listener = NotingListener()
    with pytest.raises(RunError, match=f"In epoch 1 the training loss became {value}") as e:
        train(data, tmp_path / "run", *ONE_STEP, listener=listener)
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
        train(data, tmp_path / "run", *ONE_STEP)
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


def test_start_training__rolling_back_undoes_everything(unbroken, data, tmp_path, monkeypatch):
    """At the same rate, an epoch that was started over equals one that never diverged."""
    monkeypatch.setattr(loop, "RATE_FACTOR", 1.0)
    spoil_loss(monkeypatch, lambda loss: loss * math.nan, lambda number: number in (1, 6))
    rough, _ = train(data, tmp_path / "rough", *THREE_EPOCHS)
    rough_records, calm_records = (read_lines(f.metrics) for f in (rough, unbroken))
    assert rough_records[-1].pop("rollbacks") == 2
    for records in (rough_records, calm_records):
        for record in records:
            record.pop("rollbacks", None)
    assert rough_records == calm_records
    first, second = (Checkpoint.load(f.checkpoint) for f in (rough, unbroken))
    assert_same_tensors(first.network, second.network)
    assert_same_tensors(first.average, second.average)
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
    _, result = train(data, tmp_path / "run", *ONE_STEP, *weights)
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


# -- memory, formats, weights --------------------------------------------------------------


def test_training__memory_that_runs_out_is_reported_and_remembered(data, tmp_path, monkeypatch):
    work_through = Stepper._work_through

    def fail(stepper, batch):
        if len(batch[0]) > 2 * stepper.num_parts:
            raise MemoryError
        return work_through(stepper, batch)

    monkeypatch.setattr(Stepper, "_work_through", fail)
    listener = NotingListener()
    folder, _ = train(data, tmp_path / "run", *ONE_STEP, listener=listener)
    assert ("warn", "Out of memory: from step 1 on, each batch is split into 2 parts.") in (
        listener.events
    )
    assert str(listener.events).count("Out of memory") == 1
    assert Checkpoint.load(folder.checkpoint).num_parts == 2


def test_training__measures_formats_where_it_pays(data, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "MIN_STEPS", 2)
    listener = NotingListener()
    settings = (*ONE_STEP, "train.samples_per_epoch=6", "train.precision=auto")
    folder, _ = train(data, tmp_path / "run", *settings, listener=listener)
    chosen = Numerics.read(folder.numerics)
    assert len(chosen.step_ms) == 4
    assert ("note", chosen.explain()) in listener.events


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
    settings = (*ONE_STEP, f"optim.encoder_lr_scale={scale}")
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


def test_start_training__keeps_the_average(data, tmp_path):
    """The bundle holds the averaged weights, not those of the last step."""
    folder, _ = train(data, tmp_path / "run", "train.epochs=1", "optim.ema_decay=0.9")
    saved = Checkpoint.load(folder.checkpoint)
    kept = load_file(folder.bundle / "model.safetensors")
    name = next(n for n in kept if n.endswith("weight"))
    assert torch.equal(kept[name], saved.average[f"module.{name}"])
    assert not torch.equal(kept[name], saved.network[name])
