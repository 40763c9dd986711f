"""Prediction of a million photos: workers on Ray, one writer here, and a restart that continues.

Workers return rows and masks; only this process writes. A photo is done when its row stands in a
part under ``rows``, which is written whole or not at all and after the masks of its photos. So each
photo has one row in the end, whatever dies: killed workers are replaced and their photos predicted
again, and after this process is killed the next call predicts the photos without a row.
"""

import json
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bunri.core.errors import InputError, RunError, summarize
from bunri.core.files import lock_folder, replace_atomically, write_json, write_text
from bunri.core.json_files import JsonRecord, read_json_record
from bunri.core.progress import Advance, Progress, show_nothing
from bunri.core.version import __version__
from bunri.model.lookup import open_model
from bunri.predict.bulk.ray_pool import open_ray, predict_with_ray
from bunri.predict.bulk.source import BulkPhoto, find_bulk_photos, import_extra
from bunri.predict.bulk.worker import FAILED, MakePredictor, build_schema, describe_failure
from bunri.predict.predictor import load_predictor

MANIFEST_NAME, ROWS_NAME, FAILED_NAME = "bulk.json", "rows", "failed.txt"
_MAX_PART_ROWS, _MAX_PART_S = 512, 10.0
"""A part is written when it has this many rows, or after this many seconds."""
_MAX_MANIFEST_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class BulkResult:
    """Outcome of a bulk prediction."""

    num_photos: int
    num_predicted: int
    failures: tuple[tuple[str, str], ...]


class JobIdentity(JsonRecord):
    """Facts in ``bulk.json`` that must be the same when a job continues in its folder."""

    source: str
    weights_sha256: str
    classes: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class BulkJob:
    """A bulk prediction.

    Attributes:
        make_predictor: Function that loads the model in a worker.
    """

    source: Path
    folder: Path
    make_predictor: MakePredictor
    identity: JobIdentity


def make_job(model: str, source: Path, folder: Path) -> BulkJob:
    """Return the job of predicting SOURCE with MODEL.

    Raises ModelError: there is no such model, or it is damaged.
    """
    stored = open_model(model)
    place, info = str(stored.place.absolute()), stored.info
    identity = JobIdentity(
        source=str(source.absolute()),
        weights_sha256=info.weights_sha256,
        classes=json.loads(json.dumps(info.table.to_json())),  # tuples as JSON reads them back
    )
    return BulkJob(source, folder, lambda: load_predictor(place), identity)


def run_bulk_job(
    job: BulkJob,
    *,
    address: str | None = None,
    num_workers: int | None = None,
    progress: Progress = show_nothing,
) -> BulkResult:
    """Predict every photo of a source that has no row yet.

    Writes ``rows/part-N.parquet`` (see :func:`bunri.predict.bulk.worker.build_schema`),
    ``masks/NAME.png`` (values are class indices, colours the palette), ``bulk.json`` and, if
    photos failed, ``failed.txt``, which can be the SOURCE of another call.

    Args:
        job: Model, photos and output folder.
        address: Address of a Ray cluster; None to start Ray here for the duration of the job.
        num_workers: Number of worker processes; None for one per GPU, or per core without GPUs.
        progress: Display of progress.

    Raises PathError, InputError, MissingExtraError, RunError, OutputError.
    """
    import_extra("ray")
    photos = find_bulk_photos(job.source, job.folder)
    with lock_folder(job.folder):
        _claim_folder(job)
        writer = _Writer(job.folder)
        left = writer.list_missing(photos)
        if left:
            with (
                open_ray(address, num_workers) as pool,
                progress("Predicting photos", len(left)) as advance,
            ):
                for one_by_one in (False, True):  # a photo may kill its worker, and others' with it
                    waiting = writer.list_missing(left)
                    if waiting:
                        tables = predict_with_ray(
                            pool, waiting, job.make_predictor, one_by_one=one_by_one
                        )
                        with closing(tables):  # before Ray ends, or it would be started again
                            writer.write_tables(tables, advance)
                _write_lost(left, writer, advance)
        reasons = ((photo.uri, writer.statuses[photo.uri]) for photo in photos)
        failures = tuple((uri, reason) for uri, reason in reasons if reason)
        if failures:
            write_text(job.folder / FAILED_NAME, "".join(f"{uri}\n" for uri, _ in failures))
        else:
            (job.folder / FAILED_NAME).unlink(missing_ok=True)
    return BulkResult(len(photos), len(left), failures)


