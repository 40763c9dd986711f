"""What the training loop tells, and to whom.

Owns the words between the loop and whoever shows it. Knows nothing of either.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class TrainingListener(Protocol):
    """Who is told how training goes."""

    def warn(self, text: str) -> None:
        """Something is not as it should be, and training goes on."""

    def note(self, text: str) -> None:
        """Something was decided that people want to know."""

    def start_photos(self, num_photos: int) -> None:
        """All photos are about to be read and checked."""

    def advance_photos(self) -> None:
        """One photo was read."""

    def start_training(self, first_epoch: int, num_epochs: int, steps_per_epoch: int) -> None:
        """The first step is about to be made; ``first_epoch`` counts from 1."""

    def end_step(self, loss: float) -> None:
        """One optimiser step was made."""

    def roll_back(self, epoch: int, reason: str, rate_scale: float) -> None:
        """Training blew up; ``epoch`` starts over with ``rate_scale`` times the rate set."""

    def end_epoch(self, record: Mapping[str, Any], *, is_best: bool) -> None:
        """An epoch was validated and saved; ``record`` is its line of metrics.jsonl."""


class MutedListener:
    """Hears training and tells nobody: of processes that train together, one speaks."""

    def warn(self, text: str) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def start_photos(self, num_photos: int) -> None:
        """Nothing."""

    def advance_photos(self) -> None:
        """Nothing."""

    def start_training(self, first_epoch: int, num_epochs: int, steps_per_epoch: int) -> None:
        """Nothing."""

    def end_step(self, loss: float) -> None:
        """Nothing."""

    def roll_back(self, epoch: int, reason: str, rate_scale: float) -> None:
        """Nothing."""

    def end_epoch(self, record: Mapping[str, Any], *, is_best: bool) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a finished run came to.

    Attributes:
        best: The metrics record of the epoch in the bundle.
        num_epochs: Epochs trained in all.
    """

    best: Mapping[str, Any]
    num_epochs: int
