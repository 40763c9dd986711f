"""The choice of the engine that runs a model's network: torch, ONNX Runtime or OpenVINO.

A model with an ONNX file never needs torch. Which of the two other engines is faster is measured
once on each machine and stored. float32 stays float32, so that both give the same classes.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import statistics
import time
from contextlib import AbstractContextManager, suppress
from typing import Protocol, runtime_checkable

import numpy as np

from bunri.core.contracts import FloatArray
from bunri.core.errors import (
    BunriError,
    InputError,
    MissingExtraError,
    ModelError,
    OutputError,
    suggest,
)
from bunri.core.files import find_cache_folder, write_json
from bunri.core.json_files import JsonRecord, read_json_record
from bunri.images.frames import pad_to_stride
from bunri.model.lookup import StoredModel
from bunri.model.onnx_file import cut_network, read_onnx_file

BACKEND_VARIABLE = "BUNRI_BACKEND"
"""Environment variable that names the engine, in place of the measurement."""
ONNX_ENGINES = ("onnxruntime", "openvino")
_NUM_ROUNDS = 5
_NEVER_MS = 1e12  # JSON has no infinity


class Backend(Protocol):
    """A network in an engine; several threads may call it at once."""

    def predict_probs(self, pixels: FloatArray) -> FloatArray:
        """Return probabilities, float32 (C, h, w), of a network frame, float32 (3, h, w)."""


@runtime_checkable
class SharingBackend(Backend, Protocol):
    """A backend that is faster with one photo per core than with all cores on one photo."""

    def share_cores(self) -> AbstractContextManager[int]:
        """Yield the number of threads that should call it at once until the block ends."""


def open_backend(stored: StoredModel) -> Backend:
    """Return a model's network in its engine."""
    if stored.onnx is None:
        return _open_torch(stored)
    network = cut_network(read_onnx_file(stored.onnx).model)
    engine = os.environ.get(BACKEND_VARIABLE) or _choose_engine(stored, network)
    return open_engine(engine, network)


def open_engine(engine: str, network: bytes) -> Backend:
    """Return a network in one of ``ONNX_ENGINES``."""
    if engine not in ONNX_ENGINES:
        raise InputError(
            f"{BACKEND_VARIABLE}={engine}: there is no such engine.{suggest(engine, ONNX_ENGINES)}"
        )
    if importlib.util.find_spec(engine) is None:
        extra = "[openvino]" if engine == "openvino" else ""
        raise MissingExtraError(
            f"{engine} is not installed.", hint=f'Install it with: pip install "bunri{extra}"'
        )
    if engine == "openvino":
        from bunri.predict.backends.openvino_backend import OpenVinoBackend

        return OpenVinoBackend(network, count_cores())
    from bunri.predict.backends.onnx_backend import OnnxBackend

    return OnnxBackend(network, count_cores())


def _open_torch(stored: StoredModel) -> Backend:
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError(
            "This model runs on torch, which is not installed.",
            hint='Install it with: pip install "bunri[train]", or where it is installed export '
            "the model: bunri export MODEL --out DIR",
        )
    from bunri.predict.backends.torch_backend import TorchBackend

    return TorchBackend(stored.place, stored.info)


class _EngineTimes(JsonRecord):
    """Measured time per frame of each engine in milliseconds."""

    onnxruntime: float
    openvino: float


def _choose_engine(stored: StoredModel, network: bytes) -> str:
    """Return the fastest engine on this machine, as stored if it was measured before."""
    installed = [name for name in ONNX_ENGINES if importlib.util.find_spec(name)]
    if len(installed) < 2:
        return installed[0] if installed else ONNX_ENGINES[0]
    versions = [importlib.metadata.version(name) for name in installed]
    # The machine's name is part of the key, since home folders are shared between machines.
    facts = [stored.info.onnx_sha256, *versions, platform.node(), str(count_cores())]
    key = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:32]
    path = find_cache_folder() / "engines" / f"{key}.json"
    try:
        times = read_json_record(path, _EngineTimes, max_bytes=1000)
    except BunriError:  # not measured yet, or damaged
        side_px = pad_to_stride(stored.info.preprocessing.size_px)
        measured = {name: _time_engine_ms(name, network, side_px) for name in ONNX_ENGINES}
        times = _EngineTimes(**measured)
        with suppress(OutputError):  # then it is measured again next time
            write_json(path, times.model_dump())
    return min(ONNX_ENGINES, key=times.model_dump().__getitem__)


def _time_engine_ms(engine: str, network: bytes, side_px: int) -> float:
    """Return the median time per frame; very long for an engine that cannot run the network."""
    try:
        return _measure_ms(open_engine(engine, network), side_px)
    except ModelError:
        return _NEVER_MS


def _measure_ms(backend: Backend, side_px: int) -> float:
    frame = np.zeros((3, side_px, side_px), np.float32)
    times_s = []
    for _ in range(1 + _NUM_ROUNDS):
        started = time.perf_counter()
        backend.predict_probs(frame)
        times_s.append(time.perf_counter() - started)
    return 1000 * statistics.median(times_s[1:])  # the first frame sets memory up


def count_cores() -> int:
    """Return the number of cores that this process may use.

    ``$OMP_NUM_THREADS`` may set fewer, as it does for a worker of Ray, which has one.
    """
    can_ask = hasattr(os, "sched_getaffinity")  # not on macOS
    num_cores = len(os.sched_getaffinity(0)) if can_ask else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(num_cores, int(wanted)) if wanted.isdecimal() and int(wanted) else num_cores