def _write_lost(photos: Sequence[BulkPhoto], writer: "_Writer", advance: Advance) -> None:
    lost = writer.list_missing(photos)
    if lost:
        reason = "the worker process died of it, each time it was tried"
        rows = [describe_failure(photo.uri, reason) for photo in lost]
        table = import_extra("pyarrow").Table.from_pylist(rows, build_schema())
        writer.write_tables([table], advance)


def _claim_folder(job: BulkJob) -> None:
    """Take an empty folder for this job, or continue in one that is this job's."""
    path = job.folder / MANIFEST_NAME
    if path.exists():
        hint = "Choose another folder."
        found = read_json_record(
            path, JobIdentity, max_bytes=_MAX_MANIFEST_BYTES, error=RunError, hint=hint
        )
        wanted = job.identity.model_dump()
        other = [key for key, value in found.model_dump().items() if wanted[key] != value]
        if other:
            raise InputError(
                f"{job.folder} holds results of another job:",
                problems=[f"{key} differs" for key in other],
                hint="Give each model and source an --out of its own.",
            )
    elif any((job.folder / name).exists() for name in (ROWS_NAME, "masks")):
        raise InputError(
            f"{job.folder} holds results of something else.", hint="Choose another folder."
        )
    else:
        write_json(path, {"bunri": __version__, **job.identity.model_dump()})


class _Writer:
    """The only writer; ``statuses`` holds each photo with a row, and why it failed, or ""."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.statuses: dict[str, str] = {}
        self._pending: list[Any] = []
        self._num_pending = 0
        self._pending_since = time.monotonic()
        parts = sorted((folder / ROWS_NAME).glob("part-*.parquet"))
        arrow, parquet = import_extra("pyarrow"), import_extra("pyarrow.parquet")
        for part in parts:
            try:
                self._note(parquet.read_table(part, columns=["photo", "status", "reason"]))
            except (OSError, KeyError, arrow.ArrowException) as error:
                raise RunError(
                    f"{part} is damaged: {summarize(error)}.",
                    hint="Delete it: its photos will be predicted again.",
                ) from error
        self._next_part = 1 + max((int(part.stem.partition("-")[2]) for part in parts), default=0)

    def list_missing(self, photos: Iterable[BulkPhoto]) -> list[BulkPhoto]:
        """Return the photos without a row."""
        return [photo for photo in photos if photo.uri not in self.statuses]

    def _note(self, table: Any) -> None:  # noqa: ANN401 (pyarrow has no types)
        for row in table.select(["photo", "status", "reason"]).to_pylist():
            self.statuses[row["photo"]] = row["reason"] if row["status"] == FAILED else ""

    def write_tables(self, tables: Iterable[Any], advance: Advance) -> None:
        """Write masks as they arrive, and their rows afterwards, a part at a time."""
        try:
            for table in tables:
                self._take(table, advance)
                is_due = time.monotonic() - self._pending_since > _MAX_PART_S
                if self._num_pending >= _MAX_PART_ROWS or is_due:
                    self._write_part()
        finally:
            self._write_part()  # predicted photos are kept, whatever ended the stream

    def _take(self, table: Any, advance: Advance) -> None:  # noqa: ANN401
        is_new = [uri not in self.statuses for uri in table["photo"].to_pylist()]
        table = table.filter(import_extra("pyarrow").array(is_new))
        if "png" in table.column_names:
            for row in table.select(["mask", "png"]).to_pylist():
                if row["png"] is not None:
                    # Not flushed one by one: the row, which is flushed, holds the same pixels.
                    with replace_atomically(self._folder / row["mask"], durable=False) as temporary:
                        temporary.write_bytes(row["png"])
            table = table.drop_columns(["png"])
        self._note(table)
        self._pending.append(table.cast(build_schema()))
        self._num_pending += len(table)
        for _ in range(len(table)):
            advance()

    def _write_part(self) -> None:
        if self._num_pending:
            table = import_extra("pyarrow").concat_tables(self._pending)
            path = self._folder / ROWS_NAME / f"part-{self._next_part:06d}.parquet"
            with replace_atomically(path) as temporary:
                import_extra("pyarrow.parquet").write_table(table, temporary, compression="zstd")
            self._next_part += 1
        self._pending, self._num_pending = [], 0
        self._pending_since = time.monotonic()
