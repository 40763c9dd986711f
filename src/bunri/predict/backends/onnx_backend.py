"""Runs a network with ONNX Runtime.

Owns its session. Knows nothing of files.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnxruntime

from bunri.core.contracts import MAX_PHOTOS_AT_ONCE, FloatArray
from bunri.core.errors import ModelError, summarize
from bunri.model.onnx_file import FRAME, FRAME_PROBS

_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
_ERRORS_ONLY = 3


class OnnxBackend:
    """A network in memory, on the GPU if ONNX Runtime has one; threads may share it.

    Args:
        network: From :func:`bunri.model.onnx_file.cut_network`.
        num_threads: For each photo.

    Raises:
        ModelError: It cannot be run.
    """

    def __init__(self, network: bytes, num_threads: int) -> None:
        self._network = network
        self._num_threads = num_threads
        self._session = _open_session(network, num_threads)

    def predict_probs(self, pixels: FloatArray) -> FloatArray:
        """Return probabilities, float32 (C, h, w), of a network frame, float32 (3, h, w).

        Raises:
            ModelError: It fails on this frame.
        """
        try:
            probs: FloatArray = self._session.run([FRAME_PROBS], {FRAME: pixels[None]})[0][0]
        except Exception as error:  # its own errors have no common base
            raise ModelError(f"ONNX Runtime cannot run the model: {summarize(error)}.") from error
        return probs

    @contextmanager
    def share_cores(self) -> Iterator[int]:
        """Give how many photos to predict at once, and let each have its share of the cores."""
        num_at_once = min(self._num_threads, MAX_PHOTOS_AT_ONCE)
        if num_at_once == 1 or self._session.get_providers()[0] != _PROVIDERS[-1]:
            yield 1
            return
        alone = self._session
        # A session's threads are its own: those of one photo cannot be lent to another.
        self._session = _open_session(self._network, self._num_threads // num_at_once)
        try:
            yield num_at_once
        finally:
            self._session = alone


def _open_session(network: bytes, num_threads: int) -> Any:  # noqa: ANN401 (has no types)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = num_threads
    installed = onnxruntime.get_available_providers()
    providers = [name for name in _PROVIDERS if name in installed]
    try:
        return onnxruntime.InferenceSession(network, options, providers)
    except Exception as error:  # its own errors have no common base
        raise ModelError(f"ONNX Runtime cannot run the model: {summarize(error)}.") from error
