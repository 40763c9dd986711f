"""Display of a training: a bar with loss, mIoU and time left, or a plain line per epoch."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bunri.cli.console import err, out, print_line, print_note, show_progress
from bunri.cli.score_display import format_score, print_scores
from bunri.core.errors import BunriError
from bunri.core.progress import Advance
from bunri.evaluation import count_files
from bunri.scores.confusion import Matrices
from bunri.training.folds import FoldsFolder, FoldsRequest, run_folds, start_folds
from bunri.training.listener import TrainingListener
from bunri.training.plan import DataSource, RunFolder, RunPlan
from bunri.training.processes import PeerError, Processes
from bunri.training.termination import TerminatedError, Termination

EXIT_TERMINATED = 143
"""Exit code after SIGTERM: 128 + 15, as shells and schedulers expect it."""


class TrainingDisplay(TrainingListener):
    """Shows a training run in the terminal, on a bar or in plain lines."""

    def __init__(self, bar: Progress | None, *, shows_epochs: bool) -> None:
        self._bar = bar
        self._shows_epochs = shows_epochs
        self._task: TaskID | None = None
        self._epoch, self._num_epochs, self._best = 1, 1, "-"
        self._steps_per_epoch = 0
        self._mean_loss: float | None = None

    def warn(self, text: str) -> None:
        """Print a warning that stays."""
        print_note(f"Warning: {text}")

    def note(self, text: str) -> None:
        """Print a line that stays."""
        print_note(text)

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Advance]:
        """Show work before training as a bar of its own, or as one line."""
        bar = self._bar
        if bar is None:
            print_note(label)
            yield lambda: None
            return
        task = bar.add_task(label, total=total, figures="")
        try:
            yield lambda: bar.advance(task)
        finally:
            bar.remove_task(task)

    def start_fold(self, number: int) -> None:
        """Print which fold is trained now."""
        print_note(f"Fold {number}")
        self._best, self._mean_loss = "-", None

    def start_training(self, first_epoch: int, num_epochs: int, steps_per_epoch: int) -> None:
        """Start the bar of all steps."""
        self._epoch, self._num_epochs = first_epoch, num_epochs
        self._steps_per_epoch = steps_per_epoch
        if first_epoch > num_epochs:
            print_note(f"All {num_epochs} epochs are done already")
        if self._bar:
            if self._task is not None:  # of an earlier fold
                self._bar.remove_task(self._task)
            done = (first_epoch - 1) * steps_per_epoch
            total = num_epochs * steps_per_epoch
            self._task = self._bar.add_task("", total=total, completed=done, figures="")
            self._describe()
        elif first_epoch <= num_epochs:
            print_note(
                f"Training epochs {first_epoch} to {num_epochs}, {steps_per_epoch} steps each"
            )

    def end_step(self, loss: float) -> None:
        """Advance the bar and show a running mean of the loss."""
        mean = loss if self._mean_loss is None else 0.95 * self._mean_loss + 0.05 * loss
        self._mean_loss = mean
        if self._bar and self._task is not None:
            self._describe()
            self._bar.advance(self._task)

    def roll_back(self, epoch: int, reason: str, rate_scale: float) -> None:
        """Print the reason why an epoch starts over."""
        self._mean_loss = None
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=(epoch - 1) * self._steps_per_epoch)
        print_note(
            f"epoch {epoch:>3}/{self._num_epochs}  {reason}; starting over at {rate_scale:g} times "
            "the rate"
        )

    def end_epoch(self, record: Mapping[str, Any], *, is_best: bool) -> None:
        """Print the epoch's line."""
        miou = record["miou"]
        self._epoch = record["epoch"] + 1
        if is_best:
            self._best = format_score(miou["global"])
        if not self._shows_epochs:
            return
        print_note(
            f"epoch {record['epoch']:>3}/{self._num_epochs}  loss {record['train_loss']:.4f}  "
            f"val loss {record['val_loss']:.4f}  mIoU global {format_score(miou['global'])}  "
            f"per-image {format_score(miou['per_image'])}{'  best' if is_best else ''}"
        )

    def _describe(self) -> None:
        if self._bar and self._task is not None:
            loss = "" if self._mean_loss is None else f"loss {self._mean_loss:.3f}  "
            epoch = min(self._epoch, self._num_epochs)
            self._bar.update(
                self._task,
                description=f"epoch {epoch}/{self._num_epochs}",
                figures=f"{loss}best mIoU {self._best}",
            )


@contextmanager
def open_display(*, shows_epochs: bool = True) -> Iterator[TrainingDisplay]:
    """Open a bar if stderr is a terminal, plain lines if not."""
    if not err.is_terminal:
        yield TrainingDisplay(None, shows_epochs=shows_epochs)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        yield TrainingDisplay(bar, shows_epochs=shows_epochs)


@contextmanager
def explain_stop(folder: Path, marker: Path) -> Iterator[None]:
    """Print how to go on with a training stopped inside the block, if ``marker`` exists by then."""
    try:
        yield
    except (KeyboardInterrupt, TerminatedError) as stopped:
        if marker.is_file():
            command = shlex.join(["bunri", "train", "--resume", "--out", str(folder)])
            print_note(f"Stopped. Continue with: {command}")
        if isinstance(stopped, TerminatedError):
            raise typer.Exit(EXIT_TERMINATED) from stopped
        raise


@contextmanager
def silence_followers(processes: Processes) -> Iterator[None]:
    """Let other processes than the first print only errors of their own, until they end."""
    if processes.is_first:
        yield
        return
    out.quiet = err.quiet = True
    try:
        yield
    except PeerError:
        raise
    except BunriError:
        err.quiet = False
        raise


def train_folds(request: FoldsRequest | None, path: Path) -> None:
    """Train all folds, or go on with those in ``path``, and print the scores of all photos."""
    folder = FoldsFolder(path)
    with explain_stop(path, folder.plan):
        if request is not None:
            start_folds(request, folder, show_progress)
        with open_display() as display, Termination() as stop:
            result = run_folds(folder, _score_run, display, stop)
    for number, scores in enumerate(result.folds, start=1):
        print_line(
            f"Fold {number}: global mIoU {format_score(scores.global_miou)}, "
            f"per-image {format_score(scores.per_image_miou)} ({scores.num_photos} photos)"
        )
    title = f"{path}, each photo by the model that never saw it"
    print_scores(result.scores, result.intervals, result.table, title)
    print_line(f"Models: {folder.get_run(1).path} and so on   Figures: {folder.out_of_fold}")


def _score_run(run: RunFolder, sources: tuple[DataSource, ...]) -> Matrices:
    rule = RunPlan.read(run).config.data.overlap_rule
    files = [(source.annotations, source.image_root) for source in sources]
    return count_files(run.path, files, rule, show_progress)
