"""TensorBoard, MLflow and Weights & Biases behind one small interface.

Owns where each writes and how a run goes on in it. Knows nothing of training. Nothing leaves the
machine unless its user has named a server or logged in. The libraries are optional: each is
imported when it is used, and its types are not relied on.
"""

import os
import shlex
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from bunri.images.photos import read_photo

PROJECT = "bunri"
"""What runs are grouped under, where the tracker's own variables name nothing else."""
WAIT_S = 20
"""How long a server may be silent before it is given up."""


class Tracker(Protocol):
    """One run in one tracker; any method may raise anything."""

    run_id: str
    """What the tracker finds the run by when it goes on."""
    look: str
    """What its user does to see the figures."""

    def log_epoch(self, epoch: int, figures: Mapping[str, float], picture: Path | None) -> None:
        """Store an epoch's figures by name, and the picture of its samples."""

    def close(self, *, is_done: bool) -> None:
        """End the run; ``is_done`` is whether training came to its end."""


class TensorBoard:
    """Event files below ``tensorboard``; epochs from where this run goes on replace older ones."""

    def __init__(
        self, folder: Path, settings: Mapping[str, Any], _run_id: str, num_given: int
    ) -> None:
        board: Any = import_module("torch.utils.tensorboard")
        path = str(folder / "tensorboard")
        self.run_id = ""
        self.look = shlex.join(["tensorboard", "--logdir", path])
        self._writer = board.SummaryWriter(path, purge_step=num_given + 1)
        scalars = {
            k: v if isinstance(v, bool | int | float) else str(v) for k, v in settings.items()
        }
        for summary in board.summary.hparams(scalars, {"val/miou_global": None})[:2]:
            self._writer.file_writer.add_summary(summary)

    def log_epoch(self, epoch: int, figures: Mapping[str, float], picture: Path | None) -> None:
        """Write figures and picture, and flush them to the disk."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, epoch)
        if picture is not None:
            pixels = read_photo(picture)
            self._writer.add_image("samples", pixels, epoch, dataformats="HWC")
        self._writer.flush()

    def close(self, *, is_done: bool) -> None:
        """Close the file."""
        del is_done
        self._writer.close()


class MLflow:
    """Files below ``mlruns``, or the server that ``MLFLOW_TRACKING_URI`` names."""

    def __init__(
        self, folder: Path, settings: Mapping[str, Any], run_id: str, _num_given: int
    ) -> None:
        # MLflow wants to be asked for plain files, reports its use by default, and tries a
        # server that does not answer for a quarter of an hour.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(WAIT_S))
        mlflow: Any = import_module("mlflow")
        local = (folder / "mlruns").absolute().as_uri()
        uri = os.environ.get("MLFLOW_TRACKING_URI") or local
        self.look = (
            f"MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri {shlex.quote(uri)}"
            if uri == local
            else uri
        )
        self._client = mlflow.MlflowClient(tracking_uri=uri)
        if run_id:
            self.run_id = run_id
            self._client.update_run(run_id, status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        run = self._client.create_run(experiment, run_name=folder.absolute().name)
        self.run_id = run.info.run_id
        params = [mlflow.entities.Param(key, str(value)) for key, value in settings.items()]
        for start in range(0, len(params), 100):  # a server takes no more at once
            self._client.log_batch(self.run_id, params=params[start : start + 100])

    def log_epoch(self, epoch: int, figures: Mapping[str, float], picture: Path | None) -> None:
        """Send figures and picture."""
        metric: Any = import_module("mlflow.entities").Metric
        now_ms = round(time.time() * 1000)
        metrics = [metric(name, value, now_ms, epoch) for name, value in figures.items()]
        self._client.log_batch(self.run_id, metrics=metrics)
        if picture is not None:
            self._client.log_artifact(self.run_id, str(picture), "samples")

    def close(self, *, is_done: bool) -> None:
        """Say how the run ended."""
        self._client.set_terminated(self.run_id, "FINISHED" if is_done else "KILLED")


class Wandb:
    """Files below ``wandb``; sent on only where its user is logged in or ``WANDB_MODE`` says so."""

    def __init__(
        self, folder: Path, settings: Mapping[str, Any], run_id: str, _num_given: int
    ) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        wandb: Any = import_module("wandb")
        mode = os.environ.get("WANDB_MODE") or (
            "online" if wandb.login(prompt=False) else "offline"
        )
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            name=os.environ.get("WANDB_NAME") or folder.absolute().name,
            dir=str(folder),
            id=run_id or None,
            resume="allow" if run_id else None,
            mode=mode,
            config=dict(settings),
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
        self.run_id = self._run.id
        files = Path(self._run.dir).parent
        sync = shlex.join(["wandb", "sync", str(files)])
        self.look = self._run.url if mode == "online" else sync

    def log_epoch(self, epoch: int, figures: Mapping[str, float], picture: Path | None) -> None:
        """Hand over figures and picture."""
        wandb: Any = import_module("wandb")
        pictures = {} if picture is None else {"samples": wandb.Image(str(picture))}
        self._run.log({**figures, **pictures}, step=epoch)

    def close(self, *, is_done: bool) -> None:
        """Wait until everything is written or sent."""
        self._run.finish(exit_code=0 if is_done else 1)


TRACKERS: Mapping[str, Callable[[Path, Mapping[str, Any], str, int], Tracker]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": Wandb,
}
