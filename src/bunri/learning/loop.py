"""The training loop: epochs of steps, a validation after each, the best model kept.

Owns the order of events and what is written when. Networks, losses, data and files are others'.
Progress is told to a listener; nothing is printed here.
"""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from PIL import Image
from safetensors.torch import save
from torch import Tensor, nn

from bunri.annotations.cache import MaskCache
from bunri.annotations.records import LabelledSet
from bunri.bundle import BundleInfo, write_bundle
from bunri.config import SelectBy
from bunri.contracts import RunError
from bunri.drawing import draw_comparisons
from bunri.files import lock_folder, replace_atomically, write_text
from bunri.images import Preprocessing
from bunri.learning.checkpoints import Checkpoint
from bunri.learning.data import (
    PhotoStore,
    TrainingStream,
    WaitClock,
    iterate_batches,
    mix_seed,
)
from bunri.learning.divergence import (
    MAX_ROLLBACKS,
    RATE_FACTOR,
    DivergenceError,
    Snapshot,
    check_gradients,
    check_loss,
)
from bunri.learning.leak_check import refuse_leaks
from bunri.learning.listener import TrainingListener, TrainingResult
from bunri.learning.losses import check_class_weights, compute_loss
from bunri.learning.memory import keep_freed_memory
from bunri.learning.networks import build_network, describe_network
from bunri.learning.optimization import (
    build_average,
    build_optimizer,
    choose_precision,
    scale_rate,
)
from bunri.learning.plan import RunFolder, RunPlan
from bunri.learning.remarks import tell_remarks
from bunri.learning.trackers import open_tracking
from bunri.learning.validate import Validation, validate
from bunri.learning.weights import PretrainedWeights
from bunri.metrics import ScoreSheet, compute_scores


def start_training(plan: RunPlan, folder: RunFolder, listener: TrainingListener) -> TrainingResult:
    """Train from the beginning.

    Raises:
        BunriError: Whatever is wrong with settings, data or the folder; before any training
            where it can be known.
    """
    _refuse_used(folder.path)
    with open_tracking(plan.config, folder, listener) as tracked:
        trainer = Trainer(plan, folder, Checkpoint(), tracked)
        with lock_folder(folder.path):
            _refuse_used(folder.path)  # reading photos takes long: another run may have come first
            plan.write(folder)
            return trainer.run()


