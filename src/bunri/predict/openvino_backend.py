"""Runs a network with OpenVINO.

Owns how it is compiled. Knows nothing of files.
"""

import threading
from typing import Any

import numpy as np
import openvino

from bunri.contracts import FloatArray, ModelError, summarize
from bunri.onnx_file import FRAME


class OpenVinoBackend:
    """A network in memory, on the CPU; threads may share it.

    Args:
        network: From :func:`bunri.onnx_file.cut_network`.
        num_threads: For each photo; None for one a core.
        precision: Of what is not quantised. By itself OpenVINO takes bfloat16 where the CPU has
            it, which is faster and gives other classes at some pixels.

    Raises:
        ModelError: It cannot be run.
    """

    def __init__(
        self, network: bytes, num_threads: int | None = None, precision: str = "f32"
    ) -> None:
        config: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision,
        }
        if num_threads is not None:
            config["INFERENCE_NUM_THREADS"] = num_threads
        try:
            core = openvino.Core()
            self._network: Any = core.compile_model(core.read_model(network), "CPU", config)
        except Exception as error:  # its own errors have no common base
            raise ModelError(f"OpenVINO cannot run the model: {summarize(error)}.") from error
        self._requests = threading.local()

    def predict_probs(self, pixels: FloatArray) -> FloatArray:
        """Return probabilities, float32 (C, h, w), of a network frame, float32 (3, h, w).

        Raises:
            ModelError: It fails on this frame.
        """
        try:
            if not hasattr(self._requests, "one"):
                self._requests.one = self._network.create_infer_request()
            given = {FRAME: pixels[None]}
            probs: FloatArray = np.array(self._requests.one.infer(given)[0][0], np.float32)
        except Exception as error:  # its own errors have no common base
            raise ModelError(f"OpenVINO cannot run the model: {summarize(error)}.") from error
        return probs
