"""The state of training after a step, on disk, whole or not at all.

Owns the checkpoint file. There is no state of random generators or samplers in it: those are
functions of the seed, the sample and the step (see ``data``).
"""

import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bunri.core.errors import RunError
from bunri.core.files import replace_atomically


@dataclass(slots=True)
class Checkpoint:
    """What is needed to go on.

    Attributes:
        num_epochs: Complete epochs.
        steps_done: Of the epoch that was begun; 0 unless training was stopped on request.
        losses_done: The loss of each of these steps.
        network: The network's state dict.
        average: The state dict of the averaged network; empty without averaging.
        optimizer: The optimiser's state dict.
        scaler: The state of what scales fp16 losses; empty in other number formats.
        num_parts: That a batch is worked through in.
        history: The metrics of every epoch, as in ``metrics.jsonl``.
        best_epoch: The epoch in the bundle; 0 before the first.
        rate_scale: What the learning rate is multiplied with, after training blew up.
        num_rollbacks: How often it did.
        licenses: Of the weights that training started from, and of the photos.
        class_names: Of the network's outputs, in order.
        start_photos: What the weights at the start were trained on, as
            :func:`bunri.labels.pseudo.pack_hashes` writes it.
    """

    num_epochs: int = 0
    steps_done: int = 0
    losses_done: list[float] = field(default_factory=list)
    network: dict[str, Any] = field(default_factory=dict)
    average: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    scaler: dict[str, Any] = field(default_factory=dict)
    num_parts: int = 1
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    rate_scale: float = 1.0
    num_rollbacks: int = 0
    licenses: dict[str, str] = field(default_factory=dict)
    class_names: list[str] = field(default_factory=list)
    start_photos: str = ""

    def claim_classes(self, names: Sequence[str]) -> None:
        """Note the classes of a new run; make sure that one that goes on has the same.

        Args:
            names: Of the data's class table, in order.

        Raises:
            RunError: They differ; the difference is listed.
        """
        if not self.class_names:
            self.class_names = list(names)
        if self.class_names != list(names):
            raise RunError(
                "The checkpoint was trained for another class table than the data has:",
                problems=_list_differences(self.class_names, list(names)),
                hint="Start the run again in another folder, or give it the data that it had.",
            )

    def save(self, path: Path) -> None:
        """Write the checkpoint atomically.

        Raises:
            OutputError: It cannot be written; an earlier checkpoint is intact.
        """
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        # In memory first: torch's own writer hides a full disk behind a RuntimeError.
        content = io.BytesIO()
        torch.save(values, content)
        with replace_atomically(path) as temporary:
            temporary.write_bytes(content.getbuffer())

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a checkpoint; only tensors and plain values are accepted, code is never run.

        Raises:
            RunError: It is damaged.
        """
        try:
            return cls(**torch.load(path, map_location="cpu", weights_only=True))
        except (
            OSError,
            EOFError,
            RuntimeError,
            ValueError,
            TypeError,
            LookupError,
            pickle.UnpicklingError,
        ) as error:
            raise RunError(
                f"The checkpoint {path} is damaged ({type(error).__name__}).",
                hint="Start the run again in another folder.",
            ) from error


def _list_differences(trained: list[str], given: list[str]) -> list[str]:
    """Return how two class tables differ: names that one lacks, else those out of order."""
    missing = [f"{name!r} is in the checkpoint alone" for name in trained if name not in given]
    added = [f"{name!r} is in the data alone" for name in given if name not in trained]
    moved = [
        f"class {index} is {old!r} in the checkpoint, {new!r} in the data"
        for index, (old, new) in enumerate(zip(trained, given, strict=False))
        if old != new
    ]
    return missing + added or moved
