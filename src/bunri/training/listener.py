"""The events of a training run, for whoever follows it."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, Self

from bunri.core.progress import Advance, Progress, show_nothing


class TrainingListener:
    """Follower of a training run; a subclass overrides the events that it is interested in."""

    def progress(self, label: str, total: int) -> AbstractContextManager[Advance]:
        """Open a display of work before training, such as reading photos."""
        return show_nothing(label, total)

    def warn(self, text: str) -> None:
        """Something is not as it should be, and training goes on."""

    def note(self, text: str) -> None:
        """Something was decided that users want to see."""

    def start_fold(self, number: int) -> None:
        """A fold is about to be trained; folds count from 1."""

    def start_training(self, first_epoch: int, num_epochs: int, steps_per_epoch: int) -> None:
        """The first step is about to be made; ``first_epoch`` counts from 1."""

    def end_step(self, loss: float) -> None:
        """One optimiser step was made."""

    def roll_back(self, epoch: int, reason: str, rate_scale: float) -> None:
        """Training diverged; ``epoch`` starts over with ``rate_scale`` times the rate set."""

    def end_epoch(self, record: Mapping[str, Any], *, is_best: bool) -> None:
        """An epoch was validated and saved; ``record`` is its line of metrics.jsonl."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """Outcome of a finished run."""

    best: Mapping[str, Any]  # line of metrics.jsonl of the epoch in the bundle
    num_epochs: int


class ProgressListener(TrainingListener):
    """Shows a training as one display, an item per step; leaving the ``with`` block closes it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def progress(self, label: str, total: int) -> AbstractContextManager[Advance]:
        """Open a display of work before training."""
        return self._progress(label, total)

    def start_training(self, first_epoch: int, num_epochs: int, steps_per_epoch: int) -> None:
        """Open the display of training."""
        total = (num_epochs - first_epoch + 1) * steps_per_epoch
        self._advance = self._open.enter_context(self._progress("Training", total))

    def end_step(self, loss: float) -> None:  # noqa: ARG002 (the event's)
        """Advance by one step."""
        self._advance()
