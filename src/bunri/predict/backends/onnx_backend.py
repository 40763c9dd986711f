"""The engine ONNX Runtime."""

from contextlib import AbstractContextManager
from typing import Any

import onnxruntime

from bunri.core.contracts import MAX_PHOTOS_AT_ONCE, FloatArray
from bunri.core.errors import ModelError, summarize
from bunri.model.onnx_file import FRAME, FRAME_PROBS
from bunri.predict.backends.sharing import SharedUse

_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
_ERRORS_ONLY = 3


class OnnxBackend:
    """A network in memory, on the GPU if ONNX Runtime has one; threads may share it.

    Raises ModelError: ONNX Runtime cannot run it.
    """

    def __init__(self, network: bytes, num_threads: int) -> None:
        self._network = network
        self._num_threads = num_threads
        self._whole = self._session = _open_session(network, num_threads)
        is_on_gpu = self._whole.get_providers()[0] != _PROVIDERS[-1]
        self._sharing = SharedUse(
            1 if is_on_gpu else min(num_threads, MAX_PHOTOS_AT_ONCE), self._share
        )

    def predict_probs(self, pixels: FloatArray) -> FloatArray:
        """Return probabilities, float32 (C, h, w), of a network frame, float32 (3, h, w)."""
        try:
            probs: FloatArray = self._session.run([FRAME_PROBS], {FRAME: pixels[None]})[0][0]
        except Exception as error:  # its own errors have no common base
            raise ModelError(f"ONNX Runtime cannot run the model: {summarize(error)}.") from error
        return probs

    def share_cores(self) -> AbstractContextManager[int]:
        """Yield the number of photos to predict at once, each on its share of the cores."""
        return self._sharing.hold()

    def _share(self, is_shared: bool) -> None:
        # A session owns its threads: those of one photo cannot be lent to another.
        num_threads = self._num_threads // self._sharing.num_at_once
        self._session = _open_session(self._network, num_threads) if is_shared else self._whole


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
