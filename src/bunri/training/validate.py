"""Validation: loss and confusion matrices of a network on labelled photos."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from bunri.core.contracts import IGNORE_INDEX, MaskArray
from bunri.images.decider import Decider
from bunri.images.drawing import Comparison
from bunri.images.frames import Frame, Preprocessing, resize_mask
from bunri.images.planes import FramePlanes
from bunri.scores.confusion import Matrices, count_confusion
from bunri.training.config import Config, LossConfig
from bunri.training.losses.losses import compute_loss
from bunri.training.networks.inference import compute_logits, to_probs
from bunri.training.processes import ALONE, Processes
from bunri.training.samples.data import PhotoStore


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """Result of one pass over the validation photos."""

    loss: float  # mean over batches, as in the 2021 notebook
    matrices: Matrices  # int64 (N, C, C), one per photo in the order of the set
    samples: list[Comparison]  # this process's first photos, for pictures


@torch.no_grad()
def validate(
    network: nn.Module,
    store: PhotoStore,
    config: Config,
    device: torch.device,
    processes: Processes = ALONE,
    advance: Callable[[], None] = lambda: None,
) -> Validation:
    """Predict every photo of ``store`` and count its pixels by class.

    The loss is taken in the network's frame; masks are compared at the photo's own size.
    Processes take whole batches in turn and add up their counts; ``advance`` is called after each
    round of batches, equally often in all of them.
    """
    preprocessing = Preprocessing.build(config.input.size_px, config.input.normalization)
    batch_size, num_classes = config.train.batch_size, len(store.items[0].dataset.table)
    positions = range(len(store))
    batches = [positions[start : start + batch_size] for start in positions[::batch_size]]
    losses = torch.zeros(len(batches), dtype=torch.float64)
    matrices = torch.zeros((len(store), num_classes, num_classes), dtype=torch.int64)
    samples: list[Comparison] = []
    decider = Decider.plain(num_classes)
    for start in range(0, len(batches), processes.count):
        for number in range(start, len(batches))[processes.rank : processes.rank + 1]:
            pairs = [store.load(index) for index in batches[number]]
            frames = [preprocessing.prepare(image) for image, _ in pairs]
            logits = [compute_logits(network, frame.pixels, device) for frame in frames]
            targets = [
                _frame_targets(mask, frame) for (_, mask), frame in zip(pairs, frames, strict=True)
            ]
            losses[number] = _batch_loss(logits, targets, config.loss)
            for index, (image, truth), frame, scores in zip(
                batches[number], pairs, frames, logits, strict=True
            ):
                prediction = decider.choose(FramePlanes.from_frame(to_probs(scores), frame))
                counts = count_confusion(truth, prediction, num_classes)
                matrices[index] = torch.from_numpy(counts)
                if len(samples) < config.train.num_sample_pictures:
                    samples.append(Comparison(image, truth, prediction))
        advance()
    loss = float(np.mean(processes.sum_up(losses).numpy()))
    return Validation(loss, processes.sum_up(matrices).numpy(), samples)


def _frame_targets(mask: MaskArray, frame: Frame) -> Tensor:
    """Return the mask in the network's frame, int64 (1, h, w), padding ignored."""
    height, width = frame.content_hw
    targets = np.full(frame.pixels.shape[1:], IGNORE_INDEX, np.int64)
    targets[:height, :width] = resize_mask(mask, frame.content_hw)
    return torch.from_numpy(targets).unsqueeze(0)


def _batch_loss(logits: list[Tensor], targets: list[Tensor], config: LossConfig) -> float:
    """Return the loss of a batch; groups of equal shape are weighted by their size."""
    total = 0.0
    for shape in dict.fromkeys(scores.shape for scores in logits):
        group = [i for i, scores in enumerate(logits) if scores.shape == shape]
        scores = torch.cat([logits[i] for i in group])
        truth = torch.cat([targets[i] for i in group]).to(scores.device)
        total += float(compute_loss(scores, truth, config)) * len(group)
    return total / len(logits)
