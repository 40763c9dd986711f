"""Figures of every epoch for TensorBoard, MLflow or Weights & Biases, by Lightning's loggers.

No epoch is logged twice, and a logger that fails never ends a run: the failure is reported once,
and training goes on without it. Nothing leaves the machine unless its user has named a server or
logged in.
"""

import importlib.util
import json
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from bunri.core.errors import InputError, MissingExtraError, summarize
from bunri.core.files import write_json
from bunri.core.json_files import JsonRecord, read_json_record
from bunri.images.photos import read_photo
from bunri.training.config import Config
from bunri.training.listener import TrainingListener
from bunri.training.plan import RunFolder

PROJECT = "bunri"  # group of all runs, unless a variable of the tracker names another
WAIT_S = 20  # that a server may be silent before it is given up
_LIBRARIES = {
    "tensorboard": ("tensorboard",),
    "mlflow": ("mlflow", "lightning"),
    "wandb": ("wandb", "lightning"),
}


class TrackingState(JsonRecord):
    """Content of ``tracking.json``: the tracker's id of the run, and the epochs it was given."""

    tracker: str
    run_id: str
    num_epochs: int


@contextmanager
def open_logger(
    config: Config, folder: RunFolder, listener: TrainingListener, *, is_first: bool
) -> Iterator["RunLogger"]:
    """Open the logger that a run's settings name, in the first process of a training.

    Nothing is written before training starts; MissingExtraError is raised if a library is missing.
    """
    name = config.train.tracker
    for library in _LIBRARIES.get(name, ()):
        spec = importlib.util.find_spec(library)
        if spec is None or spec.origin is None:  # the latter: a mere folder of that name
            raise MissingExtraError(
                f"train.tracker={name} needs {library}, which is not installed.",
                hint=f'Install it with: pip install "bunri[{name}]"\n'
                "Without it: --set train.tracker=none; the run folder has the same figures as "
                "JSON lines.",
            )
    logger = RunLogger(config, folder, listener, name if is_first else "none")
    try:
        yield logger
    except BaseException:
        logger.close(is_done=False)
        raise
    logger.close(is_done=True)


