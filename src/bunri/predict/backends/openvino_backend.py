"""Runs a network with OpenVINO.

Owns how it is compiled. Knows nothing of files.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import openvino

from bunri.core.contracts import MAX_PHOTOS_AT_ONCE, FloatArray
from bunri.core.errors import ModelError, summarize
from bunri.model.onnx_file import FRAME

_Shape = tuple[int, ...]
_ONE_AT_A_TIME = {"PERFORMANCE_HINT": "LATENCY"}


class OpenVinoBackend:
    """A network in memory, on the CPU; threads may share it.

    Args:
        network: From :func:`bunri.model.onnx_file.cut_network`.
        num_threads: For each photo.
        precision: ``f32`` or ``bf16``; by itself float32 stays float32. OpenVINO's own choice is
            bfloat16 where the CPU has it, which is faster and gives other classes at some pixels:
            so has int8, next to which the difference is none, and what is not quantised there is
            left to that choice.

    Raises:
        ModelError: It is no network.
    """

    def __init__(self, network: bytes, num_threads: int, precision: str | None = None) -> None:
        self._precision = precision
        self._num_threads = num_threads
        self._start(num_streams=1)
        self._core = openvino.Core()
        try:
            self._graph = self._core.read_model(network)
        except Exception as error:  # its own errors have no common base
            raise ModelError(f"OpenVINO cannot run the model: {summarize(error)}.") from error

    def _start(self, num_streams: int) -> None:
        """Begin anew, for so many photos at once, which share the threads."""
        self._num_streams = num_streams
        self._lock = threading.Lock()
        self._networks: dict[_Shape | None, Any] = {}
        self._requests = threading.local()

    def _find_request(self, shape: _Shape) -> Any:  # noqa: ANN401 (has no types)
        """Return what runs frames of a shape in this thread.

        The first shape has a network for itself, a tenth faster: a camera's photos are all alike.
        A network takes half a second to compile, so that all other shapes share one.
        """
        with self._lock:
            key = shape if not self._networks or shape in self._networks else None
            if key not in self._networks:
                self._networks[key] = self._compile(key)
        if not hasattr(self._requests, "by_key"):
            self._requests.by_key = {}
        if key not in self._requests.by_key:
            self._requests.by_key[key] = self._networks[key].create_infer_request()
        return self._requests.by_key[key]

    def _compile(self, shape: _Shape | None) -> Any:  # noqa: ANN401 (has no types)
        config: dict[str, Any] = {"INFERENCE_NUM_THREADS": self._num_threads}
        config |= {"NUM_STREAMS": self._num_streams} if self._num_streams > 1 else _ONE_AT_A_TIME
        if self._precision or not _is_quantized(self._graph):
            config["INFERENCE_PRECISION_HINT"] = self._precision or "f32"
        graph = self._graph
        if shape is not None:
            graph = graph.clone()
            graph.reshape({FRAME: shape})
        return self._core.compile_model(graph, "CPU", config)

    def predict_probs(self, pixels: FloatArray) -> FloatArray:
        """Return probabilities, float32 (C, h, w), of a network frame, float32 (3, h, w).

        Raises:
            ModelError: It cannot be run, or fails on this frame.
        """
        frame = pixels[None]
        try:
            found = self._find_request(frame.shape).infer({FRAME: frame}, share_inputs=True)
            probs: FloatArray = np.array(found[0][0], np.float32)
        except Exception as error:  # its own errors have no common base
            raise ModelError(f"OpenVINO cannot run the model: {summarize(error)}.") from error
        return probs

    @contextmanager
    def share_cores(self) -> Iterator[int]:
        """Give how many photos to predict at once, and let each have its share of the cores."""
        num_at_once = min(self._num_threads, MAX_PHOTOS_AT_ONCE)
        self._start(num_at_once)
        try:
            yield num_at_once
        finally:
            self._start(num_streams=1)


def _is_quantized(graph: Any) -> bool:  # noqa: ANN401 (has no types)
    return any(node.get_type_name() == "FakeQuantize" for node in graph.get_ops())
