"""Photos of a labelled set, checked against the sizes their JSON states."""

from bunri.core.contracts import ImageArray
from bunri.core.errors import ImageError
from bunri.images.photos import read_photo, read_size_hw
from bunri.labels.records import LabelledSet, Photo


def read_photo_as_labelled(dataset: LabelledSet, photo: Photo) -> ImageArray:
    """Return a photo, uint8 (H, W, 3) RGB, after a check that it has the size that its JSON states.

    Raises:
        InputError: The photo cannot be read, or has another size.
    """
    image = read_photo(dataset.path_of(photo))
    _check_size(dataset, photo, (image.shape[0], image.shape[1]))
    return image


def check_photo_headers(dataset: LabelledSet) -> None:
    """Raise an error if files are not photos or not of the size that their JSON states.

    Only headers are read, which is quick but does not find truncated photos.

    Raises:
        ImageError: Photos cannot be used; all of them are listed.
    """
    problems = []
    for photo in dataset.photos:
        try:
            _check_size(dataset, photo, read_size_hw(dataset.path_of(photo)))
        except ImageError as error:
            problems.append(error.message)
    if problems:
        raise ImageError(f"{len(problems)} photo(s) cannot be used:", problems=problems)


def _check_size(dataset: LabelledSet, photo: Photo, size_hw: tuple[int, int]) -> None:
    if size_hw != photo.size_hw:
        raise ImageError(
            f"{photo.file_name!r} is {size_hw[1]}x{size_hw[0]}, "
            f"{dataset.source.name} says {photo.width_px}x{photo.height_px} (width x height)."
        )
