"""The engine torch, for bundles without an ONNX file; nothing else in this room needs torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from bunri.core.contracts import MAX_PHOTOS_AT_ONCE, FloatArray
from bunri.model.info import BundleInfo
from bunri.predict.backends.sharing import SharedUse
from bunri.training.networks.build import load_network
from bunri.training.networks.inference import compute_logits, to_probs


class TorchBackend:
    """A network in memory, on the GPU if there is one; threads may share it.

    Args:
        info: Content of its ``bunri.json``.

    Raises ModelError: weights and architecture do not fit.
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
        """Yield the number of photos to predict at once, each on its share of the cores.

        The layers of a small network are too short to be divided: two photos on a core each take
        less time than one after the other on both.
        """
        if self._device.type != "cpu":
            yield 1
            return
        with _SHARING.hold():
            yield _THREADS.num_at_once


class _Threads:
    """The number of torch's threads, which is the process's and not a network's."""

    num_whole = num_at_once = 1

    def share(self, is_shared: bool) -> None:
        """Set each photo's share of the threads, or put their number back."""
        if is_shared:
            self.num_whole = torch.get_num_threads()
            self.num_at_once = min(self.num_whole, MAX_PHOTOS_AT_ONCE)
        torch.set_num_threads(self.num_whole // self.num_at_once if is_shared else self.num_whole)


_THREADS = _Threads()
_SHARING = SharedUse(MAX_PHOTOS_AT_ONCE, _THREADS.share)  # one for all networks
