"""Checks before a score is made on labels: they are true, and the model never saw the photos."""

from bunri.core.contracts import BACKGROUND_INDEX
from bunri.core.errors import InputError
from bunri.core.progress import Progress, show_nothing
from bunri.images.similarity import hash_pixels
from bunri.labels.coco import require_labels, require_truth
from bunri.labels.photos import check_photo_headers, read_photo_as_labelled
from bunri.labels.pseudo import shorten_hash
from bunri.labels.records import LabelledSet


def check_truth(dataset: LabelledSet, *, allow_pseudo: bool = False) -> list[str]:
    """Refuse pseudo-labels, and sets without labels; return warnings, one sentence each.

    Raises:
        AnnotationError: The set has no photos, no labels, or pseudo-labels.
    """
    require_labels(dataset)
    if not allow_pseudo:
        require_truth(dataset)
    if dataset.annotations:
        return []
    background = dataset.table.names[BACKGROUND_INDEX]
    return [f"{dataset.source} holds no object: every pixel of its photos counts as {background}."]


def check_unseen(
    photo_hashes: frozenset[str] | None,
    model: str,
    dataset: LabelledSet,
    *,
    allow_trained: bool = False,
    progress: Progress = show_nothing,
) -> list[str]:
    """Refuse photos that a model or a teacher of it was trained on; return warnings as sentences.

    ``photo_hashes`` are those of the model's :class:`~bunri.model.info.BundleInfo`. Pixels are
    compared: edited copies are not found, ``bunri doctor --against`` finds those.

    Raises:
        InputError: The model was trained on some of the photos; they are listed.
    """
    if photo_hashes is None:
        text = f"{model} does not record its training photos (an early version of bunri made it): "
        return [text + "bunri cannot check whether it was trained on these photos."]
    check_photo_headers(dataset)
    names = []
    with progress("Searching for training photos", len(dataset.photos)) as advance:
        for photo in dataset.photos:
            if shorten_hash(hash_pixels(read_photo_as_labelled(dataset, photo))) in photo_hashes:
                names.append(photo.file_name)
            advance()
    what = (
        f"{len(names)} of {len(dataset.photos)} photos in {dataset.source} are among those that "
        f"{model}, or a teacher of it, was trained on"
    )
    if names and not allow_trained:
        raise InputError(
            f"{what}:",
            problems=list(map(repr, names)),
            hint="Score on other photos. To score on these all the same, name the file: "
            f"--allow-trained {dataset.source}",
        )
    return [f"{what}: this is not a score on unseen photos."] if names else []
