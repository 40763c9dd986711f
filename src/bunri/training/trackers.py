"""Figures of every epoch for a tracker, beside the JSON lines of the run folder.

Owns what trackers are told, that no epoch is told twice, and that none of them can harm a run:
whatever goes wrong in one is said once, then it is left alone. Knows nothing of training: it
hears what every listener hears.
"""

import importlib.util
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from bunri.core.errors import MissingExtraError, summarize
from bunri.core.files import write_json
from bunri.training.config import Config
from bunri.training.listener import TrainingListener
from bunri.training.plan import RunFolder
from bunri.training.tracker_backends import TRACKERS, Tracker


@contextmanager
def open_tracking(
    config: Config, folder: RunFolder, listener: TrainingListener
) -> Iterator[TrainingListener]:
    """Give the listener that a run shall tell: ``listener``, and the tracker if one is set.

    Nothing is written before training starts.

    Raises:
        MissingExtraError: The tracker's library is not installed.
    """
    name = config.train.tracker
    if name == "none":
        yield listener
        return
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:  # the latter: a mere folder of that name
        raise MissingExtraError(
            f"train.tracker={name} needs {name}, which is not installed.",
            hint=f'Install it with: pip install "bunri[{name}]"\n'
            "Without it: --set train.tracker=none; the run folder has the same figures as "
            "JSON lines.",
        )
    tracked = TrackedListener(config, folder, listener)
    try:
        yield tracked
    except BaseException:
        tracked.close(is_done=False)
        raise
    tracked.close(is_done=True)


class TrackedListener:
    """Tells another listener everything, and a tracker every epoch; a ``TrainingListener``.

    ``tracking.json`` in the run folder holds how many epochs the tracker was given, so that a run
    that goes on repeats none, and hands in later what a broken tracker did not get.
    """

    def __init__(self, config: Config, folder: RunFolder, listener: TrainingListener) -> None:
        self._config = config
        self._folder = folder
        self._listener = listener
        self._tracker: Tracker | None = None

    def warn(self, text: str) -> None:
        """Pass on."""
        self._listener.warn(text)

    def note(self, text: str) -> None:
        """Pass on."""
        self._listener.note(text)

    def start_photos(self, num_photos: int) -> None:
        """Pass on."""
        self._listener.start_photos(num_photos)

    def advance_photos(self) -> None:
        """Pass on."""
        self._listener.advance_photos()

    def start_training(self, first_epoch: int, num_epochs: int, steps_per_epoch: int) -> None:
        """Pass on, after the tracker was opened and given the epochs that it lacks."""
        self._attempt(lambda: self._open(first_epoch))
        self._listener.start_training(first_epoch, num_epochs, steps_per_epoch)

    def end_step(self, loss: float) -> None:
        """Pass on."""
        self._listener.end_step(loss)

    def roll_back(self, epoch: int, reason: str, rate_scale: float) -> None:
        """Pass on."""
        self._listener.roll_back(epoch, reason, rate_scale)

    def end_epoch(self, record: Mapping[str, Any], *, is_best: bool) -> None:
        """Pass on, and give the tracker the epoch."""
        self._attempt(lambda: self._log(record))
        self._listener.end_epoch(record, is_best=is_best)

    def close(self, *, is_done: bool) -> None:
        """End the tracker's run."""
        if self._tracker is not None:
            tracker = self._tracker
            self._attempt(lambda: tracker.close(is_done=is_done))

    def _attempt(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 (foreign code, disks and networks)
            broken, self._tracker = self._tracker, None
            self._listener.warn(
                f"{self._config.train.tracker} failed: {summarize(error)}. Training goes on "
                f"without it; {self._folder.metrics} has all figures."
            )
            if broken is not None:
                with suppress(Exception):
                    broken.close(is_done=False)

    def _open(self, first_epoch: int) -> None:
        name, path = self._config.train.tracker, self._folder.path
        run_id, num_given = self._read_state()
        if num_given >= first_epoch:  # the checkpoint is gone, and training begins anew
            run_id, num_given = "", first_epoch - 1
        settings = flatten_settings(self._config.model_dump(mode="json"))
        self._tracker = TRACKERS[name](path, settings, run_id, num_given)
        self._listener.note(f"Look: {self._tracker.look}")
        self._write_state(num_given)
        if self._folder.metrics.is_file():
            for line in self._folder.metrics.read_text("utf-8").splitlines()[num_given:]:
                self._log(json.loads(line))

    def _log(self, record: Mapping[str, Any]) -> None:
        if self._tracker is None:
            return
        epoch = record["epoch"]
        # First, so that an epoch is never given twice, should the process die right here.
        self._write_state(epoch)
        picture = self._folder.path_of_samples(epoch)
        figures = flatten_record(record)
        self._tracker.log_epoch(epoch, figures, picture if picture.is_file() else None)

    def _read_state(self) -> tuple[str, int]:
        """Return the tracker's name of the run, and how many epochs it was given."""
        try:
            state = json.loads(self._folder.tracking.read_text("utf-8"))
            if state["tracker"] == self._config.train.tracker:
                return str(state["run_id"]), int(state["num_epochs"])
        except (OSError, ValueError, LookupError, TypeError):
            pass  # absent or spoilt: the tracker begins a new run, with all epochs
        return "", 0

    def _write_state(self, num_epochs: int) -> None:
        run_id = self._tracker.run_id if self._tracker else ""
        state = {"tracker": self._config.train.tracker, "run_id": run_id, "num_epochs": num_epochs}
        write_json(self._folder.tracking, state)


def flatten_record(record: Mapping[str, Any]) -> dict[str, float]:
    """Return a line of metrics.jsonl as flat figures, without those that have no data.

    Class names are cut down to what every tracker takes: letters, digits, space, ``_-.``.
    """
    figures = {
        "train/loss": record["train_loss"],
        "val/loss": record["val_loss"],
        "lr": record["lr"],
        "val/pixel_accuracy": record["pixel_accuracy"],
    }
    for kind in ("global", "per_image", "per_batch"):
        figures[f"val/miou_{kind}"] = record["miou"][kind]
    for index, row in enumerate(record["classes"]):
        name = "iou/" + (re.sub(r"[^\w .-]+", "_", row["name"]).strip(" .")[:80] or "class")
        figures[f"{name} {index}" if name in figures else name] = row["iou"]
    return {name: float(value) for name, value in figures.items() if value is not None}


def flatten_settings(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings under the names that ``--set`` gives them."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten_settings(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
