"""Photo to network frame and back: the one preprocessing that everything shares.

Owns decoding, the resize rule, the normalisation and their inverse. Knows nothing of
networks: it is told a frame size and a normalisation, and gives arrays.

Frames. The *photo's own frame* is what a person sees: upright, H x W. The *network frame* is
the photo scaled so that its longer side is ``size_px`` and padded at the bottom and right to
a multiple of 32. Masks and probabilities that leave bunri are always in the photo's own frame.
"""

import io
import struct
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import numpy as np
from PIL import Image, UnidentifiedImageError

from bunri.annotations.records import LabelledSet, Photo
from bunri.config import STRIDE_PX, InputConfig, Normalization
from bunri.contracts import (
    MAX_PHOTO_BYTES,
    MAX_PHOTO_PIXELS,
    FloatArray,
    ImageArray,
    ImageError,
    MaskArray,
    summarize,
)
from bunri.resizing import resize_plane, resize_planes

PHOTO_FORMATS = ("JPEG", "PNG", "WEBP")
PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})

_MEAN_STD: dict[Normalization, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
# EXIF orientation -> what makes the picture upright; 1 is upright already.
_TURNS: dict[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_photo(path: Path) -> ImageArray:
    """Decode a photo, upright.

    Returns:
        uint8 (H, W, 3) RGB.

    Raises:
        ImageError: Missing, empty, too large, truncated, or not JPEG, PNG or WebP.
    """
    return decode_photo(_read_content(path), name=str(path))


def read_index_mask(path: Path) -> MaskArray:
    """Return the values of an 8-bit PNG, grey or with a palette, as they are: uint8 (H, W).

    Raises:
        ImageError: Missing, empty, too large, truncated, or not such a PNG.
    """
    content = _read_content(path)
    with _open_photo(io.BytesIO(content), str(path)) as picture:
        if picture.format != "PNG" or picture.mode not in ("P", "L"):
            raise ImageError(
                f"{path} is a {picture.format} of mode {picture.mode}; a mask of class indices "
                "must be a PNG with 8 bits a pixel, grey or with a palette."
            )
        return np.array(picture, np.uint8)


def _read_content(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_PHOTO_BYTES:
            raise ImageError(f"{path} has {size} bytes; the limit is {MAX_PHOTO_BYTES}.")
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # a name that no file can have
        raise ImageError(f"{path} cannot be read: {summarize(error)}.") from error


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


def decode_photo(content: bytes, *, name: str = "photo") -> ImageArray:
    """Decode the bytes of a JPEG, PNG or WebP, upright.

    Size limits are checked on the header, before pixels are decoded. Transparent pixels are
    laid on white; of an animation the first picture is taken.

    Args:
        content: The file's bytes.
        name: How error messages call it.

    Returns:
        uint8 (H, W, 3) RGB.

    Raises:
        ImageError: Empty, too large, damaged, or of another format.
    """
    with _open_photo(io.BytesIO(content), name) as picture:
        turn = _TURNS.get(read_orientation(picture))
        upright = picture if turn is None else picture.transpose(turn)
        return np.asarray(_convert_to_rgb(upright))


@contextmanager
def _open_photo(file: IO[bytes], name: str) -> Iterator[Image.Image]:
    """Open a photo by its header, within the limits; say of any damage what it is."""
    start = file.read(8)
    file.seek(0)
    if not start:
        raise ImageError(f"{name} is empty (0 bytes).")
    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures on its own; our limit is checked just below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file, formats=PHOTO_FORMATS) as picture:
                _check_pixels(picture, name)
                yield picture
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name} is not a photo that bunri reads ({', '.join(PHOTO_FORMATS)}); "
            f"it starts with {start!r}."
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} has more than {MAX_PHOTO_PIXELS} pixels.") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"{name} is damaged or truncated: {error}.") from error


def read_orientation(picture: Image.Image) -> object:
    """Return the EXIF orientation, 1 where there is none.

    Damaged EXIF may hold anything, and is no reason to refuse a photo.
    """
    try:
        return picture.getexif().get(0x0112, 1)
    except (struct.error, LookupError, TypeError, AttributeError):
        return 1


