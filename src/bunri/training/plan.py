"""What a run was asked to do, stored in its folder so that it can be resumed and repeated.

Owns the layout of a run folder. Knows nothing of training.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bunri.core.errors import RunError
from bunri.core.files import hash_file, write_json, write_text
from bunri.labels.coco import require_labels, require_photos, require_truth
from bunri.labels.records import LabelledSet
from bunri.labels.sources import pair_roots, read_together
from bunri.model.bundle import RUN_BUNDLE_NAME
from bunri.training.config import Config, dump_config, load_config


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Names of everything in a run folder."""

    path: Path

    @property
    def config(self) -> Path:
        """All settings as resolved."""
        return self.path / "config.yaml"

    @property
    def data(self) -> Path:
        """Which annotation files, where their photos are, and their SHA-256."""
        return self.path / "data.json"

    @property
    def metrics(self) -> Path:
        """One JSON line an epoch; the same numbers on every repetition."""
        return self.path / "metrics.jsonl"

    @property
    def timings(self) -> Path:
        """One JSON line an epoch: seconds, which differ on every repetition."""
        return self.path / "timings.jsonl"

    @property
    def numerics(self) -> Path:
        """Number format and memory layout, as chosen at the start."""
        return self.path / "numerics.json"

    @property
    def checkpoint(self) -> Path:
        """Everything needed to go on."""
        return self.path / "last.ckpt"

    @property
    def samples(self) -> Path:
        """Pictures of validation photos after each epoch."""
        return self.path / "samples"

    def path_of_samples(self, epoch: int) -> Path:
        """Return the picture of an epoch; epochs count from 1."""
        return self.samples / f"epoch_{epoch:03d}.jpg"

    @property
    def tracking(self) -> Path:
        """Which epochs a tracker was given."""
        return self.path / "tracking.json"

    @property
    def bundle(self) -> Path:
        """The best model so far."""
        return self.path / RUN_BUNDLE_NAME


@dataclass(frozen=True, slots=True)
class DataSource:
    """An annotation file and the folder its photos are in; both absolute.

    ``allows_pseudo`` says that pseudo-labels in it may be validated on.
    """

    annotations: Path
    image_root: Path
    allows_pseudo: bool = False

    @classmethod
    def pair(cls, files: Sequence[Path], roots: Sequence[Path], option: str) -> tuple[Self, ...]:
        """Return one source per annotation file.

        Args:
            files: Annotation files.
            roots: One per file, or none: then photos lie beside each file.
            option: The command line's name for ``roots``.

        Raises:
            AnnotationError: The numbers differ.
        """
        pairs = pair_roots(files, roots, option)
        return tuple(cls(file.absolute(), folder.absolute()) for file, folder in pairs)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Settings and data of one run."""

    config: Config
    train: tuple[DataSource, ...]
    val: tuple[DataSource, ...]

    def write(self, folder: RunFolder) -> None:
        """Store the plan in a run folder."""
        write_json(
            folder.data,
            {
                "train": [describe_source(s) for s in self.train],
                "val": [describe_source(s) for s in self.val],
            },
        )
        write_text(folder.config, dump_config(self.config))

    @classmethod
    def read(cls, folder: RunFolder) -> Self:
        """Read the plan of a run that shall be resumed.

        Raises:
            RunError: There is no run, it is damaged, or an annotation file has changed since.
            ConfigError: Its settings were edited into something invalid.
        """
        if not folder.config.is_file() or not folder.data.is_file():
            raise RunError(
                f"There is no run to resume in {folder.path}.",
                hint="Start one with: bunri train --data ... --val ... --out " + str(folder.path),
            )
        try:
            config = load_config(folder.config.read_text("utf-8"), source=str(folder.config))
            rows = json.loads(folder.data.read_text("utf-8"))
            problems = [p for row in rows["train"] + rows["val"] if (p := find_change(row))]
            train, val = (tuple(map(read_source, rows[part])) for part in ("train", "val"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{folder.config} and {folder.data.name} are not as bunri wrote them: {error!r}.",
                hint="Start the run again in another folder.",
            ) from error
        if problems:
            raise RunError("The data changed since the run was started:", problems=problems)
        return cls(config, train, val)

    def read_sets(self) -> tuple[list[LabelledSet], list[LabelledSet]]:
        """Return the labelled sets for training and for validation, with one class table.

        Raises:
            AnnotationError: A file cannot be used, or its categories fit no common table;
                photos that do not exist are listed; pseudo-labels shall be validated on.
        """
        sources = (*self.train, *self.val)
        sets = read_together((source.annotations, source.image_root) for source in sources)
        for dataset in sets:
            require_photos(require_labels(dataset))
        for source, dataset in zip(self.val, sets[len(self.train) :], strict=True):
            if not source.allows_pseudo:
                require_truth(dataset)
        return sets[: len(self.train)], sets[len(self.train) :]


def describe_source(source: DataSource, content: Path | None = None) -> dict[str, Any]:
    """Return a source as plain values.

    Args:
        source: What to describe.
        content: The annotation file as it lies now, if it is still to be put in its place.
    """
    return {
        "annotations": str(source.annotations),
        "images": str(source.image_root),
        "sha256": hash_file(content or source.annotations),
        **({"allows_pseudo": True} if source.allows_pseudo else {}),
    }


def read_source(row: dict[str, Any]) -> DataSource:
    """Return a source from its plain values."""
    allows_pseudo = row.get("allows_pseudo", False) is True
    return DataSource(Path(row["annotations"]), Path(row["images"]), allows_pseudo)


def find_change(row: dict[str, Any]) -> str | None:
    """Return what is no longer as a source was described; None if all is."""
    path = Path(row["annotations"])
    if not path.is_file():
        return f"{path} is gone"
    return None if hash_file(path) == row["sha256"] else f"{path} has another content"
