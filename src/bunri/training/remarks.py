"""What people should know of settings and data before training, though nothing is wrong.

Owns the remarks. Who shows them is the listener's.
"""

from collections import Counter

from bunri.core.classes import ClassTable
from bunri.images.frames import STRIDE_PX, pad_to_stride
from bunri.training.config import Config
from bunri.training.listener import TrainingListener
from bunri.training.samples.data import PhotoStore


def tell_remarks(
    config: Config, table: ClassTable, train: PhotoStore, val: PhotoStore, to: TrainingListener
) -> None:
    """Tell a listener of classes that cannot be learned and of frames that are padded.

    Args:
        config: The run's settings.
        table: The class table of both stores.
        train: The training photos.
        val: The validation photos.
        to: Who is told.
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
                f"{pad_to_stride(size_px)}, and what is padded is ignored."
            )


def _describe_unseen(table: ClassTable, train: PhotoStore, val: PhotoStore) -> str:
    """Return which classes no training photo has, and which of them validation asks for."""
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
