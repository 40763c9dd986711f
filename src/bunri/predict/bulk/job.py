"""Predicting a million photos: workers on Ray, one writer here, and a restart that goes on.

Owns what is written when. Workers give rows and masks; only this process writes. A photo is done
when its row stands in a part under ``rows``, which is written whole or not at all and after the
masks of its photos. So whatever dies, each photo has one row in the end: workers that are killed
are replaced and asked again, and if this process is, the next call asks for what has no row.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bunri.core.errors import InputError, RunError, summarize
from bunri.core.files import lock_folder, replace_atomically, write_json, write_text
from bunri.core.version import __version__
from bunri.model.lookup import open_model
from bunri.predict.bulk.ray_pool import open_ray, predict_with_ray
from bunri.predict.bulk.source import BulkPhoto, find_bulk_photos, import_extra
from bunri.predict.bulk.worker import FAILED, MakePredictor, build_schema, describe_failure
from bunri.predict.predictor import load_predictor

MANIFEST_NAME, ROWS_NAME, FAILED_NAME = "bulk.json", "rows", "failed.txt"
_MAX_PART_ROWS, _MAX_PART_S = 512, 10.0
"""A part is written when it has so many rows, or after so many seconds."""

Advance = Callable[[], None]
ShowProgress = Callable[[int], AbstractContextManager[Advance]]


@dataclass(frozen=True, slots=True)
class BulkResult:
    """What a bulk prediction has come to.

    Attributes:
        num_photos: All photos of SOURCE; each has one row.
        num_predicted: Those that this call predicted, failures included.
        failures: (photo, reason) of all that failed, in this call or an earlier one.
    """

    num_photos: int
    num_predicted: int
    failures: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class BulkJob:
    """A bulk prediction.

    Attributes:
        source: See :func:`bunri.predict.bulk.source.find_bulk_photos`.
        folder: Where results are written.
        make_predictor: Loads the model in a worker.
        identity: What must be the same when a folder is gone on with.
    """

    source: Path
    folder: Path
    make_predictor: MakePredictor
    identity: dict[str, Any]


def make_job(model: str, source: Path, folder: Path) -> BulkJob:
    """Return the job of predicting SOURCE with MODEL.

    Raises:
        ModelError: There is no such model, or it is damaged.
    """
    stored = open_model(model)
    place, info = str(stored.place.absolute()), stored.info
    identity = {
        "source": str(source.absolute()),
        "weights_sha256": info.weights_sha256,
        "classes": json.loads(json.dumps(info.table.to_json())),  # as it is read again: no tuples
    }
    return BulkJob(source, folder, lambda: load_predictor(place), identity)


def run_bulk_job(
    job: BulkJob,
    *,
    address: str | None = None,
    num_workers: int | None = None,
    show_progress: ShowProgress,
) -> BulkResult:
    """Predict every photo of a source that has no row yet.

    Writes ``rows/part-N.parquet`` (see :func:`bunri.predict.bulk.worker.build_schema`),
    ``masks/NAME.png`` (values are class indices, colours the palette), ``bulk.json`` and, if
    photos failed, ``failed.txt``, which is a SOURCE for another call.

    Args:
        job: What to do.
        address: Of a Ray cluster; None to start Ray here, for as long as it takes.
        num_workers: Processes that predict; None for one a GPU, or one a CPU core without any.
        show_progress: Opens a progress bar from a total; what it gives is called after each photo.

    Raises:
        PathError: There is nothing to predict.
        InputError: SOURCE cannot be used, ``folder`` holds results of another model or source,
            or there are too few cores for ``num_workers``.
        MissingExtraError: Ray is not installed.
        RunError: The folder is in use, or Ray cannot be reached or fails; rows so far are kept.
        OutputError: Results cannot be written.
    """
    import_extra("ray")
    photos = find_bulk_photos(job.source, job.folder)
    with lock_folder(job.folder):
        _claim_folder(job)
        writer = _Writer(job.folder)
        left = [photo for photo in photos if photo.uri not in writer.statuses]
        if left:
            with open_ray(address, num_workers) as pool, show_progress(len(left)) as advance:
                for batch_photos, is_last_try in _list_tries(left, writer):
                    tables = predict_with_ray(
                        pool, batch_photos, job.make_predictor, one_by_one=is_last_try
                    )
                    with closing(tables):  # before Ray ends; it would be started again for them
                        writer.write_tables(tables, advance)
                _write_lost(left, writer, advance)
        failures = tuple(
            (photo.uri, writer.statuses[photo.uri])
            for photo in photos
            if writer.statuses[photo.uri]
        )
        _list_failures(job.folder, failures)
    return BulkResult(len(photos), len(left), failures)


def _list_tries(
    photos: Sequence[BulkPhoto], writer: "_Writer"
) -> Iterator[tuple[Sequence[BulkPhoto], bool]]:
    """Yield all photos, then those that got no row, since a photo may kill its worker each time."""
    yield photos, False
    lost = [photo for photo in photos if photo.uri not in writer.statuses]
    if lost:
        yield lost, True


def _write_lost(photos: Sequence[BulkPhoto], writer: "_Writer", advance: Advance) -> None:
    lost = [photo.uri for photo in photos if photo.uri not in writer.statuses]
    if lost:
        reason = "the worker process died of it, each time it was tried"
        rows = [describe_failure(uri, reason) for uri in lost]
        schema = build_schema()
        table = import_extra("pyarrow").Table.from_pylist(rows, schema)
        writer.write_tables([table], advance)


def _claim_folder(job: BulkJob) -> None:
    """Take an empty folder for this job, or go on with one that is this job's."""
    path = job.folder / MANIFEST_NAME
    if path.exists():
        try:
            found = json.loads(path.read_text("utf-8"))
            other = [key for key, value in job.identity.items() if found[key] != value]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{path} cannot be read: {summarize(error)}.", hint="Choose another folder."
            ) from error
        if other:
            raise InputError(
                f"{job.folder} holds results of another job:",
                problems=[f"{key} differs" for key in other],
                hint="Give each model and source an --out of its own.",
            )
        return
    if any((job.folder / name).exists() for name in (ROWS_NAME, "masks")):
        raise InputError(
            f"{job.folder} holds results of something else.", hint="Choose another folder."
        )
    write_json(path, {"bunri": __version__, **job.identity})


