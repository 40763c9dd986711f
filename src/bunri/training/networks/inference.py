"""Logits and probabilities of one photo.

Apart from the rest of training, so that prediction does not import it (a second and 35 MB).
"""

import torch
from torch import Tensor, nn

from bunri.core.contracts import FloatArray


def to_probs(logits: Tensor) -> FloatArray:
    """Return logits (1, C, h, w) as probabilities, float32 (C, h, w), on the CPU."""
    probs: FloatArray = logits[0].float().softmax(dim=0).cpu().numpy()
    return probs


def compute_logits(network: nn.Module, pixels: FloatArray, device: torch.device) -> Tensor:
    """Return logits (1, C, h, w) of a network frame, float32 (3, h, w)."""
    kind = next((parameter.dtype for parameter in network.parameters()), torch.float32)
    batch = torch.from_numpy(pixels).unsqueeze(0).to(device, kind)
    logits: Tensor = network(batch.contiguous(memory_format=torch.channels_last))
    return logits
