"""The state of training after a complete epoch, on disk, whole or not at all.

Owns the checkpoint file. There is no state of random generators or samplers in it: those are
functions of the seed and the epoch (see ``data``).
"""

import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bunri.contracts import RunError, summarize
from bunri.files import replace_atomically


@dataclass(slots=True)
class Checkpoint:
    """What is needed to go on.

    Attributes:
        num_epochs: Complete epochs.
        network: The network's state dict.
        average: The state dict of the averaged network; empty without averaging.
        optimizer: The optimiser's state dict.
        history: The metrics of every epoch, as in ``metrics.jsonl``.
        best_epoch: The epoch in the bundle; 0 before the first.
    """

    num_epochs: int = 0
    network: dict[str, Any] = field(default_factory=dict)
    average: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0

    def save(self, path: Path) -> None:
        """Write the checkpoint atomically.

        Raises:
            OutputError: It cannot be written; an earlier checkpoint is intact.
        """
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        with replace_atomically(path) as temporary:
            torch.save(values, temporary)

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
            RuntimeError,
            ValueError,
            TypeError,
            KeyError,
            zipfile.BadZipFile,
        ) as error:
            raise RunError(
                f"The checkpoint {path} cannot be read: {summarize(error)}.",
                hint="Start the run again in another folder.",
            ) from error