def is_quarter_turn(orientation: object) -> bool:
    """Return whether an EXIF orientation swaps height and width."""
    return orientation in (5, 6, 7, 8)


def _check_pixels(picture: Image.Image, name: str) -> None:
    if picture.width * picture.height > MAX_PHOTO_PIXELS:
        raise ImageError(
            f"{name} is {picture.width}x{picture.height}; the limit is {MAX_PHOTO_PIXELS} pixels."
        )


def _convert_to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16") or picture.mode == "I":
        # 16-bit grey: Pillow's own conversion would clip everything above 255 to white.
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        colored = picture.convert("RGBA")
        ground = Image.new("RGBA", colored.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, colored).convert("RGB")
    return picture if picture.mode == "RGB" else picture.convert("RGB")  # which would copy it


def read_size_hw(path: Path) -> tuple[int, int]:
    """Return a photo's upright height and width in pixels from its header alone.

    Raises:
        ImageError: Missing, empty, too large, or not JPEG, PNG or WebP.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # a name that no file can have
        raise ImageError(f"{path} cannot be read: {summarize(error)}.") from error
    with file, _open_photo(file, str(path)) as picture:
        is_turned = is_quarter_turn(read_orientation(picture))
        return picture.size if is_turned else (picture.height, picture.width)


@dataclass(frozen=True, slots=True)
class Frame:
    """A photo as the network sees it, and what is needed to go back.

    Attributes:
        pixels: float32 (3, h, w), normalised, h and w multiples of 32; padding is 0.
        content_hw: Height and width in ``pixels`` that the photo fills, from the top left.
        photo_hw: Height and width of the photo itself.
    """

    pixels: FloatArray
    content_hw: tuple[int, int]
    photo_hw: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """The resize rule and normalisation of one model; stored in its bundle.

    Attributes:
        size_px: Longer side of the photo in the network frame.
        mean_rgb: Subtracted from pixels scaled to 0..1.
        std_rgb: What the difference is divided by.
    """

    size_px: int
    mean_rgb: tuple[float, ...]
    std_rgb: tuple[float, ...]

    @classmethod
    def from_config(cls, config: InputConfig) -> Self:
        """Return the preprocessing that settings ask for."""
        return cls(config.size_px, *_MEAN_STD[config.normalization])

    def prepare(self, image: ImageArray) -> Frame:
        """Return ``image``, uint8 (H, W, 3) RGB, in the network frame."""
        height, width = image.shape[:2]
        content_hw = fit_size_hw((height, width), self.size_px)
        pixels = self.frame(resize_image(image, content_hw))
        return Frame(pixels, content_hw, (height, width))

    def frame(self, content: ImageArray) -> FloatArray:
        """Return what is resized already, uint8 (h, w, 3), normalised and padded for a network."""
        height, width = content.shape[:2]
        frame_hw = pad_to_stride(height), pad_to_stride(width)
        make = np.empty if frame_hw == (height, width) else np.zeros
        pixels = make((3, *frame_hw), np.float32)
        self._normalize_into(content, pixels[:, :height, :width])
        return pixels

    def normalize(self, image: ImageArray) -> FloatArray:
        """Return ``image``, uint8 (H, W, 3), as float32 (3, H, W) with the model's statistics."""
        result = np.empty((3, *image.shape[:2]), np.float32)
        self._normalize_into(image, result)
        return result

    def _normalize_into(self, image: ImageArray, result: FloatArray) -> None:
        scale = 1.0 / (255.0 * np.asarray(self.std_rgb, np.float32))
        shift = np.asarray(self.mean_rgb, np.float32) / np.asarray(self.std_rgb, np.float32)
        for channel, plane in enumerate(result):  # faster than all at once
            np.multiply(image[:, :, channel], scale[channel], out=plane)
            np.subtract(plane, shift[channel], out=plane)