class RunLogger:
    """Logs the epochs of one run in one tracker; with the tracker ``none`` it does nothing."""

    def __init__(
        self, config: Config, folder: RunFolder, listener: TrainingListener, name: str
    ) -> None:
        self._config = config
        self._folder = folder
        self._listener = listener
        self._name = name
        self._logger: Any = None

    def open(self, first_epoch: int) -> None:
        """Open the tracker, and log the epochs that it lacks before ``first_epoch``, from 1."""
        if self._name == "none":
            return
        with self._surviving():
            state = self._read_state()
            run_id, num_given = state.run_id, state.num_epochs
            if num_given >= first_epoch:  # the checkpoint is gone, and training begins anew
                run_id, num_given = "", first_epoch - 1
            self._logger, hint = OPENERS[self._name](self._folder.path, run_id, num_given)
            self._listener.note(f"View the figures: {hint}")
            self._logger.log_hyperparams(self._config.model_dump(mode="json"))
            self._write_state(num_given)
            if self._folder.metrics.is_file():
                for line in self._folder.metrics.read_text("utf-8").splitlines()[num_given:]:
                    self.log_epoch(json.loads(line))

    def log_epoch(self, record: Mapping[str, Any]) -> None:
        """Log one line of metrics.jsonl, with the picture of its samples."""
        if self._logger is None:
            return
        with self._surviving():
            epoch = record["epoch"]
            # First, so that an epoch is never logged twice, should the process die right here.
            self._write_state(epoch)
            figures = flatten_record(record, ascii_only=self._name == "mlflow")
            self._logger.log_metrics(figures, step=epoch)
            picture = self._folder.path_of_samples(epoch)
            if picture.is_file():
                self._log_picture(epoch, picture)
            self._logger.save()

    def close(self, *, is_done: bool) -> None:
        """End the tracker's run; ``is_done`` is whether training came to its end."""
        with self._surviving():
            self._finish(is_done=is_done)

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        """Report a failure, and go on without the tracker."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 (foreign code, disks and networks)
            self._listener.warn(
                f"{self._name} failed: {summarize(error)}. Training goes on without it; "
                f"{self._folder.metrics} has all figures."
            )
            with suppress(Exception):
                self._finish(is_done=False)
            self._logger = None

    def _log_picture(self, epoch: int, path: Path) -> None:
        match self._name:
            case "tensorboard":
                pixels = read_photo(path)
                self._logger.experiment.add_image("samples", pixels, epoch, dataformats="HWC")
            case "mlflow":
                self._logger.experiment.log_artifact(self._logger.run_id, str(path), "samples")
            case "wandb":
                self._logger.log_image("samples", [str(path)], step=epoch)

    def _finish(self, *, is_done: bool) -> None:
        if self._logger is None:
            return
        self._logger.finalize("success" if is_done else "KILLED")
        if self._name == "wandb":  # whose logger leaves its run open
            self._logger.experiment.finish(exit_code=0 if is_done else 1)

    def _read_state(self) -> TrackingState:
        # Absent, damaged or of another tracker: the tracker begins a new run, with all epochs.
        with suppress(InputError):
            state = read_json_record(self._folder.tracking, TrackingState, max_bytes=10_000)
            if state.tracker == self._name:
                return state
        return TrackingState(tracker=self._name, run_id="", num_epochs=0)

    def _write_state(self, num_epochs: int) -> None:
        run_id = "" if self._name == "tensorboard" else self._logger.version
        state = TrackingState(tracker=self._name, run_id=run_id, num_epochs=num_epochs)
        write_json(self._folder.tracking, state.model_dump())


def _open_tensorboard(folder: Path, _run_id: str, num_given: int) -> tuple[Any, str]:
    path = str(folder / "tensorboard")
    loggers: Any = import_module("lightning_fabric.loggers")
    # Epochs from where a resumed run goes on replace older ones.
    logger = loggers.TensorBoardLogger(path, name="", version="", purge_step=num_given + 1)
    return logger, shlex.join(["tensorboard", "--logdir", path])


def _open_mlflow(folder: Path, run_id: str, _num_given: int) -> tuple[Any, str]:
    # MLflow wants to be asked for plain files, reports its use by default, and tries a
    # server that does not answer for a quarter of an hour.
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(WAIT_S))
    local = (folder / "mlruns").absolute().as_uri()
    uri = os.environ.get("MLFLOW_TRACKING_URI") or local
    logger = import_module("lightning.pytorch.loggers").MLFlowLogger(
        experiment_name=os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT,
        run_name=folder.absolute().name,
        tracking_uri=uri,
        run_id=run_id or None,
    )
    command = "MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri " + shlex.quote(uri)
    return logger, command if uri == local else uri


def _open_wandb(folder: Path, run_id: str, _num_given: int) -> tuple[Any, str]:
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    wandb: Any = import_module("wandb")
    mode = os.environ.get("WANDB_MODE") or ("online" if wandb.login(prompt=False) else "offline")
    logger = import_module("lightning.pytorch.loggers").WandbLogger(
        project=os.environ.get("WANDB_PROJECT") or PROJECT,
        name=os.environ.get("WANDB_NAME") or folder.absolute().name,
        save_dir=str(folder),
        id=run_id or None,
        mode=mode,
        settings=wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            x_disable_machine_info=True,
            x_disable_stats=True,
            init_timeout=WAIT_S,
            finish_timeout=3 * WAIT_S,
        ),
    )
    run = logger.experiment
    return logger, (
        run.url if mode == "online" else shlex.join(["wandb", "sync", str(Path(run.dir).parent)])
    )


OPENERS: Mapping[str, Callable[[Path, str, int], tuple[Any, str]]] = {
    "tensorboard": _open_tensorboard,
    "mlflow": _open_mlflow,
    "wandb": _open_wandb,
}
"""Functions that open a logger from the run folder, the tracker's id of the run ("" for a new one)
and the number of epochs logged; they return it with the command or address to view it."""


def flatten_record(record: Mapping[str, Any], *, ascii_only: bool = False) -> dict[str, float]:
    """Return a line of metrics.jsonl as flat figures, without those that have no data.

    Class names are reduced to letters, in MLflow of ASCII, digits, space and ``_-.``.
    """
    figures = {
        "train/loss": record["train_loss"],
        "val/loss": record["val_loss"],
        "lr": record["lr"],
        "val/pixel_accuracy": record["pixel_accuracy"],
    }
    for kind in ("global", "per_image", "per_batch"):
        figures[f"val/miou_{kind}"] = record["miou"][kind]
    flags = re.ASCII if ascii_only else re.NOFLAG
    for index, row in enumerate(record["classes"]):
        allowed = re.sub(r"[^\w .-]+", "_", row["name"], flags=flags)
        name = "iou/" + (allowed.strip(" .")[:80] or "class")
        figures[f"{name} {index}" if name in figures else name] = row["iou"]
    return {name: float(value) for name, value in figures.items() if value is not None}
