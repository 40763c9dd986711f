"""Photos of a labelled set, checked against the sizes their JSON states."""

from bunri.core.contracts import ImageArray
from bunri.core.errors import ImageError
from bunri.images.photos import read_photo, read_size_hw
from bunri.labels.records import LabelledSet, Photo


def read_photo_as_labelled(dataset: LabelledSet, photo: Photo) -> ImageArray:
    """Return a photo, uint8 (H, W, 3), sure to have the size that its JSON states.

    Raises:
        ImageError: It cannot be read, or has another size.
        PathError: It would leave the image root.
    """
    image = read_photo(dataset.path_of(photo))
    _check_size(dataset, photo, (image.shape[0], image.shape[1]))
    return image


def check_photo_headers(dataset: LabelledSet) -> None:
    """Refuse photos that are no photos or not of the size their JSON states; quick.

    Only headers are read, so a photo that is cut off further on is not found here.

    Raises:
        ImageError: All of them are listed.
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
