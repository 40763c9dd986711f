"""Reading of photos: decoding within limits, upright, RGB.

Arrays that leave this module are in the *photo's own frame*: upright, H x W, as a person sees it.
Masks and probabilities that leave bunri are in that frame, too; :mod:`bunri.images.frames` makes
the *network frame* of it.
"""

import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from bunri.core.contracts import (
    MAX_PHOTO_BYTES,
    MAX_PHOTO_PIXELS,
    ImageArray,
    MaskArray,
    check_image,
)
from bunri.core.errors import ImageError, summarize

PHOTO_FORMATS = ("JPEG", "PNG", "WEBP")
PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})

PhotoLike = str | os.PathLike[str] | bytes | IO[bytes] | Image.Image | npt.NDArray[np.uint8]
"""A photo as a path, encoded bytes, an open binary file, a PIL image or a uint8 (H, W, 3) array."""

_MAGIC_BYTES = 16
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


def load_photo(photo: PhotoLike) -> ImageArray:
    """Return a photo in whatever form it is given.

    Args:
        photo: Path, encoded bytes, open binary file, PIL image, or uint8 (H, W, 3) RGB array.

    Returns:
        uint8 (H, W, 3) RGB, upright; an array is returned as it is.

    Raises ImageError: the photo is missing, damaged or too large, or of another type or shape.
    """
    if isinstance(photo, np.ndarray):
        return check_image(photo)
    if isinstance(photo, bytes):
        return decode_photo(photo)
    if isinstance(photo, str | os.PathLike):
        if isinstance(photo, str) and "://" in photo:
            raise ImageError(f"{photo} is a URL; bunri reads files.", hint="Download it first.")
        return read_photo(Path(photo))
    try:
        if isinstance(photo, Image.Image):
            _check_pixels(photo, "photo")
            return _turn_upright(photo)
        if hasattr(photo, "read") and isinstance(content := photo.read(), bytes):
            return decode_photo(content)
    except AssertionError as error:  # Pillow's, for a picture whose file was closed too early
        raise ImageError("The photo's file is closed.", hint="Call photo.load() first.") from error
    except (OSError, SyntaxError, ValueError) as error:  # a closed file among others
        raise ImageError(f"The photo cannot be read: {summarize(error)}.") from error
    raise ImageError(
        "A photo must be a path, bytes, a binary file, a PIL image or a uint8 (H, W, 3) array, "
        f"not {type(photo).__name__}."
    )


def read_photo(path: Path) -> ImageArray:
    """Decode a photo, upright.

    Returns:
        uint8 (H, W, 3) RGB.

    Raises ImageError: missing, empty, too large, truncated, or not JPEG, PNG or WebP.
    """
    return decode_photo(_read_content(path), name=str(path))


def read_index_mask(path: Path) -> MaskArray:
    """Return the values of an 8-bit PNG, grey or with a palette, unchanged: uint8 (H, W).

    Raises ImageError: missing, empty, too large, truncated, or not such a PNG.
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
    with _open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_PHOTO_BYTES:
            raise ImageError(f"{path} has {size} bytes; the limit is {MAX_PHOTO_BYTES}.")
        return file.read()


@contextmanager
def _open_file(path: Path) -> Iterator[IO[bytes]]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # a name that no file can have
        raise ImageError(f"{path} cannot be read: {summarize(error)}.") from error
    with file:
        yield file


def decode_photo(content: bytes, *, name: str = "photo") -> ImageArray:
    """Decode the bytes of a JPEG, PNG or WebP, upright.

    Size limits are checked on the header, before pixels are decoded. Transparent pixels are
    laid on white; of an animation the first picture is taken.

    Returns:
        uint8 (H, W, 3) RGB.

    Raises ImageError: empty, too large, damaged, or of another format.
    """
    with _open_photo(io.BytesIO(content), name) as picture:
        return _turn_upright(picture)


@contextmanager
def _open_photo(file: IO[bytes], name: str) -> Iterator[Image.Image]:
    """Open a photo by its header, within the limits; any damage raises an ImageError.

    Pillow's classes are called directly: ``Image.open`` warns of large pictures by a limit of its
    own, and a warning can only be silenced for all threads of the process.
    """
    start = file.read(_MAGIC_BYTES)
    file.seek(0)
    if not start:
        raise ImageError(f"{name} is empty (0 bytes).")
    try:
        with _find_decoder(start, name)(file) as picture:
            _check_pixels(picture, name)
            yield picture
    except Image.DecompressionBombError as error:  # of a WebP, before its size is known here
        raise ImageError(f"{name} has more than {MAX_PHOTO_PIXELS} pixels.") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"{name} is damaged or truncated: {error}.") from error


def _find_decoder(start: bytes, name: str) -> Any:  # noqa: ANN401 (Pillow's classes)
    if start.startswith(b"\xff\xd8\xff"):
        return JpegImagePlugin.JpegImageFile
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImagePlugin.PngImageFile
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return WebPImagePlugin.WebPImageFile
    raise ImageError(
        f"{name} is not a photo that bunri reads ({', '.join(PHOTO_FORMATS)}); "
        f"it starts with {start[:8]!r}."
    )


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


def _turn_upright(picture: Image.Image) -> ImageArray:
    turn = _TURNS.get(read_orientation(picture))
    return np.asarray(_convert_to_rgb(picture if turn is None else picture.transpose(turn)))


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

    Raises ImageError: missing, empty, too large, or not JPEG, PNG or WebP.
    """
    with _open_file(path) as file, _open_photo(file, str(path)) as picture:
        is_turned = is_quarter_turn(read_orientation(picture))
        return picture.size if is_turned else (picture.height, picture.width)
