"""Runs a network with ONNX Runtime.

Owns its session. Knows nothing of files.
"""

from typing import Any

import onnxruntime

from bunri.contracts import FloatArray, ModelError, summarize
from bunri.onnx_file import FRAME, FRAME_PROBS

_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
_ERRORS_ONLY = 3


class OnnxBackend:
    """A network in memory, on the GPU if ONNX Runtime has one; threads may share it.

    Args:
        network: From :func:`bunri.onnx_file.cut_network`.
        num_threads: For each photo; None for one a core.

    Raises:
        ModelError: It cannot be run.
    """

    def __init__(self, network: bytes, num_threads: int | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = num_threads or 0
        installed = onnxruntime.get_available_providers()
        providers = [name for name in _PROVIDERS if name in installed]
        try:
            self._session: Any = onnxruntime.InferenceSession(network, options, providers)
        except Exception as error:  # its own errors have no common base
            raise ModelError(f"ONNX Runtime cannot run the model: {summarize(error)}.") from error

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
