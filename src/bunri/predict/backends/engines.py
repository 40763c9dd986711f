"""What runs a model's network: torch, ONNX Runtime or OpenVINO.

Owns the choice. A model with an ONNX file never needs torch; which of the two engines runs it is
measured once on each machine, and remembered. float32 stays float32, so that
both give the same classes.
"""

import hashlib
import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from bunri.core.contracts import FloatArray
from bunri.core.errors import InputError, MissingExtraError, ModelError, OutputError, suggest
from bunri.core.files import find_cache_folder, write_json
from bunri.images.frames import pad_to_stride
from bunri.model.lookup import StoredModel
from bunri.model.onnx_file import cut_network, read_onnx_file

BACKEND_VARIABLE = "BUNRI_BACKEND"
"""Environment variable that decides in place of the measurement."""
ONNX_ENGINES = ("onnxruntime", "openvino")
_NUM_ROUNDS = 5
_NEVER_MS = 1e12  # JSON has no infinity


class Backend(Protocol):
    """Whatever runs a network."""

    def predict_probs(self, pixels: FloatArray) -> FloatArray:
        """Return probabilities, float32 (C, h, w), of a network frame, float32 (3, h, w)."""


@runtime_checkable
class SharingBackend(Backend, Protocol):
    """A backend that is faster with a photo a core than with all cores on one photo."""

    def share_cores(self) -> AbstractContextManager[int]:
        """Give how many threads may call it at once until the block ends."""


def open_backend(stored: StoredModel) -> Backend:
    """Return what runs a model.

    Raises:
        ModelError: Its file is damaged, or cannot be run.
        MissingExtraError: What it runs on is not installed.
        InputError: ``$BUNRI_BACKEND`` is no engine.
    """
    if stored.onnx is None:
        return _open_torch(stored)
    network = cut_network(read_onnx_file(stored.onnx).model)
    engine = os.environ.get(BACKEND_VARIABLE) or _choose_engine(stored, network)
    return open_engine(engine, network)


def open_engine(engine: str, network: bytes) -> Backend:
    """Return a network in one of ``ONNX_ENGINES``.

    Args:
        engine: Its name.
        network: From :func:`bunri.model.onnx_file.cut_network`.

    Raises:
        InputError: There is no such engine.
        MissingExtraError: It is not installed.
        ModelError: It cannot run the network.
    """
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


def _choose_engine(stored: StoredModel, network: bytes) -> str:
    """Return the fastest engine on this machine, from memory if it was measured before."""
    installed = [name for name in ONNX_ENGINES if importlib.util.find_spec(name)]
    if len(installed) < 2:
        return installed[0] if installed else ONNX_ENGINES[0]
    versions = [importlib.metadata.version(name) for name in installed]
    # The name of the machine, since home folders are shared between machines.
    facts = [stored.info.onnx_sha256, *versions, platform.node(), str(count_cores())]
    key = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:32]
    path = find_cache_folder() / "engines" / f"{key}.json"
    times_ms = _read_times(path)
    if times_ms is None:
        side_px = pad_to_stride(stored.info.preprocessing.size_px)
        times_ms = {name: _time_engine_ms(name, network, side_px) for name in installed}
        with suppress(OutputError):  # measured again next time, then
            write_json(path, times_ms)
    return min(installed, key=lambda name: times_ms[name])


def _read_times(path: Path) -> Mapping[str, float] | None:
    """Return what was measured; None where nothing was, or the file is damaged."""
    try:
        content = json.loads(path.read_text("utf-8"))
        times_ms = {name: float(content[name]) for name in ONNX_ENGINES}
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    return times_ms if all(math.isfinite(time_ms) for time_ms in times_ms.values()) else None


def _time_engine_ms(engine: str, network: bytes, side_px: int) -> float:
    """Return how long a frame takes; what cannot run the network is slower than all others."""
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
    return 1000 * statistics.median(times_s[1:])  # the first one sets memory up


def count_cores() -> int:
    """Return how many cores this process may use.

    ``$OMP_NUM_THREADS`` may say fewer, as it does for a worker of Ray, which has one.
    """
    can_ask = hasattr(os, "sched_getaffinity")  # not on macOS
    num_cores = len(os.sched_getaffinity(0)) if can_ask else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(num_cores, int(wanted)) if wanted.isdecimal() and int(wanted) else num_cores
