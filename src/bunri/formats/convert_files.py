"""Conversion of label files, with the loss measured by reading the result back."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bunri.core.progress import Progress, show_nothing
from bunri.formats.archive import open_source
from bunri.formats.base import Format, ReadOptions
from bunri.formats.convert import Loss, Written, measure_loss, write_labels
from bunri.formats.registry import detect_format, get_format
from bunri.formats.tables import read_class_table
from bunri.labels.coco import read_coco
from bunri.labels.rules import OverlapRule


@dataclass(frozen=True, slots=True)
class Conversion:
    """Outcome of a conversion.

    Attributes:
        source_format: Format that was read.
        target_format: Format that was written.
        written: Numbers of photos, objects and bytes.
        warnings: Notes of the reader.
        loss: Pixels that differ after reading back; None if that was not asked for.
    """

    source_format: Format
    target_format: Format
    written: Written
    warnings: tuple[str, ...]
    loss: Loss | None

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        loss = self.loss
        return {
            **asdict(self.written),
            "warnings": list(self.warnings),
            "loss": None
            if loss is None
            else {
                "pixels": loss.num_pixels,
                "differing": loss.num_differing,
                "share": loss.share,
                "photos": [{"photo": name, "differing": count} for name, count in loss.worst],
            },
        }


def convert_files(
    source: Path,
    destination: Path,
    to: str,
    *,
    from_: str | None = None,
    images: Path | None = None,
    like: Path | None = None,
    classes: Path | None = None,
    overlap_rule: OverlapRule = "largest-first",
    copy_photos: bool = False,
    verify: bool = True,
    notify: Callable[[str], None] | None = None,
    progress: Progress = show_nothing,
) -> Conversion:
    """Convert labels from one format to another.

    Args:
        source: File, folder or .zip.
        destination: New file, or new or empty folder.
        to: Name of a format, one of :data:`bunri.formats.registry.FORMATS`.
        from_: Name of the format of ``source``; None to detect it.
        images: Folder of the photos; None for where the format has them.
        like: COCO file whose classes, ids and photo names ``source`` shares.
        classes: A classes.json, or a CSV of name, r, g and b.
        overlap_rule: Rule that decides which of several objects a pixel belongs to.
        copy_photos: Also copy photos to where the format expects them.
        verify: Read the result back and compare masks.
        notify: Receives a note on the format that was detected, before the file is read.
        progress: Progress display.

    Raises:
        InputError: There is no such format, or it cannot be detected.
        AnnotationError: ``source`` cannot be used.
        OutputError: ``destination`` cannot be written.
    """
    target = get_format(to)
    known = get_format(from_) if from_ is not None else None
    options = ReadOptions(
        image_root=images,
        table=None if classes is None else read_class_table(classes),
        like=None if like is None else read_coco(like),
        progress=progress,
    )
    with open_source(source) as place:
        if known is None:
            known, reason = detect_format(place)
            if notify is not None:
                notify(f"{source} is read as {known.name} ({reason}).")
        dataset = known.read(place, options)
        written = write_labels(
            dataset, destination, target, overlap_rule, copy_photos=copy_photos, progress=progress
        )
        loss = None
        if verify:
            loss = measure_loss(dataset, destination, target, overlap_rule, progress=progress)
    return Conversion(known, target, written, tuple(dataset.warnings), loss)
