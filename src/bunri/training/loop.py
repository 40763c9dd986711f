"""The training loop: epochs of steps, a validation after each, the best model kept."""

import copy
import hashlib
import math
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from bunri.core.errors import RunError
from bunri.core.files import write_json
from bunri.labels.pseudo import pack_hashes, unpack_hashes
from bunri.scores.metrics import compute_scores
from bunri.training.checkpoints import Checkpoint
from bunri.training.config import SelectBy
from bunri.training.data_checks import collect_photo_hashes, refuse_leaks, report_warnings
from bunri.training.listener import TrainingListener, TrainingResult
from bunri.training.loggers import RunLogger
from bunri.training.losses.losses import check_class_weights, compute_training_loss
from bunri.training.networks.build import build_network
from bunri.training.numerics import (
    MEASURED_SAMPLES,
    MIN_STEPS,
    Numerics,
    choose_numerics,
    keep_convolutions_wide,
    list_candidates,
)
from bunri.training.optimization import build_average, build_optimizer
from bunri.training.plan import RunFolder, RunPlan
from bunri.training.processes import Processes
from bunri.training.run_writer import RunWriter, describe_licenses
from bunri.training.samples.data import PhotoStore, TrainingStream, mix_seed
from bunri.training.samples.loading import WaitClock, collate_samples, iterate_batches
from bunri.training.samples.mixing import find_classes
from bunri.training.stepper import DivergenceError, Stepper, check_loss, keep_freed_memory
from bunri.training.termination import TerminatedError, Termination
from bunri.training.validate import Validation, validate

MAX_ROLLBACKS = 3  # in a whole run; with more, something else than the rate is wrong
RATE_FACTOR = 0.5  # on the learning rate with each rollback to the start of an epoch


