"""Checks of photo files: existence, format, size, colour mode, damage."""

import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from bunri.core.contracts import MAX_PHOTO_BYTES, MAX_PHOTO_PIXELS, ImageArray
from bunri.core.errors import ImageError, summarize
from bunri.images.photos import PHOTO_FORMATS, decode_photo, is_quarter_turn, read_orientation
from bunri.labels.records import Photo

_START_BYTES = 32
_MAGIC: tuple[tuple[bytes, int, str], ...] = (  # bytes, offset, format
    (b"\xff\xd8\xff", 0, "JPEG"),
    (b"\x89PNG\r\n\x1a\n", 0, "PNG"),
    (b"WEBP", 8, "WEBP"),
    (b"GIF8", 0, "GIF"),
    (b"BM", 0, "BMP"),
    (b"II*\x00", 0, "TIFF"),
    (b"MM\x00*", 0, "TIFF"),
    (b"ftypavif", 4, "AVIF"),
    (b"ftyphei", 4, "HEIC"),
    (b"ftypmif1", 4, "HEIC"),
    (b"%PDF", 0, "PDF"),
    (b"<", 0, "HTML or XML, perhaps an error page"),
)
_FORMAT_OF_ENDING = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG",
    ".webp": "WEBP",
}  # fmt: skip
_GREY_MODES = ("L", "LA", "1")


@dataclass(frozen=True, slots=True)
class PhotoFault:
    """A fault of a photo file; with ``is_fatal`` it cannot be decoded."""

    check: str
    note: str
    is_fatal: bool = False


def check_header(path: Path, photo: Photo) -> list[PhotoFault]:
    """Return the faults of a photo file's header; a fatal one is the last."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(_START_BYTES)
    except FileNotFoundError:
        return [PhotoFault("photo-missing", "there is no such file", is_fatal=True)]
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or summarize(error)
        return [PhotoFault("photo-unreadable", reason, is_fatal=True)]
    if size > MAX_PHOTO_BYTES:
        return [PhotoFault("photo-oversized", f"{size} bytes", is_fatal=True)]
    found = _find_format(start)
    if found not in PHOTO_FORMATS:
        check = "photo-unsupported" if found else "photo-unreadable"
        note = found or (f"it starts with {start[:8]!r}" if start else "it is empty (0 bytes)")
        return [PhotoFault(check, note, is_fatal=True)]
    faults = []
    expected = _FORMAT_OF_ENDING.get(path.suffix.lower())
    if expected != found:
        faults.append(PhotoFault("photo-wrong-type", f"it is {found}"))
    return faults + _check_picture(path, photo, start)


def _find_format(start: bytes) -> str:
    return next((name for magic, at, name in _MAGIC if start[at:].startswith(magic)), "")


def _check_picture(path: Path, photo: Photo, start: bytes) -> list[PhotoFault]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=PHOTO_FORMATS) as picture:
                return _check_opened(picture, photo, start)
    except Image.DecompressionBombError:
        note = f"more than {MAX_PHOTO_PIXELS} pixels"
        return [PhotoFault("photo-oversized", note, is_fatal=True)]
    except UnidentifiedImageError:
        return [PhotoFault("photo-unreadable", "its header is damaged", is_fatal=True)]
    except (OSError, SyntaxError, ValueError) as error:
        return [PhotoFault("photo-unreadable", summarize(error), is_fatal=True)]


def _check_opened(picture: Image.Image, photo: Photo, start: bytes) -> list[PhotoFault]:
    if picture.width * picture.height > MAX_PHOTO_PIXELS:
        note = f"{picture.width}x{picture.height}"
        return [PhotoFault("photo-oversized", note, is_fatal=True)]
    faults = _check_size(picture, photo)
    # Pillow hands out 16-bit RGB as 8 bits; only the PNG's own header still says so.
    is_deep = picture.mode.startswith("I") or (picture.format == "PNG" and start[24:25] == b"\x10")
    for check, fails in (
        ("photo-16-bit", is_deep),
        ("photo-grey", not is_deep and picture.mode in _GREY_MODES),
        ("photo-cmyk", picture.mode in ("CMYK", "YCCK")),
        ("photo-alpha", picture.has_transparency_data),
    ):
        if fails:
            faults.append(PhotoFault(check, f"mode {picture.mode}"))
    num_frames = getattr(picture, "n_frames", 1)
    if num_frames > 1:
        faults.append(PhotoFault("photo-animated", f"{num_frames} pictures"))
    return faults


def _check_size(picture: Image.Image, photo: Photo) -> list[PhotoFault]:
    orientation = read_orientation(picture)
    stored_hw = picture.height, picture.width
    upright_hw = stored_hw[::-1] if is_quarter_turn(orientation) else stored_hw
    turned = orientation in range(2, 9)
    if upright_hw == photo.size_hw:
        note = f"EXIF orientation {orientation}"
        return [PhotoFault("photo-exif-rotated", note)] if turned else []
    sizes = f"{upright_hw[1]}x{upright_hw[0]}, the JSON says {photo.width_px}x{photo.height_px}"
    if turned and stored_hw == photo.size_hw:
        return [PhotoFault("photo-exif-conflict", f"upright it is {sizes}")]
    return [PhotoFault("photo-size-mismatch", f"it is {sizes}")]


def decode_for_checks(path: Path) -> tuple[ImageArray | None, list[PhotoFault]]:
    """Return a photo without fatal fault in its header, uint8 (H, W, 3), or None and its faults."""
    try:
        return decode_photo(path.read_bytes(), name=path.name), []
    except ImageError as error:
        return None, [PhotoFault("photo-truncated", error.message, is_fatal=True)]
    except OSError as error:
        note = error.strerror or summarize(error)
        return None, [PhotoFault("photo-unreadable", note, is_fatal=True)]
