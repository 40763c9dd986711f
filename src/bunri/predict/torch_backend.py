"""Runs a bundle's network with torch.

Owns devices and tensors. Takes and gives numpy arrays, so nothing else needs torch.
"""

from pathlib import Path

import torch

from bunri.bundle_info import BundleInfo
from bunri.contracts import FloatArray
from bunri.learning.networks import load_network
from bunri.learning.validate import compute_logits, to_probs


class TorchBackend:
    """A network in memory, on the GPU if there is one.

    Args:
        folder: The bundle.
        info: What its ``bunri.json`` says.

    Raises:
        ModelError: Weights and architecture do not fit.
    """

    def __init__(self, folder: Path, info: BundleInfo) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network = load_network(folder, info)
        self._network = network.to(self._device).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def predict_probs(self, pixels: FloatArray) -> FloatArray:
        """Return probabilities, float32 (C, h, w), of a network frame, float32 (3, h, w)."""
        return to_probs(compute_logits(self._network, pixels, self._device))