class Trainer:
    """One run from a checkpoint, which is empty in a new run, to the last epoch."""

    def __init__(
        self,
        plan: RunPlan,
        folder: RunFolder,
        checkpoint: Checkpoint,
        listener: TrainingListener,
        logger: RunLogger,
        processes: Processes,
        stop: Termination | None,
    ) -> None:
        self._processes = processes
        self._config = config = plan.config
        self._folder = folder
        self._checkpoint = checkpoint
        train_sets, val_sets = plan.read_sets()
        self._writer = RunWriter(folder, config, {"train": train_sets, "val": val_sets})
        self._listener = listener
        self._logger = logger
        self._table = self._writer.table
        checkpoint.claim_classes(self._table.names)
        check_class_weights(config.loss, len(self._table))
        find_classes(config.augment.paste_classes or (), self._table)  # refuses unknown ones
        self._stop = stop or Termination()
        self._device = processes.fabric.device
        self._candidates = list_candidates(config.train, self._device)
        keep_freed_memory()
        torch.manual_seed(mix_seed(config.seed, "weights", 0))
        model = config.model
        if checkpoint.network:  # its weights follow: nothing needs to be downloaded again
            model = model.model_copy(update={"weights": "none"})
        self._module, pretrained = build_network(model, len(self._table))
        checkpoint.licenses = checkpoint.licenses or describe_licenses(pretrained, train_sets)
        if pretrained is not None:
            checkpoint.start_photos = pack_hashes(pretrained.photo_hashes)
        self._start_photos = unpack_hashes(checkpoint.start_photos) or frozenset()
        self._train_store, self._val_store = self._open_stores()
        length = config.train.samples_per_epoch or len(self._train_store)
        self._stream = TrainingStream(self._train_store, config, length)
        self._steps_per_epoch = math.ceil(length / config.train.batch_size)

    def _open_stores(self) -> tuple[PhotoStore, PhotoStore]:
        """Read and check all photos; training and validation share the memory limit."""
        data = self._config.data
        sets = self._writer.sets
        counts = {part: sum(len(d.photos) for d in sets[part]) for part in sets}
        memory_bytes = data.memory_mb * 2**20 // self._processes.num_local
        # A resumed run was checked when it began.
        checks_leaks = not (data.allow_leaks or self._checkpoint.network)
        total = sum(counts.values())
        with self._listener.progress(f"Reading and checking {total} photos", total) as advance:
            train, val = (
                PhotoStore(
                    sets[part], data.overlap_rule, memory_bytes * counts[part] // total, advance
                )
                for part in ("train", "val")
            )
        if checks_leaks:
            refuse_leaks(train, val, self._start_photos)
        return train, val

    def run(self) -> TrainingResult:
        """Train to the last epoch; SIGTERM and Ctrl-C end it in the middle, with a checkpoint."""
        checkpoint = self._checkpoint
        num_epochs = self._config.train.epochs
        if self._processes.count > 1:
            self._stop.agree = self._processes.agree_max
        self._set_up()
        self._processes.do_first(lambda: self._writer.cut_back(checkpoint.history))
        # Before training is announced: the logger adds epochs that its tracker lacks.
        self._logger.open(checkpoint.num_epochs + 1)
        self._listener.start_training(checkpoint.num_epochs + 1, num_epochs, self._steps_per_epoch)
        try:
            for epoch in range(checkpoint.num_epochs + 1, num_epochs + 1):
                self._run_epoch_safely(epoch)
        except (TerminatedError, KeyboardInterrupt):
            # Without handlers of ours, Ctrl-C may have cut a step in two.
            if self._stop.is_active:
                self._stop.settle()
                self._save()
            raise
        return TrainingResult(checkpoint.history[checkpoint.best_epoch - 1], num_epochs)

    def _set_up(self) -> None:
        """Choose the number format, and put network, optimiser and average in place."""
        checkpoint, config = self._checkpoint, self._config
        if self._device.type == "cpu":
            keep_convolutions_wide(self._module)
        numerics = self._choose_numerics()
        self._module.to(self._device).to(memory_format=numerics.torch_format)
        self._fabric = self._processes.open_fabric(numerics.fabric_precision)
        num_steps = config.train.epochs * self._steps_per_epoch
        self._average = build_average(self._module, config.optim, num_steps)
        self._stepper = Stepper(
            self._fabric,
            self._module,
            build_optimizer(self._module, config.optim),
            self._average,
            config,
            numerics.torch_format,
            num_steps,
            self._processes,
        )
        if checkpoint.network:
            self._restore()
            self._stepper.num_parts = max(self._stepper.num_parts, checkpoint.num_parts)
        else:
            stores = self._train_store, self._val_store
            report_warnings(config, self._table, *stores, self._listener)
        checkpoint.num_parts = self._stepper.num_parts
        hashes = "".join(self._train_store.pixel_hashes + self._val_store.pixel_hashes)
        digest = hashlib.sha256(hashes.encode()).hexdigest()
        self._processes.refuse_difference(digest, "their photos")
        progress = f"{checkpoint.num_epochs} {checkpoint.losses_done}"
        self._processes.refuse_difference(progress, "their checkpoint")

    def _choose_numerics(self) -> Numerics:
        """Return the number format of this run: as it began, as set, or the fastest."""
        chosen = self._candidates[0]
        with self._processes.together():
            if self._processes.is_first:
                path = self._folder.numerics
                chosen = Numerics.read(path) if path.is_file() else self._measure_numerics()
        return self._processes.take_first(chosen)

    def _measure_numerics(self) -> Numerics:
        """Return the number format of a new run, stored so that a resumed run computes alike."""
        chosen = self._candidates[0]
        if self._config.train.epochs * self._steps_per_epoch >= MIN_STEPS:
            samples = [self._stream[i] for i in range(min(MEASURED_SAMPLES, len(self._stream)))]
            pixels, targets, _ = (tensor.to(self._device) for tensor in collate_samples(samples))
            chosen = choose_numerics(
                self._candidates,
                self._module.to(self._device),
                pixels,
                lambda outputs: compute_training_loss(outputs, targets, self._config.loss),
            )
        write_json(self._folder.numerics, chosen.model_dump())
        if chosen.step_ms:
            self._listener.note(chosen.explain())
        return chosen

    def _list_parts(self) -> dict[str, Any]:
        """Return the parts that have a state, by its name in the checkpoint."""
        parts = {
            "network": self._module,
            "optimizer": self._stepper.optimizer,
            "average": self._average,
            "scaler": self._stepper.scaler,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def _restore(self) -> None:
        checkpoint = self._checkpoint
        try:
            for name, part in self._list_parts().items():
                part.load_state_dict(getattr(checkpoint, name))
        except (RuntimeError, ValueError, KeyError) as error:
            raise RunError(
                f"{self._folder.checkpoint} does not fit the network and optimiser that "
                f"{self._folder.config} describes.",
                hint="Undo the change to it, or start the run again in another folder.",
            ) from error

    def _run_epoch_safely(self, epoch: int) -> None:
        """Run an epoch; if it diverges, start it over at a lower rate, a few times at most."""
        checkpoint = self._checkpoint
        # Not the scaler of fp16 losses: it has learned which scale is too large.
        parts = [part for name, part in self._list_parts().items() if name != "scaler"]
        before = [_copy_to_cpu(part.state_dict()) for part in parts]
        losses_before = list(checkpoint.losses_done)
        while True:
            try:
                self._run_epoch(epoch)
            except DivergenceError as error:
                if checkpoint.num_rollbacks == MAX_ROLLBACKS:
                    failure = RunError(
                        f"In epoch {epoch} {error}, even at {checkpoint.rate_scale:g} times the "
                        "rate.",
                        hint="The last complete epoch is kept. Start again in another folder with "
                        f"a lower rate, for example --set optim.lr={self._config.optim.lr / 100:g}"
                        ", or search for broken labels with bunri doctor.",
                    )
                    raise self._processes.report_once(failure) from error
                with self._stop.held_back():
                    for part, state in zip(parts, before, strict=True):
                        # A copy, since an optimiser would keep the state and change it.
                        part.load_state_dict(copy.deepcopy(state))
                    checkpoint.losses_done = list(losses_before)
                    checkpoint.num_rollbacks += 1
                    checkpoint.rate_scale *= RATE_FACTOR
                self._listener.roll_back(epoch, str(error), checkpoint.rate_scale)
            else:
                return

    def _run_epoch(self, epoch: int) -> None:
        started = time.monotonic()
        clock = WaitClock()
        self._train_epoch(epoch, clock)
        trained = time.monotonic()
        validation = self._validate()
        # Before anything is saved: a checkpoint of such weights could never be resumed.
        check_loss(validation.loss, "validation")
        with self._stop.held_back():
            record, is_best = self._end_epoch(epoch, validation)
            val_s = time.monotonic() - trained
            times = {"train_s": trained - started, "wait_s": clock.waited_s, "val_s": val_s}
            self._processes.do_first(lambda: self._writer.add_timing(epoch, times))
        self._logger.log_epoch(record)
        self._listener.end_epoch(record, is_best=is_best)

    def _train_epoch(self, epoch: int, clock: WaitClock) -> None:
        """Make the steps of one epoch that are missing."""
        checkpoint, stepper = self._checkpoint, self._stepper
        losses = checkpoint.losses_done
        batches = iterate_batches(
            self._stream,
            epoch - 1,
            self._config.train,
            first_batch=len(losses),
            pin_memory=self._fabric.device.type == "cuda",
            warn=self._listener.warn,
            processes=self._processes,
            hold_signals=self._stop.held_back,
        )
        self._module.train()
        for batch in clock.watch(batches):
            step = (epoch - 1) * self._steps_per_epoch + len(losses)
            # Dropout draws from torch's generator: so it depends on the step and the process
            # alone. With it, no two numbers of processes give the same run.
            draw = step * self._processes.count + self._processes.rank
            torch.manual_seed(mix_seed(self._config.seed, "step", draw))
            loss = stepper.prepare_step(batch)
            with self._stop.held_back():
                stepper.take_step(step, checkpoint.rate_scale)
                losses.append(loss)
            if stepper.num_parts != checkpoint.num_parts:
                checkpoint.num_parts = stepper.num_parts
                self._listener.warn(
                    f"Out of memory: from step {step + 1} on, each batch is split into "
                    f"{stepper.num_parts} parts."
                )
            self._listener.end_step(loss)
            self._stop.meet()

    def _end_epoch(self, epoch: int, validation: Validation) -> tuple[dict[str, Any], bool]:
        """Write the files of an epoch; return its record and whether it is the best."""
        checkpoint = self._checkpoint
        scores = compute_scores(validation.matrices, self._config.train.batch_size)
        record = {
            "epoch": epoch,
            "step": epoch * self._steps_per_epoch,
            "train_loss": self._average_losses(),
            "val_loss": validation.loss,
            "lr": self._stepper.optimizer.param_groups[-1]["lr"],
            "rate_scale": checkpoint.rate_scale,
            "rollbacks": checkpoint.num_rollbacks,
            **scores.to_json(self._table.names),
        }
        is_best = not checkpoint.best_epoch or is_better(
            record, checkpoint.history[checkpoint.best_epoch - 1], self._config.train.select_by
        )
        checkpoint.history.append(record)
        checkpoint.num_epochs = epoch
        checkpoint.losses_done = []
        if is_best:
            checkpoint.best_epoch = epoch

        def write() -> None:
            if is_best:
                hashes = collect_photo_hashes(self._train_store, self._start_photos)
                self._writer.write_bundle(
                    self._kept_network, epoch, scores, checkpoint.licenses, hashes
                )
            self._writer.write_samples(epoch, validation.samples)

        self._processes.do_first(write)
        # From the moment the checkpoint is in place, the epoch is done. What was written
        # before it is written again, the same, if the process dies before this line.
        self._save()
        self._processes.do_first(lambda: self._writer.write_history(checkpoint.history))
        return record, is_best

    def _average_losses(self) -> float:
        """Return the mean loss over the samples of an epoch; its last batch may be smaller."""
        size, losses = self._config.train.batch_size, self._checkpoint.losses_done
        counts = [min(size, len(self._stream) - number * size) for number in range(len(losses))]
        return sum(loss * count for loss, count in zip(losses, counts, strict=True)) / sum(counts)

    def _save(self) -> None:
        for name, part in self._list_parts().items():
            setattr(self._checkpoint, name, dict(part.state_dict()))
        self._processes.do_first(lambda: self._checkpoint.save(self._folder.checkpoint))

    @property
    def _kept_network(self) -> nn.Module:
        """The network that is validated and kept: the averaged one, if there is one."""
        return self._module if self._average is None else self._average.module

    def _validate(self) -> Validation:
        network, processes = self._kept_network, self._processes
        # DDP keeps parameters equal, not the running statistics of batch normalisation.
        processes.copy_first(network.buffers())
        network.eval()
        with self._fabric.autocast():
            return validate(
                network, self._val_store, self._config, self._device, processes, self._stop.meet
            )


def is_better(record: Mapping[str, Any], best: Mapping[str, Any], select_by: SelectBy) -> bool:
    """Return whether an epoch's record beats the best so far; "no data" never does."""
    if select_by == "loss":
        return bool(record["val_loss"] < best["val_loss"])
    key = select_by.removesuffix("_miou")
    new, old = record["miou"][key], best["miou"][key]
    return new is not None and (old is None or new > old)


def _copy_to_cpu(value: Any) -> Any:  # noqa: ANN401 (a tree of state)
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copy_to_cpu(item) for key, item in value.items()}
    return [_copy_to_cpu(item) for item in value] if isinstance(value, list) else value
