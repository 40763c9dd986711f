"""Settings and data of a run, stored in its folder so that it can be resumed and repeated."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bunri.core.errors import InputError, RunError, suggest
from bunri.core.files import hash_file, write_json, write_text
from bunri.core.json_files import JsonRecord, read_json_record
from bunri.labels.coco import require_labels, require_photos, require_truth
from bunri.labels.records import LabelledSet
from bunri.labels.sources import pair_roots, read_together
from bunri.model.bundle import RUN_BUNDLE_NAME
from bunri.training.config import Config, dump_config, load_config, read_recipe

MAX_PLAN_BYTES = 10_000_000
NEW_RUN_HINT = "Start the run again in another folder."


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths of everything in a run folder."""

    path: Path

    @property
    def config(self) -> Path:
        """All settings as resolved."""
        return self.path / "config.yaml"

    @property
    def data(self) -> Path:
        """Annotation files with their SHA-256, and the folders of their photos."""
        return self.path / "data.json"

    @property
    def metrics(self) -> Path:
        """Scores and losses, one JSON line an epoch; the same on every repetition."""
        return self.path / "metrics.jsonl"

    @property
    def timings(self) -> Path:
        """Seconds, one JSON line an epoch; they differ on every repetition."""
        return self.path / "timings.jsonl"

    @property
    def numerics(self) -> Path:
        """Number format and memory layout, as chosen at the start."""
        return self.path / "numerics.json"

    @property
    def checkpoint(self) -> Path:
        """State of training after the last epoch, or after the step at which it was stopped."""
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
        """Record of the epochs that a tracker was given."""
        return self.path / "tracking.json"

    @property
    def bundle(self) -> Path:
        """The best model so far."""
        return self.path / RUN_BUNDLE_NAME


@dataclass(frozen=True, slots=True)
class DataSource:
    """An annotation file and the folder of its photos, both absolute.

    Attributes:
        annotations: COCO file.
        image_root: Folder that the file's photo names are relative to.
        allows_pseudo: Whether its pseudo-labels may be validated on.
    """

    annotations: Path
    image_root: Path
    allows_pseudo: bool = False

    @classmethod
    def pair(
        cls,
        files: Sequence[Path],
        roots: Sequence[Path],
        option: str,
        *,
        allow_pseudo: Sequence[Path] = (),
    ) -> tuple[Self, ...]:
        """Return one source per annotation file.

        Args:
            files: Annotation files.
            roots: One folder of photos per file; none: photos lie beside each file.
            option: The command line's name for ``roots``.
            allow_pseudo: Those of ``files`` whose pseudo-labels may be validated on.

        Raises:
            AnnotationError: The numbers of files and folders differ.
            InputError: A file in ``allow_pseudo`` is none of ``files``.
        """
        allowed = {file.resolve() for file in allow_pseudo}
        for file in allow_pseudo:
            if file.resolve() not in {known.resolve() for known in files}:
                near = suggest(str(file), map(str, files))
                raise InputError(f"--allow-pseudo: {file} is none of the files to score on.{near}")
        return tuple(
            cls(file.absolute(), folder.absolute(), file.resolve() in allowed)
            for file, folder in pair_roots(files, roots, option)
        )


class SourceRecord(JsonRecord):
    """A data source as stored, with the SHA-256 of the annotation file when the run was planned."""

    annotations: str
    images: str
    sha256: str
    allows_pseudo: bool = False

    @classmethod
    def describe(cls, source: DataSource, content: Path | None = None) -> Self:
        """Return the record of a source.

        Args:
            source: The source.
            content: The annotation file as it lies now, if it is still to be put in its place.
        """
        return cls(
            annotations=str(source.annotations),
            images=str(source.image_root),
            sha256=hash_file(content or source.annotations),
            allows_pseudo=source.allows_pseudo,
        )

    def to_source(self) -> DataSource:
        """Return the source."""
        return DataSource(Path(self.annotations), Path(self.images), self.allows_pseudo)


class SourcesRecord(JsonRecord):
    """Content of ``data.json``: the annotation files of a run."""

    train: tuple[SourceRecord, ...]
    val: tuple[SourceRecord, ...]

    def find_changes(self) -> list[str]:
        """Return a line for each annotation file that is no longer as it was."""
        changes = []
        for record in dict.fromkeys((*self.train, *self.val)):
            path = Path(record.annotations)
            if not path.is_file():
                changes.append(f"{path} is gone")
            elif hash_file(path) != record.sha256:
                changes.append(f"{path} has another content")
        return changes

    def to_plan(self, config: Config) -> "RunPlan":
        """Return the plan of a run on these files."""
        train, val = (tuple(r.to_source() for r in part) for part in (self.train, self.val))
        return RunPlan(config, train, val)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Settings and data of one run.

    Attributes:
        config: Settings.
        train: Sources to train on.
        val: Sources to validate on.
    """

    config: Config
    train: tuple[DataSource, ...]
    val: tuple[DataSource, ...]

    def write(self, folder: RunFolder) -> None:
        """Store the plan in a run folder."""
        record = SourcesRecord(
            train=tuple(map(SourceRecord.describe, self.train)),
            val=tuple(map(SourceRecord.describe, self.val)),
        )
        write_json(folder.data, record.model_dump(mode="json", exclude_defaults=True))
        write_text(folder.config, dump_config(self.config))

    @classmethod
    def read(cls, folder: RunFolder) -> "RunPlan":
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
        config = load_config(read_recipe(str(folder.config)), source=str(folder.config))
        record = read_json_record(
            folder.data, SourcesRecord, max_bytes=MAX_PLAN_BYTES, error=RunError, hint=NEW_RUN_HINT
        )
        changes = record.find_changes()
        if changes:
            raise RunError("The data changed since the run was started:", problems=changes)
        return record.to_plan(config)

    def read_sets(self) -> tuple[list[LabelledSet], list[LabelledSet]]:
        """Return the labelled sets for training and for validation, with one class table.

        Raises:
            AnnotationError: A file cannot be used, its categories fit no common table, photos do
                not exist, or pseudo-labels would be validated on.
        """
        sets = read_labelled((*self.train, *self.val))
        train, val = sets[: len(self.train)], sets[len(self.train) :]
        for source, dataset in zip(self.val, val, strict=True):
            if not source.allows_pseudo:
                require_truth(dataset)
        return train, val


def read_labelled(sources: Sequence[DataSource]) -> list[LabelledSet]:
    """Return the labelled sets of sources, with one class table.

    Raises:
        AnnotationError: A file cannot be used, its categories fit no common table, or photos do
            not exist.
    """
    sets = read_together((source.annotations, source.image_root) for source in sources)
    for dataset in sets:
        require_photos(require_labels(dataset))
    return sets


def refuse_used(folder: Path, what: str) -> None:
    """Refuse a folder that has something in it.

    Args:
        folder: Output folder.
        what: ``run`` or ``folds``, for the message.

    Raises:
        RunError: The folder is not empty, or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file.", hint="Choose another folder with --out.")
    if folder.exists() and any(p.name != ".lock" for p in folder.iterdir()):
        raise RunError(
            f"{folder} is not empty.",
            hint=f"Go on with its {what} by --resume, or choose another folder with --out.",
        )
