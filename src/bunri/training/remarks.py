"""Warnings and notes about settings and data before training."""

from collections import Counter

from bunri.core.classes import ClassTable
from bunri.images.frames import STRIDE_PX, pad_to_stride
from bunri.training.config import Config
from bunri.training.listener import TrainingListener
from bunri.training.samples.data import PhotoStore


def report_warnings(
    config: Config, table: ClassTable, train: PhotoStore, val: PhotoStore, to: TrainingListener
) -> None:
    """Report classes that cannot be learned and frames that are padded.

    Args:
        config: Settings of the run.
        table: Class table of both stores.
        train: Training photos.
        val: Validation photos.
        to: Listener that receives the reports.
    """
    warning = _describe_unseen(table, train, val)
    if warning:
        to.warn(warning)
    sizes = {
        "input.size_px": config.input.size_px,
        "augment.crop_size_px": config.augment.crop_size_px,
    }
    for name, size_px in sizes.items():
        if size_px is not None and pad_to_stride(size_px) != size_px:
            to.note(
                f"{name}={size_px} is no multiple of {STRIDE_PX}: frames are padded to "
                f"{pad_to_stride(size_px)}, and the padding is ignored."
            )


def _describe_unseen(table: ClassTable, train: PhotoStore, val: PhotoStore) -> str:
    """Return a warning of classes that no training photo has; empty if there are none."""
    seen = set().union(*train.list_classes())
    unseen = [index for index in range(1, len(table)) if index not in seen]
    if not unseen:
        return ""
    asked = Counter(index for present in val.list_classes() for index in present & set(unseen))
    names = ", ".join(table.names[index] for index in unseen)
    text = f"No training photo has {names}: a model cannot learn what it never sees."
    if asked:
        parts = ", ".join(f"{table.names[index]} in {asked[index]}" for index in sorted(asked))
        text += f" Validation photos have {parts}; the IoU there will be 0."
    return text
