"""Ray, started or joined quietly, and a stream of photos through workers that hold a model."""

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from bunri.core.errors import InputError, RunError, summarize
from bunri.predict.bulk.source import BulkPhoto, import_extra
from bunri.predict.bulk.worker import BulkWorker, MakePredictor

_QUIET_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # or a thread of Ray's that ends late starts it again
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # or Ray warns that this will be its default
}
_BLOCKS_PER_WORKER = 8
"""Least number of blocks for each worker, so that none waits for another in the end."""
_MAX_BLOCK_PHOTOS = 32
"""When a worker is killed, at most two blocks of this size are predicted again."""
_MAX_RETRIES = 3
"""Number of tries of a block after its worker died; a photo may be what kills it."""


@dataclass(frozen=True, slots=True)
class RayPool:
    """Number of workers, and number of GPUs for each."""

    num_workers: int
    num_gpus: int


@contextmanager
def open_ray(address: str | None, num_workers: int | None) -> Iterator[RayPool]:
    """Join a Ray cluster, or start Ray on this machine and stop it afterwards.

    Args:
        address: Address of the cluster, as for ``ray.init``; None to start Ray here.
        num_workers: Number of worker processes; None for one per GPU, or per core without GPUs.
    """
    # Before the import, which reads them.
    for name, value in _QUIET_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    ray = import_extra("ray")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        address = "local"
        options["include_dashboard"] = False
    with _keep_sigterm() as end_on_sigterm:
        try:
            ray.init(address=address, **options)
            end_on_sigterm()
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise RunError(
                f"Ray cannot be {'started' if address == 'local' else f'reached at {address}'}: "
                f"{summarize(error)}.",
                hint="Check --address, or leave it out to use this machine.",
            ) from error
        try:
            yield _plan_pool(ray.cluster_resources(), num_workers)
        finally:
            ray.shutdown()


@contextmanager
def _keep_sigterm() -> Iterator[Callable[[], object]]:
    """Restore the handler of SIGTERM at the end: Ray leaves one of its own.

    Yields a function that replaces Ray's handler, which exits at once, by one that raises, so that
    predicted photos are still written.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # only the main thread has handlers
        return
    earlier = signal.getsignal(signal.SIGTERM)
    try:
        yield lambda: signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _plan_pool(resources: dict[str, float], num_workers: int | None) -> RayPool:
    cores, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    places = min(gpus, cores) or cores
    if num_workers is not None and num_workers > places:
        what = "GPUs" if gpus else "cores"
        raise InputError(f"--workers {num_workers}: Ray has {places} {what}, one for each worker.")
    return RayPool(num_workers or max(1, places), 1 if gpus else 0)


def predict_with_ray(
    pool: RayPool, photos: Sequence[BulkPhoto], make_predictor: MakePredictor, *, one_by_one: bool
) -> Generator[Any, None, None]:
    """Yield tables of rows, in any order; see :class:`bunri.predict.bulk.worker.BulkWorker`.

    Photos whose worker died each time have no row.

    Args:
        pool: Workers to use.
        photos: Photos to predict; at least one.
        make_predictor: Function that loads the model in a worker.
        one_by_one: Send each photo alone, so that one that kills its worker takes no other along.
    """
    ray, data = import_extra("ray"), import_extra("ray.data")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = -1  # lost photos are found by their missing rows
    num_workers = min(pool.num_workers, len(photos))
    strategy = data.ActorPoolStrategy(
        size=num_workers, max_tasks_in_flight_per_actor=1 if one_by_one else 2
    )
    blocks = _make_blocks(photos, 1 if one_by_one else _choose_block_photos(photos, num_workers))
    with warnings.catch_warnings():
        # Ray warns that it will rename max_task_retries; without it, a photo that kills its worker
        # would be tried for ever.
        warnings.simplefilter("ignore")
        rows = data.from_arrow(blocks).map_batches(
            BulkWorker,
            fn_constructor_args=(make_predictor,),
            batch_size=None,
            batch_format="pyarrow",
            compute=strategy,
            num_cpus=1,
            num_gpus=pool.num_gpus or None,
            max_task_retries=_MAX_RETRIES,
        )
    try:
        yield from rows.iter_batches(batch_size=None, batch_format="pyarrow")
    except ray.exceptions.RayError as error:
        raise RunError(
            f"Ray failed: {summarize(error)}.",
            hint="Predicted photos are kept; the same command continues.",
        ) from error


def _choose_block_photos(photos: Sequence[BulkPhoto], num_workers: int) -> int:
    return max(1, min(_MAX_BLOCK_PHOTOS, len(photos) // (num_workers * _BLOCKS_PER_WORKER)))


def _make_blocks(photos: Sequence[BulkPhoto], block_photos: int) -> list[Any]:
    make_table = import_extra("pyarrow").Table.from_pylist
    rows = [asdict(photo) for photo in photos]
    starts = range(0, len(rows), block_photos)
    return [make_table(rows[start : start + block_photos]) for start in starts]
