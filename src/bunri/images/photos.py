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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError

from bunri.core.contracts import MAX_PHOTO_BYTES, MAX_PHOTO_PIXELS, ImageArray, MaskArray
from bunri.core.errors import ImageError, summarize

PHOTO_FORMATS = ("JPEG", "PNG", "WEBP")
PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})

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
