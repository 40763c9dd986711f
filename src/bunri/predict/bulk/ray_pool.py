"""Ray: started or joined quietly, and a stream of photos through workers that hold a model.

Owns everything that is said to Ray. Knows nothing of results on disk.
"""

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bunri.core.errors import InputError, RunError, summarize
from bunri.predict.bulk.source import BulkPhoto, import_extra
from bunri.predict.bulk.worker import BulkWorker, MakePredictor

_QUIET_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # a thread of Ray's that ends late shall not start it again
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # or Ray warns that this will be its default
}
_BLOCKS_PER_WORKER = 8
"""At least so many portions for each worker, so that none waits for another in the end."""
_MAX_BLOCK_PHOTOS = 32
"""What is predicted again if a worker is killed: at most two such portions."""
_MAX_RETRIES = 3
"""How often a portion is tried again after its worker died; a photo may be what kills it."""


@dataclass(frozen=True, slots=True)
class RayPool:
    """How many workers to start, and how many GPUs each one takes."""

    num_workers: int
    num_gpus: int


@contextmanager
def open_ray(address: str | None, num_workers: int | None) -> Iterator[RayPool]:
    """Join a Ray cluster, or start Ray on this machine and stop it afterwards.

    Args:
        address: Of the cluster, as in ``ray.init``; None to start Ray here.
        num_workers: Processes that predict; None for one a GPU, or one a core without any.

    Raises:
        MissingExtraError: Ray is not installed.
        RunError: It cannot be started or reached.
        InputError: There are fewer cores than workers.
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
def _keep_sigterm() -> Iterator[Callable[[], None]]:
    """Put back in the end what this process does on SIGTERM: Ray leaves a handler of its own.

    Gives a function that sets ours in place of Ray's, which ends with a code of its own. Ours
    raises, so that what is predicted is still written.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # Python has no signals here, and Ray sets no handler
        return
    earlier = signal.getsignal(signal.SIGTERM)
    try:
        yield lambda: _set_sigterm(lambda number, _: sys.exit(128 + number))
    finally:
        _set_sigterm(earlier)


def _set_sigterm(handler: Any) -> None:  # noqa: ANN401 (whatever signal.getsignal gave)
    signal.signal(signal.SIGTERM, handler)


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

    Photos whose worker died each time give no row.

    Args:
        pool: From :func:`open_ray`.
        photos: At least one.
        make_predictor: Loads the model in a worker.
        one_by_one: Let no photo suffer from another that kills its worker; slower.

    Raises:
        RunError: Ray fails.
    """
    ray, data = import_extra("ray"), import_extra("ray.data")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = -1  # what is lost is noticed by its missing rows
    num_workers = min(pool.num_workers, len(photos))
    strategy = data.ActorPoolStrategy(
        size=num_workers, max_tasks_in_flight_per_actor=1 if one_by_one else 2
    )
    blocks = _make_blocks(photos, 1 if one_by_one else _choose_block_photos(photos, num_workers))
    with warnings.catch_warnings():
        # Ray means to rename how retries are limited; without a limit, a photo that kills its
        # worker would be tried for ever.
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
            hint="What was predicted is kept; the same command goes on.",
        ) from error


def _choose_block_photos(photos: Sequence[BulkPhoto], num_workers: int) -> int:
    return max(1, min(_MAX_BLOCK_PHOTOS, len(photos) // (num_workers * _BLOCKS_PER_WORKER)))


def _make_blocks(photos: Sequence[BulkPhoto], block_photos: int) -> list[Any]:
    arrow = import_extra("pyarrow")
    blocks = []
    for start in range(0, len(photos), block_photos):
        chosen = photos[start : start + block_photos]
        columns = {
            "uri": [photo.uri for photo in chosen],
            "mask_name": [photo.mask_name for photo in chosen],
        }
        blocks.append(arrow.table(columns))
    return blocks
