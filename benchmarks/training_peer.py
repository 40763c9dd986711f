"""The peer of ``training.py``: a typical script with segmentation_models.pytorch and Lightning.

Trains the same network with the same augmentation, batch and optimiser, without bunri, and writes
one JSON line: the seconds of the last epoch and of the time between its steps. It is started by
``training.py``.
"""

import argparse
import contextlib
import io
import json
import logging
import time
import warnings
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import segmentation_models_pytorch as smp
import torch
from PIL import Image
from pycocotools.coco import COCO
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import tv_tensors
from torchvision.transforms import v2

NUM_CLASSES = 12


class CocoMasks(Dataset[tuple[Tensor, Tensor]]):
    """Photos decoded and masks drawn at each access, like in the 2021 notebook."""

    def __init__(self, path: Path, crop_px: int) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self._coco = COCO(str(path))
        self._folder = path.parent
        self._ids = sorted(self._coco.getImgIds())
        category_ids = sorted(self._coco.getCatIds())
        self._index_of = {id_: index for index, id_ in enumerate(category_ids, start=1)}
        self._transform = v2.Compose(
            [
                v2.RandomResizedCrop(crop_px, scale=(0.1, 1.0), ratio=(0.75, 1.3333)),
                v2.RandomHorizontalFlip(0.5),
                v2.RandomVerticalFlip(0.5),
                v2.ColorJitter(0.4, 0.4, 0.4, 0.03),
                v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
                v2.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
            ]
        )

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        row = self._coco.loadImgs(self._ids[position])[0]
        photo = Image.open(self._folder / row["file_name"]).convert("RGB")
        mask = np.zeros((row["height"], row["width"]), np.uint8)
        for annotation in self._coco.loadAnns(self._coco.getAnnIds(imgIds=[row["id"]])):
            value = self._index_of[annotation["category_id"]]
            mask = np.maximum(self._coco.annToMask(annotation) * np.uint8(value), mask)
        pixels, target = self._transform(v2.functional.to_image(photo), tv_tensors.Mask(mask))
        return pixels, target.long()


class Segmenter(lightning.LightningModule):
    """FPN, cross-entropy and Dice, AdamW."""

    def __init__(self) -> None:
        super().__init__()
        self.network = smp.FPN(
            "tu-tf_efficientnet_lite0",
            encoder_weights=None,
            classes=NUM_CLASSES,
            decoder_pyramid_channels=128,
            decoder_segmentation_channels=64,
        )
        self.cross_entropy = torch.nn.CrossEntropyLoss()
        self.dice = smp.losses.DiceLoss("multiclass")

    def training_step(self, batch: tuple[Tensor, Tensor], _number: int) -> Tensor:
        """Return the loss of a batch."""
        pixels, targets = batch
        logits = self.network(pixels)
        loss: Tensor = self.cross_entropy(logits, targets) + self.dice(logits, targets)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimiser."""
        return torch.optim.AdamW(self.parameters(), lr=7e-4, weight_decay=1e-2)


class Clock(lightning.Callback):
    """Measures the time of an epoch and of the gaps between its steps, mostly waiting."""

    def __init__(self) -> None:
        self._started = self._ended_step = 0.0
        self.train_s = self.wait_s = 0.0

    def on_train_epoch_start(self, *_: Any) -> None:  # noqa: ANN401 (Lightning's arguments)
        """Start the clock."""
        self._started = self._ended_step = time.monotonic()
        self.wait_s = 0.0

    def on_train_batch_start(self, *_: Any) -> None:  # noqa: ANN401
        """Add up the time since the step before."""
        self.wait_s += time.monotonic() - self._ended_step

    def on_train_batch_end(self, *_: Any) -> None:  # noqa: ANN401
        """Record the end of a step."""
        self._ended_step = time.monotonic()

    def on_train_epoch_end(self, *_: Any) -> None:  # noqa: ANN401
        """Stop the clock."""
        self.train_s = time.monotonic() - self._started


def main() -> None:
    """Train, and write the measured times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    for name in ("samples", "batch", "crop", "workers", "epochs"):
        parser.add_argument(f"--{name}", type=int, required=True)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    lightning.seed_everything(21, verbose=False)
    dataset = CocoMasks(arguments.data, arguments.crop)
    sampler = RandomSampler(dataset, replacement=True, num_samples=arguments.samples)
    loader = DataLoader(
        dataset, arguments.batch, sampler=sampler, num_workers=arguments.workers, drop_last=True
    )
    clock = Clock()
    trainer = lightning.Trainer(
        max_epochs=arguments.epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[clock],
    )
    trainer.fit(Segmenter(), loader)
    line = json.dumps({"train_s": clock.train_s, "wait_s": clock.wait_s})
    arguments.out.write_text(line + "\n", "utf-8")


if __name__ == "__main__":
    main()