def pad_to_stride(side_px: int) -> int:
    """Return the next multiple of 32, which networks need."""
    return -(-side_px // STRIDE_PX) * STRIDE_PX


def fit_size_hw(size_hw: tuple[int, int], longer_px: int) -> tuple[int, int]:
    """Return the size with the same aspect whose longer side is ``longer_px``, at least 1."""
    longest = max(size_hw)
    height, width = (max(1, round(side * longer_px / longest)) for side in size_hw)
    return height, width


def resize_image(image: ImageArray, size_hw: tuple[int, int]) -> ImageArray:
    """Return ``image``, uint8 (H, W, 3), at another size: bilinear, antialiased when shrinking."""
    if image.shape[:2] == size_hw:
        return image
    picture = Image.fromarray(image).resize(size_hw[::-1], Image.Resampling.BILINEAR)
    return np.asarray(picture)


def resize_mask(mask: MaskArray, size_hw: tuple[int, int]) -> MaskArray:
    """Return ``mask``, uint8 (H, W), at another size by nearest neighbour; no new values."""
    if mask.shape == size_hw:
        return mask
    return np.asarray(Image.fromarray(mask).resize(size_hw[::-1], Image.Resampling.NEAREST))


def restore_planes(probs: FloatArray, frame: Frame) -> Iterator[FloatArray]:
    """Yield what :func:`restore_probs` returns class by class, each float32 (H, W).

    Nobody holds all classes at the photo's size then: for 12 megapixels that is 576 MB.

    Args:
        probs: As of :func:`crop_content`.
        frame: What the network was given.
    """
    height, width = frame.pixels.shape[1:]
    for plane in crop_content(probs, (height, width), frame.content_hw):
        yield resize_plane(plane, frame.photo_hw)


def crop_content(
    probs: FloatArray, frame_hw: tuple[int, int], content_hw: tuple[int, int]
) -> FloatArray:
    """Return probabilities without those of the padding.

    They stay as coarse as they are where whole cells hold the content, and are brought to the
    frame's size first where its edge runs through cells.

    Args:
        probs: float32 (C, h / s, w / s) over the frame, at the stride s of the network.
        frame_hw: Height and width of the frame: h, w.
        content_hw: Of what is no padding in it, from the top left.
    """
    height, width = content_hw
    stride = frame_hw[0] // probs.shape[1]
    if height % stride or width % stride:
        probs = resize_planes(probs, frame_hw)
        stride = 1
    return probs[:, : height // stride, : width // stride]


def restore_probs(probs: FloatArray, frame: Frame) -> FloatArray:
    """Return probabilities of the network frame in the photo's own frame.

    The exact inverse of :meth:`Preprocessing.prepare`: padding is cut off, then each class is
    interpolated bilinearly; interpolation keeps the sum over classes at 1.

    Args:
        probs: As of :func:`crop_content`.
        frame: What the network was given.

    Returns:
        float32 (C, H, W).
    """
    return np.stack(list(restore_planes(probs, frame)))


def restore_mask(probs: FloatArray, frame: Frame) -> MaskArray:
    """Return the most probable class of each pixel of the photo.

    The same as argmax of ``restore_probs(...)`` without ever holding all classes at the photo's
    size: a 12-megapixel photo would need 576 MB.

    Args:
        probs: As of :func:`crop_content`.
        frame: What the network was given.

    Returns:
        uint8 (H, W).
    """
    return choose_classes(restore_planes(probs, frame))[0]


def choose_classes(planes: Iterable[FloatArray]) -> tuple[MaskArray, FloatArray]:
    """Return the most probable class of each pixel, and how probable it is.

    Args:
        planes: Class by class the probabilities, float32 (H, W); at least one class.

    Returns:
        uint8 (H, W), the lower index between equals, and float32 (H, W).
    """
    rest = iter(planes)
    best = next(rest).copy()
    mask = np.zeros(best.shape, np.uint8)
    for index, plane in enumerate(rest, start=1):
        wins = plane > best
        mask[wins] = index
        np.copyto(best, plane, where=wins)
    return mask, best
