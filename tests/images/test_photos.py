"""Photo to network frame and back: nothing turned, flipped, shifted or clipped."""

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from bunri.core.errors import ImageError
from bunri.images import photos as images
from bunri.images.decider import Decider
from bunri.images.frames import (
    Frame,
    Preprocessing,
    crop_content,
    fit_size_hw,
    resize_image,
    resize_mask,
)
from bunri.images.photos import decode_photo, read_photo, read_size_hw
from bunri.images.planes import FramePlanes
from bunri.labels.coco import read_coco
from bunri.labels.photos import read_photo_as_labelled
from tests.coco_data import make_document, make_image, write_coco, write_photos


def make_picture(height: int = 20, width: int = 30) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return a picture without any symmetry: a red corner top left, green rising to the right."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 1] = np.linspace(0, 200, width).astype(np.uint8)
    image[..., 2] = np.linspace(0, 100, height).astype(np.uint8)[:, None]
    image[: height // 4, : width // 5, 0] = 250
    return image


def encode(image: Any, format_: str = "PNG", **options: Any) -> bytes:
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    stream = io.BytesIO()
    picture.save(stream, format_, **options)
    return stream.getvalue()


# --- decoding -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format_", "options"), [("PNG", {}), ("WEBP", {"lossless": True, "exact": True})]
)
def test_decode_photo__lossless_formats_are_exact(format_, options):
    image = make_picture()
    decoded = decode_photo(encode(image, format_, **options))
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, image)


@pytest.mark.parametrize(("format_", "options"), [("JPEG", {"quality": 95}), ("WEBP", {})])
def test_decode_photo__lossy_formats_are_near_and_not_flipped(format_, options):
    image = np.full((40, 60, 3), 40, np.uint8)
    image[:8, :16] = 220
    decoded = decode_photo(encode(image, format_, **options))
    assert decoded.shape == (40, 60, 3)
    assert abs(decoded[:6, :14].mean() - 220) < 10
    assert abs(decoded[12:].mean() - 40) < 10
    assert abs(decoded[:, 20:].mean() - 40) < 10


# What must be done to an upright picture so that a camera with this orientation stored it.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
def test_decode_photo__is_upright(tmp_path, orientation, format_):
    upright = make_picture()
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](upright))
    options = {"lossless": True, "exact": True} if format_ == "WEBP" else {}
    path = tmp_path / "photo"
    path.write_bytes(encode(stored, format_, exif=exif, **options))
    np.testing.assert_array_equal(read_photo(path), upright)
    assert read_size_hw(path) == (20, 30)


@pytest.mark.parametrize("orientation", STORED)
def test_decode_photo__jpeg_is_upright(tmp_path, orientation):
    upright = np.full((48, 64, 3), 30, np.uint8)
    upright[:16, :16] = 230
    upright[:8, 48:] = [230, 0, 0]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](upright))
    path = tmp_path / "photo.jpg"
    path.write_bytes(encode(stored, "JPEG", exif=exif, quality=95, subsampling=0))
    decoded = read_photo(path)
    assert decoded.shape == (48, 64, 3)
    assert np.abs(decoded.astype(int) - upright).mean() < 4
    assert read_size_hw(path) == (48, 64)


@pytest.mark.parametrize("orientation", [0, 9, 77, 65535])
def test_decode_photo__orientation_that_does_not_exist_is_none(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.png"
    path.write_bytes(encode(make_picture(), exif=exif))
    np.testing.assert_array_equal(read_photo(path), make_picture())
    assert read_size_hw(path) == (20, 30)


@pytest.mark.parametrize("value", ["6", b"\x06", (6, 6), 6.5])
def test_read_size_hw__orientation_of_another_type_is_none(tmp_path, monkeypatch, value):
    path = tmp_path / "photo.png"
    path.write_bytes(encode(make_picture()))
    monkeypatch.setattr(Image.Image, "getexif", lambda _: {0x0112: value})
    assert read_size_hw(path) == (20, 30)


@pytest.mark.parametrize(("tag", "kind"), [(0x0100, 1), (0x0100, 2), (0x010F, 11), (0x0111, 7)])
def test_decode_photo__exif_with_a_value_of_the_wrong_type(tag, kind):
    # Pillow reads such a value and then cannot write it; the orientation beside it is good.
    entries = sorted([(0x0112, 3, 1, struct.pack("<HH", 6, 0)), (tag, kind, 1, b"ab\0\0")])
    rows = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2) + rows + b"\0" * 4
    stored = np.ascontiguousarray(STORED[6](make_picture()))
    content = encode(stored, "WEBP", exif=exif, lossless=True, exact=True)
    np.testing.assert_array_equal(decode_photo(content), make_picture())


