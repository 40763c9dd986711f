"""The state of training after a step, on disk.

It holds no state of random generators or samplers: those are functions of the seed, the sample
and the step (see ``samples.data``).
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bunri.core.errors import RunError
from bunri.core.files import replace_atomically
from bunri.training.plan import NEW_RUN_HINT


@dataclass(slots=True)
class Checkpoint:
    """State from which training goes on."""

    num_epochs: int = 0  # complete ones
    losses_done: list[float] = field(default_factory=list)  # of each step of the epoch at hand
    network: dict[str, Any] = field(default_factory=dict)
    average: dict[str, Any] = field(default_factory=dict)  # empty without averaging
    optimizer: dict[str, Any] = field(default_factory=dict)
    scaler: dict[str, Any] = field(default_factory=dict)  # of fp16 losses; else empty
    num_parts: int = 1  # that a batch is split into
    history: list[dict[str, Any]] = field(default_factory=list)  # lines of metrics.jsonl
    best_epoch: int = 0  # whose model is in the bundle; 0 before the first
    rate_scale: float = 1.0  # factor on the learning rate after training has diverged
    num_rollbacks: int = 0
    licenses: dict[str, str] = field(default_factory=dict)  # of first weights and photos
    class_names: list[str] = field(default_factory=list)  # of the network's outputs, in order
    start_photos: str = ""  # packed hashes of the photos that the first weights were trained on

    def claim_classes(self, names: Sequence[str]) -> None:
        """Note the classes of a new run; raise RunError unless a resumed run has the same."""
        if not self.class_names:
            self.class_names = list(names)
        if self.class_names != list(names):
            raise RunError(
                "The checkpoint was trained for another class table than the data has:",
                problems=_list_differences(self.class_names, list(names)),
                hint="Start the run again in another folder, or restore the data that it had.",
            )

    def save(self, path: Path) -> None:
        """Write the checkpoint atomically: if that fails, an earlier one is intact."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        # In memory first: torch's own writer hides a full disk behind a RuntimeError.
        content = io.BytesIO()
        torch.save(values, content)
        with replace_atomically(path) as temporary:
            temporary.write_bytes(content.getbuffer())

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a checkpoint; only tensors and plain values are accepted, code is never run."""
        try:
            values = torch.load(path, map_location="cpu", weights_only=True)
            values.pop("steps_done", None)  # written by earlier versions, always 0
            return cls(**values)
        except Exception as error:
            raise RunError(
                f"The checkpoint {path} is damaged ({type(error).__name__}).", hint=NEW_RUN_HINT
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