class _Writer:
    """The one who writes; ``statuses`` gives for each photo with a row why it failed, or ""."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.statuses: dict[str, str] = {}
        self._pending: list[Any] = []
        self._num_pending = 0
        self._pending_since = time.monotonic()
        parts = sorted((folder / ROWS_NAME).glob("part-*.parquet"))
        for part in parts:
            self._read_part(part)
        self._next_part = 1 + max((int(part.stem.partition("-")[2]) for part in parts), default=0)

    def _read_part(self, part: Path) -> None:
        arrow, parquet = import_extra("pyarrow"), import_extra("pyarrow.parquet")
        try:
            self._note(parquet.read_table(part, columns=["photo", "status", "reason"]))
        except (OSError, KeyError, arrow.ArrowException) as error:
            raise RunError(
                f"{part} is damaged: {summarize(error)}.",
                hint="Delete it: its photos will be predicted again.",
            ) from error

    def _note(self, table: Any) -> None:  # noqa: ANN401 (pyarrow has no types)
        for row in table.select(["photo", "status", "reason"]).to_pylist():
            self.statuses[row["photo"]] = row["reason"] if row["status"] == FAILED else ""

    def write_tables(self, tables: Iterable[Any], advance: Advance) -> None:
        """Write masks as they come, and rows after them, a part at a time."""
        try:
            for table in tables:
                self._take(table, advance)
                is_due = time.monotonic() - self._pending_since > _MAX_PART_S
                if self._num_pending >= _MAX_PART_ROWS or is_due:
                    self._write_part()
        finally:
            # What is predicted is kept, whatever ended the stream.
            self._write_part()

    def _take(self, table: Any, advance: Advance) -> None:  # noqa: ANN401
        is_new = [uri not in self.statuses for uri in table["photo"].to_pylist()]
        table = table.filter(import_extra("pyarrow").array(is_new))
        if "png" in table.column_names:
            for row in table.select(["mask", "png"]).to_pylist():
                self._write_mask(row)
            table = table.drop_columns(["png"])
        self._note(table)
        self._pending.append(table.cast(build_schema()))
        self._num_pending += len(table)
        for _ in range(len(table)):
            advance()

    def _write_mask(self, row: dict[str, Any]) -> None:
        if row["png"] is not None:
            # Not flushed one by one: the same pixels stand in the row, which is.
            with replace_atomically(self._folder / row["mask"], durable=False) as temporary:
                temporary.write_bytes(row["png"])

    def _write_part(self) -> None:
        if self._num_pending:
            table = import_extra("pyarrow").concat_tables(self._pending)
            path = self._folder / ROWS_NAME / f"part-{self._next_part:06d}.parquet"
            with replace_atomically(path) as temporary:
                import_extra("pyarrow.parquet").write_table(table, temporary, compression="zstd")
            self._next_part += 1
        self._pending, self._num_pending = [], 0
        self._pending_since = time.monotonic()


def _list_failures(folder: Path, failures: Sequence[tuple[str, str]]) -> None:
    path = folder / FAILED_NAME
    if failures:
        write_text(path, "".join(f"{uri}\n" for uri, _ in failures))
    else:
        path.unlink(missing_ok=True)
