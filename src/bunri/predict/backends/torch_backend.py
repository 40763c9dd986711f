"""Runs a bundle's network with torch.

Owns devices and tensors. Takes and gives numpy arrays, so nothing else needs torch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from bunri.core.contracts import MAX_PHOTOS_AT_ONCE, FloatArray
from bunri.model.info import BundleInfo
from bunri.training.networks.build import load_network
from bunri.training.networks.inference import compute_logits, to_probs


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

    @contextmanager
    def share_cores(self) -> Iterator[int]:
        """Give how many photos to predict at once, and let each have its share of the cores.

        The layers of a small network are too short to be worth dividing: two photos on a core
        each take less time than one after the other on both.
        """
        num_threads = torch.get_num_threads()
        num_at_once = min(num_threads, MAX_PHOTOS_AT_ONCE) if self._device.type == "cpu" else 1
        torch.set_num_threads(num_threads // num_at_once)
        try:
            yield num_at_once
        finally:
            torch.set_num_threads(num_threads)