def _refuse_used(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file.", hint="Choose another folder with --out.")
    if folder.exists() and any(p.name != ".lock" for p in folder.iterdir()):
        raise RunError(
            f"{folder} is not empty.",
            hint="Go on with its run by --resume, or choose another folder with --out.",
        )


def resume_training(folder: RunFolder, listener: TrainingListener) -> TrainingResult:
    """Go on with a run after its last complete epoch.

    Raises:
        RunError: There is nothing to resume, it is in use, or its data changed.
    """
    plan = RunPlan.read(folder)
    with (
        lock_folder(folder.path),
        open_tracking(plan.config, folder, listener) as tracked,
    ):
        found = folder.checkpoint.is_file()
        checkpoint = Checkpoint.load(folder.checkpoint) if found else Checkpoint()
        return Trainer(plan, folder, checkpoint, tracked).run()


class Trainer:
    """One run: network, optimiser and data, and how they move.

    Args:
        plan: Settings and where the data is from.
        folder: Where everything is written.
        checkpoint: Where to go on from; a new one to start.
        listener: Who is told.
    """

    def __init__(
        self,
        plan: RunPlan,
        folder: RunFolder,
        checkpoint: Checkpoint,
        listener: TrainingListener,
    ) -> None:
        self._config = config = plan.config
        self._folder = folder
        self._checkpoint = checkpoint
        train_sets, val_sets = plan.read_sets()
        self._sets = {"train": train_sets, "val": val_sets}
        self._listener = listener
        self._table = train_sets[0].table
        checkpoint.claim_classes(self._table.names)
        check_class_weights(config.loss, len(self._table))
        self._preprocessing = Preprocessing.from_config(config.input)
        self._fabric = Fabric(
            accelerator="auto", devices=1, precision=choose_precision(config.train.precision)
        )
        keep_freed_memory()
        torch.manual_seed(mix_seed(config.seed, "weights", 0))
        model = config.model
        if checkpoint.num_epochs:  # its weights follow: nothing needs to be downloaded again
            model = model.model_copy(update={"weights": "none"})
        network, pretrained = build_network(model, len(self._table))
        checkpoint.licenses = checkpoint.licenses or describe_licenses(pretrained, train_sets)
        network = network.to(memory_format=torch.channels_last)  # 1.5x faster on CPUs
        # Fabric's wrapper is what trains; the plain module shares its tensors and is kept.
        self._module = network
        self._network, self._optimizer = self._fabric.setup(
            network, build_optimizer(network, config.optim)
        )
        self._average = build_average(network, config.optim)
        self._train_store, self._val_store = self._open_stores()
        length = config.train.samples_per_epoch or len(self._train_store)
        self._stream = TrainingStream(self._train_store, config, length)
        self._steps_per_epoch = math.ceil(length / config.train.batch_size)

    def _open_stores(self) -> tuple[PhotoStore, PhotoStore]:
        """Read and check all photos; training and validation share the memory limit."""
        data, cache = self._config.data, MaskCache.open_default()
        counts = {part: sum(len(d.photos) for d in sets) for part, sets in self._sets.items()}
        self._listener.start_photos(sum(counts.values()))
        memory_bytes = data.memory_mb * 2**20
        # A run that goes on was looked at when it began.
        looks_for_leaks = not (data.allow_leaks or self._checkpoint.num_epochs)
        train, val = (
            PhotoStore(
                sets,
                data.overlap_rule,
                cache,
                memory_bytes * counts[part] // sum(counts.values()),
                self._listener.advance_photos,
                takes_prints=looks_for_leaks,
            )
            for part, sets in self._sets.items()
        )
        if looks_for_leaks:
            refuse_leaks(train, val)
        return train, val

    def run(self) -> TrainingResult:
        """Train from the checkpoint to the last epoch."""
        checkpoint = self._checkpoint
        if checkpoint.num_epochs:
            self._restore(checkpoint)
        else:
            stores = self._train_store, self._val_store
            tell_remarks(self._config, self._table, *stores, self._listener)
        num_epochs = self._config.train.epochs
        _cut_lines(self._folder.timings, checkpoint.num_epochs)
        self._write_history(checkpoint)  # first: trackers look there for epochs that they lack
        self._listener.start_training(checkpoint.num_epochs + 1, num_epochs, self._steps_per_epoch)
        for epoch in range(checkpoint.num_epochs + 1, num_epochs + 1):
            self._run_epoch_safely(epoch, checkpoint)
        return TrainingResult(checkpoint.history[checkpoint.best_epoch - 1], num_epochs)

    def _restore(self, checkpoint: Checkpoint) -> None:
        try:
            self._module.load_state_dict(checkpoint.network)
            self._optimizer.load_state_dict(checkpoint.optimizer)
            if self._average is not None:
                self._average.load_state_dict(checkpoint.average)
        except (RuntimeError, ValueError, KeyError) as error:
            raise RunError(
                f"{self._folder.checkpoint} does not fit the network and optimiser that "
                f"{self._folder.config} describes.",
                hint="Undo the change to it, or start the run again in another folder.",
            ) from error

    def _run_epoch_safely(self, epoch: int, checkpoint: Checkpoint) -> None:
        """Run an epoch; if it diverges, start it over at a lower rate, a few times at most."""
        parts = self._module, self._optimizer, self._average
        before = Snapshot.take(*parts)
        while True:
            try:
                self._run_epoch(epoch, checkpoint)
            except DivergenceError as error:
                if checkpoint.num_rollbacks == MAX_ROLLBACKS:
                    raise self._explain_divergence(str(error), epoch) from error
                before.restore(*parts)
                checkpoint.num_rollbacks += 1
                checkpoint.rate_scale *= RATE_FACTOR
                self._listener.roll_back(epoch, str(error), checkpoint.rate_scale)
            else:
                return

    def _run_epoch(self, epoch: int, checkpoint: Checkpoint) -> None:
        started = time.monotonic()
        # Dropout draws from torch's generator: from here on it depends on the epoch alone.
        torch.manual_seed(mix_seed(self._config.seed, "epoch", epoch))
        clock = WaitClock()
        train_loss = self._train_epoch(epoch, clock)
        trained = time.monotonic()
        validation = self._validate()
        # Before anything is saved: a checkpoint of such weights could never be resumed.
        check_loss(torch.tensor(validation.loss), "validation")
        scores = compute_scores(validation.matrices, self._config.train.batch_size)
        record = {
            "epoch": epoch,
            "step": epoch * self._steps_per_epoch,
            "train_loss": train_loss,
            "val_loss": validation.loss,
            "lr": self._optimizer.param_groups[-1]["lr"],
            **scores.to_json(self._table.names),
        }
        is_best = not checkpoint.best_epoch or is_better(
            record, checkpoint.history[checkpoint.best_epoch - 1], self._config.train.select_by
        )
        checkpoint.history.append(record)
        checkpoint.num_epochs = epoch
        if is_best:
            checkpoint.best_epoch = epoch
            self._write_bundle(epoch, scores)
        self._write_samples(epoch, validation)
        checkpoint.network = dict(self._module.state_dict())
        checkpoint.optimizer = self._optimizer.state_dict()
        if self._average is not None:
            checkpoint.average = dict(self._average.state_dict())
        # From the moment the checkpoint is in place, the epoch is done. What was written
        # before it is written again, the same, if the process dies before this line.
        checkpoint.save(self._folder.checkpoint)
        self._write_history(checkpoint)
        seconds = {
            "train_s": trained - started,
            "wait_s": clock.waited_s,  # part of train_s
            "val_s": time.monotonic() - trained,
        }
        with self._folder.timings.open("a") as file:
            file.write(json.dumps({"epoch": epoch, **seconds}) + "\n")
        self._listener.end_epoch(record, is_best=is_best)

    def _train_epoch(self, epoch: int, clock: WaitClock) -> float:
        """Make the steps of one epoch; return the mean loss over its samples."""
        config = self._config.train
        self._network.train()
        total, count = 0.0, 0
        step = (epoch - 1) * self._steps_per_epoch
        batches = iterate_batches(
            self._stream,
            epoch - 1,
            config.batch_size,
            config.num_workers,
            pin_memory=self._fabric.device.type == "cuda",
        )
        for pixels, targets in clock.watch(batches):
            rate = scale_rate(step, config.epochs * self._steps_per_epoch, self._config.optim)
            rate *= self._checkpoint.rate_scale
            for group in self._optimizer.param_groups:
                group["lr"] = group["base_lr"] * rate
            loss = self._make_step(pixels, targets)
            step += 1
            total += loss * len(pixels)
            count += len(pixels)
            self._listener.end_step(loss)
        return total / count

    def _explain_divergence(self, reason: str, epoch: int) -> RunError:
        return RunError(
            f"In epoch {epoch} {reason}, even at {self._checkpoint.rate_scale:g} times the rate.",
            hint="The last complete epoch is kept. Start again in another folder with a lower "
            f"rate, for example --set optim.lr={self._config.optim.lr / 100:g}, or look for "
            "broken labels with bunri doctor.",
        )

    def _make_step(self, pixels: Tensor, targets: Tensor) -> float:
        device = self._fabric.device
        pixels = pixels.to(device, memory_format=torch.channels_last, non_blocking=True)
        targets = targets.to(device, non_blocking=True)
        self._optimizer.zero_grad()
        loss = compute_loss(self._network(pixels), targets, self._config.loss)
        value = check_loss(loss, "training")
        self._fabric.backward(loss)
        if self._config.train.precision != "fp16":  # there the scaler passes over such steps
            check_gradients(self._module.parameters())
        self._optimizer.step()
        if self._average is not None:
            self._average.update_parameters(self._module)
        return value

    @property
    def _kept_network(self) -> nn.Module:
        """The network that is validated and kept: the averaged one, if there is one."""
        network: nn.Module = self._module if self._average is None else self._average.module
        return network

    def _validate(self) -> Validation:
        with self._fabric.autocast():
            return validate(
                self._kept_network.eval(),
                self._val_store,
                self._preprocessing,
                self._config.loss,
                len(self._table),
                batch_size=self._config.train.batch_size,
                num_samples=self._config.train.num_sample_pictures,
                device=self._fabric.device,
            )

    def _write_bundle(self, epoch: int, scores: ScoreSheet) -> None:
        tensors = {k: v.contiguous().cpu() for k, v in self._kept_network.state_dict().items()}
        info = BundleInfo(
            table=self._table,
            preprocessing=self._preprocessing,
            architecture=describe_network(self._config.model, len(self._table)),
            training=self._describe_training(epoch),
            scores=scores.to_json(self._table.names),
            licenses=self._checkpoint.licenses,
        )
        write_bundle(self._folder.bundle, info, save(tensors))

    def _describe_training(self, epoch: int) -> dict[str, Any]:
        names = {
            part: ", ".join(f"{d.source.name} ({len(d.photos)} photos)" for d in sets)
            for part, sets in self._sets.items()
        }
        return {
            "trained on": names["train"],
            "validated on": names["val"],
            "epoch": f"{epoch} of {self._config.train.epochs}",
            "chosen by": self._config.train.select_by,
            "config": self._config.model_dump(mode="json"),
        }

    def _write_samples(self, epoch: int, validation: Validation) -> None:
        if not validation.samples:
            return
        picture = draw_comparisons(validation.samples, self._table)
        with replace_atomically(self._folder.path_of_samples(epoch)) as temporary:
            Image.fromarray(picture).save(temporary, quality=88)

    def _write_history(self, checkpoint: Checkpoint) -> None:
        lines = [json.dumps(record, ensure_ascii=False) for record in checkpoint.history]
        write_text(self._folder.metrics, "".join(line + "\n" for line in lines))


def is_better(record: Mapping[str, Any], best: Mapping[str, Any], select_by: SelectBy) -> bool:
    """Return whether an epoch's record beats the best so far; "no data" never does."""
    if select_by == "loss":
        return bool(record["val_loss"] < best["val_loss"])
    key = select_by.removesuffix("_miou")
    new, old = record["miou"][key], best["miou"][key]
    return new is not None and (old is None or new > old)


def describe_licenses(
    pretrained: PretrainedWeights | None, datasets: list[LabelledSet]
) -> dict[str, str]:
    """Return where weights and photos are from and under which licences."""
    start = f"{pretrained.license} ({pretrained.source})" if pretrained else "random start"
    names = list(dict.fromkeys(name for d in datasets for name in d.licenses))
    return {"weights": start, "data": ", ".join(names) or "not declared in the annotation files"}


def _cut_lines(path: Path, num_lines: int) -> None:
    """Keep the first lines of a file."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    write_text(path, "".join(lines[:num_lines]))
