"""The engine OpenVINO."""

import threading
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import openvino

from bunri.core.contracts import MAX_PHOTOS_AT_ONCE, FloatArray
from bunri.core.errors import ModelError, summarize
from bunri.model.onnx_file import FRAME
from bunri.predict.backends.sharing import SharedUse

_Shape = tuple[int, ...]
_ONE_AT_A_TIME = {"PERFORMANCE_HINT": "LATENCY"}


class OpenVinoBackend:
    """A network in memory, on the CPU; threads may share it.

    Args:
        precision: ``f32`` or ``bf16``. By default float32 stays float32: OpenVINO's own choice is
            bfloat16 where the CPU has it, which is faster and gives other classes at some pixels.
            An int8 network is left to that choice; next to its rounding the difference is none.

    Raises ModelError: OpenVINO cannot read the network.
    """

    def __init__(self, network: bytes, num_threads: int, precision: str | None = None) -> None:
        self._num_threads = num_threads
        self._core = openvino.Core()
        try:
            self._graph = self._core.read_model(network)
        except Exception as error:  # its own errors have no common base
            raise ModelError(f"OpenVINO cannot run the model: {summarize(error)}.") from error
        if precision is None and not _is_quantized(self._graph):
            precision = "f32"
        self._precision = precision
        self._pool = _RequestPool(self, num_streams=1)
        self._sharing = SharedUse(min(num_threads, MAX_PHOTOS_AT_ONCE), self._share)

    def compile(self, shape: _Shape | None, num_streams: int) -> Any:  # noqa: ANN401 (has no types)
        """Return the network compiled for frames of one shape, or of any."""
        config: dict[str, Any] = {"INFERENCE_NUM_THREADS": self._num_threads}
        config |= {"NUM_STREAMS": num_streams} if num_streams > 1 else _ONE_AT_A_TIME
        if self._precision is not None:
            config["INFERENCE_PRECISION_HINT"] = self._precision
        graph = self._graph
        if shape is not None:
            graph = graph.clone()
            graph.reshape({FRAME: shape})
        return self._core.compile_model(graph, "CPU", config)

    def predict_probs(self, pixels: FloatArray) -> FloatArray:
        """Return probabilities, float32 (C, h, w), of a network frame, float32 (3, h, w)."""
        frame = pixels[None]
        try:
            found = self._pool.find_request(frame.shape).infer({FRAME: frame}, share_inputs=True)
            probs: FloatArray = np.array(found[0][0], np.float32)
        except Exception as error:  # its own errors have no common base
            raise ModelError(f"OpenVINO cannot run the model: {summarize(error)}.") from error
        return probs

    def share_cores(self) -> AbstractContextManager[int]:
        """Yield the number of photos to predict at once, each on its share of the cores."""
        return self._sharing.hold()

    def _share(self, is_shared: bool) -> None:
        self._pool = _RequestPool(self, self._sharing.num_at_once if is_shared else 1)


class _RequestPool:
    """Compiled networks and each thread's requests to them."""

    def __init__(self, backend: OpenVinoBackend, num_streams: int) -> None:
        self._backend = backend
        self._num_streams = num_streams
        self._lock = threading.Lock()
        self._networks: dict[_Shape | None, Any] = {}
        self._requests = threading.local()

    def find_request(self, shape: _Shape) -> Any:  # noqa: ANN401 (has no types)
        """Return this thread's request for frames of a shape.

        The first shape has a network compiled for it alone, a tenth faster: a camera's photos are
        all alike. Compiling takes half a second, so all other shapes share one network.
        """
        with self._lock:
            key = shape if not self._networks or shape in self._networks else None
            if key not in self._networks:
                self._networks[key] = self._backend.compile(key, self._num_streams)
            network = self._networks[key]
        by_key = self._requests.__dict__.setdefault("by_key", {})
        if key not in by_key:
            by_key[key] = network.create_infer_request()
        return by_key[key]


def _is_quantized(graph: Any) -> bool:  # noqa: ANN401 (has no types)
    return any(node.get_type_name() == "FakeQuantize" for node in graph.get_ops())