def test_decode_photo__transparent_pixels_lie_on_white():
    image = np.zeros((4, 6, 4), np.uint8)
    image[..., 0] = 200
    image[:2, :, 3] = 255
    image[2, :, 3] = 51  # a fifth
    decoded = decode_photo(encode(image))
    assert decoded[0, 0].tolist() == [200, 0, 0]
    np.testing.assert_allclose(decoded[2, 0], [244, 204, 204], atol=1)
    assert decoded[3, 5].tolist() == [255, 255, 255]


def test_decode_photo__grey_with_transparency():
    image = np.zeros((4, 6, 2), np.uint8)
    image[:2] = [90, 255]
    decoded = decode_photo(encode(Image.fromarray(image, "LA")))
    assert decoded[0, 0].tolist() == [90, 90, 90]
    assert decoded[3, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("transparency", [None, 0, b"\x00\xff\xff"])
def test_decode_photo__palette(transparency):
    picture = Image.new("P", (5, 3))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putpixel((4, 0), 1)
    options = {} if transparency is None else {"transparency": transparency}
    decoded = decode_photo(encode(picture, **options))
    assert decoded.shape == (3, 5, 3)
    assert decoded[0, 4].tolist() == [200, 100, 50]
    assert decoded[2, 0].tolist() == ([10, 20, 30] if transparency is None else [255] * 3)


def test_decode_photo__grey():
    grey = np.arange(60, dtype=np.uint8).reshape(6, 10)
    decoded = decode_photo(encode(grey))
    np.testing.assert_array_equal(decoded, np.stack([grey] * 3, -1))


def test_decode_photo__black_and_white():
    picture = Image.new("1", (9, 4))
    picture.putpixel((8, 0), 1)
    decoded = decode_photo(encode(picture))
    assert decoded[0, 8].tolist() == [255] * 3
    assert decoded.sum() == 3 * 255


def test_decode_photo__16_bit_grey_keeps_its_range():
    grey = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    decoded = decode_photo(encode(Image.fromarray(grey)))
    assert decoded[0, :, 0].tolist() == [0, 0, 1, 128, 255]
    assert (decoded == decoded[..., :1]).all()


def make_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def make_png(width: int, height: int, depth: int, color_type: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(make_chunk(*chunk) for chunk in chunks)


def test_decode_photo__16_bit_color():
    row = b"\0" + struct.pack(">6H", 65535, 0, 32768, 0, 65535, 256)
    decoded = decode_photo(make_png(2, 1, 16, 2, row))
    assert decoded.tolist() == [[[255, 0, 128], [0, 255, 1]]]


def test_decode_photo__cmyk_jpeg():
    cmyk = np.zeros((32, 48, 4), np.uint8)
    cmyk[..., 0] = 255  # cyan ink
    cmyk[:, 24:, 3] = 255  # and black on the right
    decoded = decode_photo(encode(Image.fromarray(cmyk, "CMYK"), "JPEG", quality=95))
    np.testing.assert_allclose(decoded[:, :16].mean((0, 1)), [0, 255, 255], atol=6)
    np.testing.assert_allclose(decoded[:, 32:].mean((0, 1)), [0, 0, 0], atol=6)


def test_decode_photo__of_an_animation_the_first_picture():
    frames = [Image.new("RGB", (12, 8), color) for color in ("red", "blue")]
    for format_, options in (("WEBP", {"lossless": True}), ("PNG", {})):
        content = encode(frames[0], format_, save_all=True, append_images=frames[1:], **options)
        with Image.open(io.BytesIO(content)) as picture:
            assert getattr(picture, "n_frames", 1) == 2
        assert (decode_photo(content) == [255, 0, 0]).all()


@pytest.mark.parametrize("format_", ["GIF", "BMP", "TIFF", "PPM", "ICO", "PDF"])
def test_decode_photo__other_formats_are_refused(tmp_path, format_):
    content = encode(make_picture(32, 32), format_)
    with pytest.raises(ImageError, match=r"photo is not a photo that bunri reads \(JPEG, PNG, WEB"):
        decode_photo(content)
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=r"is not a photo that bunri reads \(JPEG, PNG, WEBP\)"):
        read_size_hw(tmp_path / "a.jpg")


def test_decode_photo__animated_gif_is_refused():
    frames = [Image.new("RGB", (12, 8), color) for color in ("red", "blue")]
    with pytest.raises(ImageError, match="GIF8"):
        decode_photo(encode(frames[0], "GIF", save_all=True, append_images=frames[1:]))


def test_decode_photo__empty(tmp_path):
    with pytest.raises(ImageError, match=r"my\.jpg is empty \(0 bytes\)"):
        decode_photo(b"", name="my.jpg")
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(ImageError, match=r"a\.jpg is empty"):
        read_photo(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match=r"a\.jpg is empty"):
        read_size_hw(tmp_path / "a.jpg")


@pytest.mark.parametrize("content", [b"x", b"<html>", b"\x89PNG", b"RIFF1234WEBP", b"\0" * 100])
def test_decode_photo__wrong_magic(content):
    with pytest.raises(ImageError, match=r"a\.jpg is (not a photo|damaged)"):
        decode_photo(content, name="a.jpg")


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_decode_photo__truncated_anywhere(format_):
    content = encode(np.random.default_rng(1).integers(0, 256, (24, 24, 3), np.uint8), format_)
    ends = [1, 2, 8, 12, 20, 30, 50, len(content) // 2, len(content) * 3 // 4]
    for end in ends:
        with pytest.raises(ImageError):
            decode_photo(content[:end])


def test_decode_photo__wrong_checksum():
    content = bytearray(make_png(2, 2, 8, 0, b"\0ab\0cd"))
    content[45] ^= 1
    with pytest.raises(ImageError, match="damaged or truncated"):
        decode_photo(bytes(content))


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(
    format_=st.sampled_from(["JPEG", "PNG", "WEBP"]),
    damages=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_decode_photo__damaged_bytes_are_decoded_or_refused(format_, damages):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = bytearray(encode(make_picture(16, 24), format_, exif=exif))
    for position, value in damages:
        content[position % len(content)] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of some damage, and goes on
        try:
            decoded = decode_photo(bytes(content))
        except ImageError as error:
            assert error.message  # noqa: PT017 (either outcome is right)
        else:
            assert decoded.ndim == 3
            assert decoded.dtype == np.uint8


def test_decode_photo__pixel_limit_is_checked_before_decoding(monkeypatch):
    content = encode(make_picture(20, 30))
    monkeypatch.setattr(images, "MAX_PHOTO_PIXELS", 600)
    assert decode_photo(content).shape == (20, 30, 3)
    monkeypatch.setattr(images, "MAX_PHOTO_PIXELS", 599)

    def fail(*args):
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(Image.Image, "load", fail)
    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(ImageError, match="photo is 30x20; the limit is 599 pixels"):
        decode_photo(content)


@pytest.mark.parametrize("size", [(12_000, 10_001), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_decode_photo__header_of_a_giant(tmp_path, size):
    content = make_png(size[0], size[1], 8, 2, b"")
    with pytest.raises(ImageError, match=r"limit is 120000000|more than 120000000 pixels"):
        decode_photo(content)
    (tmp_path / "a.png").write_bytes(content)
    try:
        size_hw = read_size_hw(tmp_path / "a.png")
    except ImageError as error:
        assert "120000000 pixels" in error.message  # noqa: PT017 (either outcome is right)
    else:
        assert size_hw == size[::-1]


def test_decode_photo__large_but_allowed_without_a_warning(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(encode(make_picture(20, 30)))
    # Pillow on its own would warn, from 89 million pixels on and here from 400 on.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    assert read_photo(tmp_path / "a.png").shape == (20, 30, 3)
    assert read_size_hw(tmp_path / "a.png") == (20, 30)


@pytest.mark.parametrize("size_hw", [(1, 1), (20, 20_000), (20_000, 20)])
def test_decode_photo__extreme_sizes(size_hw):
    image = np.zeros((*size_hw, 3), np.uint8)
    image[0, -1] = 255
    np.testing.assert_array_equal(decode_photo(encode(image)), image)


def test_read_photo__missing_and_folder(tmp_path):
    for function in (read_photo, read_size_hw):
        with pytest.raises(ImageError, match="cannot be read"):
            function(tmp_path / "a.jpg")
        with pytest.raises(ImageError, match="cannot be read"):
            function(tmp_path)


def test_read_photo__too_many_bytes(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(encode(make_picture()))
    size = path.stat().st_size
    monkeypatch.setattr(images, "MAX_PHOTO_BYTES", size)
    assert read_photo(path).shape == (20, 30, 3)
    monkeypatch.setattr(images, "MAX_PHOTO_BYTES", size - 1)
    with pytest.raises(ImageError, match=f"has {size} bytes; the limit is {size - 1}"):
        read_photo(path)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b.jpg", "\ud800.jpg"])
def test_read_photo__name_that_no_file_can_have(tmp_path, name):
    with pytest.raises(ImageError, match="cannot be read"):
        read_photo(tmp_path / name)
    with pytest.raises(ImageError, match="cannot be read"):
        read_size_hw(tmp_path / name)


def test_read_photo_as_labelled__size_of_the_json(tmp_path):
    document = make_document(images=[make_image(7, "사진/a.png", 30, 40)])
    write_photos(tmp_path, document)
    dataset = read_coco(write_coco(tmp_path, document))
    assert read_photo_as_labelled(dataset, dataset.photos[0]).shape == (30, 40, 3)


def test_read_photo_as_labelled__another_size(tmp_path):
    document = make_document(images=[make_image(7, "사진/a.png", 30, 40)])
    write_photos(tmp_path, document)
    document["images"][0] |= {"height": 40, "width": 30}
    dataset = read_coco(write_coco(tmp_path, document))
    with pytest.raises(ImageError, match=r"'사진/a.png' is 40x30, train.json says 30x40"):
        read_photo_as_labelled(dataset, dataset.photos[0])


# --- to the network's frame ---------------------------------------------------------------------


def restore_probs(probs, frame):
    return np.stack(list(FramePlanes.from_frame(probs, frame)))


def restore_mask(probs, frame):
    return Decider.plain(len(probs)).choose(FramePlanes.from_frame(probs, frame))


def make_preprocessing(size_px: int = 64, normalization: Any = "none") -> Preprocessing:
    return Preprocessing.build(size_px, normalization)


@pytest.mark.parametrize(
    ("size_hw", "longer_px", "expected"),
    [
        ((100, 50), 64, (64, 32)),
        ((50, 100), 64, (32, 64)),
        ((512, 512), 512, (512, 512)),
        ((3000, 4000), 512, (384, 512)),
        ((1, 20_000), 512, (1, 512)),
        ((20_000, 1), 512, (512, 1)),
        ((1, 1), 512, (512, 512)),
        ((333, 1000), 512, (170, 512)),
    ],
)
def test_fit_size_hw__by_hand(size_hw, longer_px, expected):
    assert fit_size_hw(size_hw, longer_px) == expected


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.sampled_from([32, 224, 512, 4096]))
def test_fit_size_hw__longer_side_is_exact_and_the_aspect_kept(height, width, longer_px):
    fitted = fit_size_hw((height, width), longer_px)
    assert max(fitted) == longer_px
    assert min(fitted) >= 1
    scale = longer_px / max(height, width)
    assert abs(fitted[0] - height * scale) <= 1
    assert abs(fitted[1] - width * scale) <= 1


@pytest.mark.parametrize(
    ("size_hw", "content_hw", "frame_hw"),
    [
        ((128, 128), (64, 64), (64, 64)),
        ((60, 100), (38, 64), (64, 64)),
        ((100, 60), (64, 38), (64, 64)),
        ((64, 20), (64, 20), (64, 32)),
        ((1, 1), (64, 64), (64, 64)),
        ((1, 2000), (1, 64), (32, 64)),
        ((2000, 1), (64, 1), (64, 32)),
    ],
)
def test_prepare__sizes_by_hand(size_hw, content_hw, frame_hw):
    frame = make_preprocessing().prepare(np.full((*size_hw, 3), 255, np.uint8))
    assert frame.photo_hw == size_hw
    assert frame.content_hw == content_hw
    assert frame.pixels.shape == (3, *frame_hw)
    assert frame.pixels.dtype == np.float32
    assert frame.pixels.flags.c_contiguous


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from([64, 96]),
    st.sampled_from(["none", "imagenet", "half"]),
)
def test_prepare__multiple_of_32_and_padding_exactly_0(height, width, size_px, normalization):
    image = np.full((height, width, 3), 200, np.uint8)
    frame = make_preprocessing(size_px, normalization).prepare(image)
    frame_hw = frame.pixels.shape[1:]
    assert all(side % 32 == 0 for side in frame_hw)
    content_height, content_width = frame.content_hw
    assert 0 <= frame_hw[0] - content_height < 32
    assert 0 <= frame_hw[1] - content_width < 32
    assert (frame.pixels[:, content_height:] == 0).all()
    assert (frame.pixels[:, :, content_width:] == 0).all()
    assert (frame.pixels[:, :content_height, :content_width] != 0).all()


@pytest.mark.parametrize(
    ("normalization", "pixel", "expected"),
    [
        ("none", [0, 255, 51], [0.0, 1.0, 0.2]),
        ("half", [0, 255, 51], [-1.0, 1.0, -0.6]),
        ("imagenet", [0, 255, 51], [-0.485 / 0.229, (1 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]),
    ],
)
def test_normalize__values_by_hand_in_the_order_rgb(normalization, pixel, expected):
    image = np.array([[pixel, [7, 7, 7]]], np.uint8)
    normalized = make_preprocessing(64, normalization).normalize(image)
    assert normalized.shape == (3, 1, 2)
    assert normalized.dtype == np.float32
    np.testing.assert_allclose(normalized[:, 0, 0], expected, atol=1e-6)


def test_prepare__photo_of_the_frames_size_is_not_resampled():
    image = make_picture(64, 64)
    frame = make_preprocessing().prepare(image)
    np.testing.assert_allclose(frame.pixels * 255, image.transpose(2, 0, 1), atol=1e-4)


@pytest.mark.parametrize("size_hw", [(96, 64), (64, 96), (96, 96), (200, 150), (150, 200)])
@pytest.mark.parametrize("corner", ["top left", "top right", "bottom left", "bottom right"])
def test_restore_probs__a_bright_corner_comes_back_in_its_corner(size_hw, corner):
    height, width = size_hw
    rows = slice(0, 32) if "top" in corner else slice(height - 32, height)
    columns = slice(0, 32) if "left" in corner else slice(width - 32, width)
    image = np.zeros((height, width, 3), np.uint8)
    image[rows, columns] = 255
    frame = make_preprocessing(96).prepare(image)
    # A network that calls what is bright class 1.
    bright = frame.pixels.mean(0)
    probs = np.stack([1 - bright, bright])
    expected = np.zeros(size_hw, np.uint8)
    expected[rows, columns] = 1
    mask = restore_mask(probs, frame)
    assert mask.shape == size_hw
    assert (mask != expected).sum() <= 2 * 64  # the two inner edges of the block
    inner = np.zeros(size_hw, np.bool_)
    inner[rows, columns] = True
    center = (rows.start + 16, columns.start + 16)
    assert mask[center] == 1
    assert mask[~inner].sum() <= 64
    np.testing.assert_array_equal(restore_probs(probs, frame).argmax(0), mask)


# --- and back -----------------------------------------------------------------------------------


def make_probs(seed: int, num_classes: int, hw: tuple[int, int]):
    weights = np.random.default_rng(seed).random((num_classes, *hw)) ** 4 + 1e-6
    return (weights / weights.sum(0)).astype(np.float32)


def make_frame(photo_hw: tuple[int, int], size_px: int = 64) -> Frame:
    return make_preprocessing(size_px).prepare(np.zeros((*photo_hw, 3), np.uint8))


@given(st.integers(1, 150), st.integers(1, 150), st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_restore_mask__is_the_argmax_of_restore_probs(height, width, num_classes, seed):
    frame = make_frame((height, width))
    probs = make_probs(seed, num_classes, (frame.pixels.shape[1], frame.pixels.shape[2]))
    restored = restore_probs(probs, frame)
    assert restored.shape == (num_classes, height, width)
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored.sum(0), 1, atol=1e-5)
    assert restored.min() >= 0
    mask = restore_mask(probs, frame)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, restored.argmax(0))


def test_restore_mask__between_equals_the_first_class_as_argmax_has_it():
    frame = make_frame((64, 40))
    probs = np.full((4, *frame.pixels.shape[1:]), 0.25, np.float32)
    assert not restore_mask(probs, frame).any()
    probs[0] = 0.1
    assert (restore_mask(probs, frame) == 1).all()


def test_restore_probs__same_size_is_exact():
    frame = make_frame((64, 40))
    assert frame.content_hw == frame.photo_hw
    probs = make_probs(3, 5, (64, 64))
    np.testing.assert_array_equal(restore_probs(probs, frame), probs[:, :64, :40])


def test_restore_probs__padding_has_no_say():
    frame = make_frame((100, 60))
    probs = np.zeros((2, 64, 64), np.float32)
    probs[0, :, :38] = 1
    probs[1, :, 38:] = 1  # what the network says of the padding
    restored = restore_probs(probs, frame)
    assert (restored[0] == 1).all()
    assert (restored[1] == 0).all()


@pytest.mark.parametrize("photo_hw", [(128, 128), (640, 480), (30, 17), (1, 1), (7, 900)])
def test_restore_probs__constant_regions_stay_constant(photo_hw):
    frame = make_frame(photo_hw)
    probs = np.zeros((3, *frame.pixels.shape[1:]), np.float32)
    probs[:] = np.array([0.25, 0.125, 0.625], np.float32)[:, None, None]
    restored = restore_probs(probs, frame)
    np.testing.assert_allclose(restored[:, 0, 0], [0.25, 0.125, 0.625], atol=1e-6)
    constant = np.broadcast_to(restored[:, :1, :1], restored.shape)
    np.testing.assert_allclose(restored, constant, rtol=1e-6)


def test_crop_content__whole_cells_stay_as_they_are():
    probs = make_probs(5, 3, (16, 16))
    np.testing.assert_array_equal(crop_content(probs, (64, 64), (48, 64)), probs[:, :12])


def test_crop_content__an_edge_through_cells_is_cut_at_the_frames_size():
    probs = np.zeros((2, 2, 2), np.float32)
    probs[:, 0] = [[1.0], [0.0]]
    probs[:, 1] = [[0.0], [1.0]]
    found = crop_content(probs, (8, 8), (5, 8))
    assert found.shape == (2, 5, 8)
    # Centres of cells are at 2 and 6; between them it goes down by a quarter a pixel.
    np.testing.assert_allclose(found[0, :, 0], [1, 1, 0.875, 0.625, 0.375], atol=1e-6)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-6)


@given(st.integers(1, 150), st.integers(1, 150), st.sampled_from([1, 2, 4, 8, 32]))
def test_crop_content__padding_has_no_say_where_cells_are_whole(height, width, stride):
    frame = make_frame((height, width))
    frame_hw = frame.pixels.shape[1], frame.pixels.shape[2]
    probs = np.zeros((2, frame_hw[0] // stride, frame_hw[1] // stride), np.float32)
    rows, columns = (side // stride for side in frame.content_hw)
    probs[0, :rows, :columns] = 1
    found = crop_content(probs, frame_hw, frame.content_hw)
    if all(side % stride == 0 for side in frame.content_hw):
        assert found.shape == (2, rows, columns)
        assert (found[0] == 1).all()
    else:
        assert found.shape == (2, *frame.content_hw)


def test_restore_mask__halves_of_a_photo_twice_the_frame_by_hand():
    frame = make_frame((128, 96))
    assert frame.content_hw == (64, 48)
    probs = np.zeros((2, 64, 64), np.float32)
    probs[0, :20] = probs[1, 20:] = 1
    mask = restore_mask(probs, frame)
    assert (mask[:40] == 0).all()
    assert (mask[40:] == 1).all()


def test_resize_mask__no_new_values_and_not_flipped():
    mask = np.zeros((40, 60), np.uint8)
    mask[:10, :20] = 7
    mask[30:, 50:] = 255
    resized = resize_mask(mask, (20, 30))
    expected = np.zeros((20, 30), np.uint8)
    expected[:5, :10] = 7
    expected[15:, 25:] = 255
    np.testing.assert_array_equal(resized, expected)
    np.testing.assert_array_equal(resize_mask(resized, (40, 60)), mask)


def test_resize_mask__same_size_is_given_back_itself():
    mask = np.zeros((4, 5), np.uint8)
    assert resize_mask(mask, (4, 5)) is mask
    image = np.zeros((4, 5, 3), np.uint8)
    assert resize_image(image, (4, 5)) is image


def test_resize_image__shrinking_averages():
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, ::2] = 200
    resized = resize_image(image, (16, 16))
    assert resized.shape == (16, 16, 3)
    np.testing.assert_allclose(resized[4:-4, 4:-4].astype(int), 100, atol=12)


def test_photo_formats__suffixes_do_not_matter(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_bytes(encode(make_picture()))
    np.testing.assert_array_equal(read_photo(path), make_picture())
