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


class RunFolder:
    """Paths of everything in a run folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"  # all settings as resolved
        self.data = path / "data.json"  # annotation files with SHA-256, folders of photos
        self.metrics = path / "metrics.jsonl"  # a line an epoch; the same on every repetition
        self.timings = path / "timings.jsonl"  # seconds, a line an epoch
        self.numerics = path / "numerics.json"  # number format, as chosen at the start
        self.checkpoint = path / "last.ckpt"  # state after the last epoch, or where it was stopped
        self.samples = path / "samples"  # pictures of validation photos after each epoch
        self.tracking = path / "tracking.json"  # epochs that a tracker was given
        self.bundle = path / RUN_BUNDLE_NAME  # the best model so far

    def path_of_samples(self, epoch: int) -> Path:
        """Return the picture of an epoch; epochs count from 1."""
        return self.samples / f"epoch_{epoch:03d}.jpg"


@dataclass(frozen=True, slots=True)
class DataSource:
    """An annotation file and the folder of its photos, both absolute."""

    annotations: Path
    image_root: Path
    allows_pseudo: bool = False  # to be validated on

    @classmethod
    def pair(
        cls,
        files: Sequence[Path],
        roots: Sequence[Path],
        option: str,
        *,
        allow_pseudo: Sequence[Path] = (),
    ) -> tuple[Self, ...]:
        """Return one source per annotation file; without ``roots``, photos lie beside each file.

        ``option`` is the command line's name for ``roots``; ``allow_pseudo`` are those of ``files``
        whose pseudo-labels may be validated on.

        Raises:
            InputError: Numbers of files and folders differ; ``allow_pseudo`` has another file.
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
        """Return the record of a source, whose file may lie elsewhere yet, at ``content``."""
        return cls(
            annotations=str(source.annotations),
            images=str(source.image_root),
            sha256=hash_file(content or source.annotations),
            allows_pseudo=source.allows_pseudo,
        )


class SourcesRecord(JsonRecord):
    """Content of ``data.json``: the annotation files of a run."""

    train: tuple[SourceRecord, ...]
    val: tuple[SourceRecord, ...]


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Settings and data of one run."""

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
        """Read the plan of a run.

        Raises:
            RunError: There is no run, it is damaged, or an annotation file has changed since.
        """
        if not folder.config.is_file() or not folder.data.is_file():
            raise RunError(
                f"There is no run to resume in {folder.path}.",
                hint="Start one with: bunri train --data ... --val ... --out " + str(folder.path),
            )
        record = read_json_record(
            folder.data, SourcesRecord, max_bytes=MAX_PLAN_BYTES, error=RunError, hint=NEW_RUN_HINT
        )
        (plan,) = restore_plans(folder.config, [record])
        return plan

    def read_sets(self) -> tuple[list[LabelledSet], list[LabelledSet]]:
        """Return the labelled sets for training and for validation, with one class table."""
        sets = read_labelled((*self.train, *self.val))
        train, val = sets[: len(self.train)], sets[len(self.train) :]
        for source, dataset in zip(self.val, val, strict=True):
            if not source.allows_pseudo:
                require_truth(dataset)
        return train, val


def restore_plans(config_path: Path, records: Sequence[SourcesRecord]) -> tuple[RunPlan, ...]:
    """Return the plans of stored runs; raise RunError if an annotation file has changed since."""
    config = load_config(read_recipe(str(config_path)), source=str(config_path))
    changes = []
    for record in dict.fromkeys(source for run in records for source in (*run.train, *run.val)):
        path = Path(record.annotations)
        if not path.is_file():
            changes.append(f"{path} is gone")
        elif hash_file(path) != record.sha256:
            changes.append(f"{path} has another content")
    if changes:
        raise RunError("The data changed since the run was started:", problems=changes)
    parts = (
        tuple(DataSource(Path(r.annotations), Path(r.images), r.allows_pseudo) for r in part)
        for run in records
        for part in (run.train, run.val)
    )
    return tuple(RunPlan(config, train, val) for train, val in zip(parts, parts, strict=True))


def read_labelled(sources: Sequence[DataSource]) -> list[LabelledSet]:
    """Return the labelled sets of sources, with one class table."""
    sets = read_together((source.annotations, source.image_root) for source in sources)
    for dataset in sets:
        require_photos(require_labels(dataset))
    return sets


def refuse_used(folder: Path, what: str) -> None:
    """Raise RunError for a file or a folder with content; ``what`` is ``run`` or ``folds``."""
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file.", hint="Choose another folder with --out.")
    if folder.exists() and any(p.name != ".lock" for p in folder.iterdir()):
        raise RunError(
            f"{folder} is not empty.",
            hint=f"Go on with its {what} by --resume, or choose another folder with --out.",
        )
