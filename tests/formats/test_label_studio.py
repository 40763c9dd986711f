"""Label Studio: per cent, packed brushes, addresses of photos, and exports that are broken."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from bunri.core.errors import AnnotationError
from bunri.formats.base import ReadOptions
from bunri.formats.brush import decode_brush, encode_brush
from bunri.formats.convert import measure_loss, write_labels
from bunri.formats.registry import FORMATS
from bunri.labels.coco import read_coco
from bunri.labels.overlap import draw_mask
from bunri.labels.records import Polygons
from tests.coco_data import make_annotation, make_document, make_image, write_coco, write_photos
from tests.formats.sets import RULE, write_rich_set

STUDIO = FORMATS["label-studio"]
POINTS = [[10, 20], [60, 20], [60, 80], [10, 80]]


def make_result(points=POINTS, label="Can", **changes):
    result = {
        "type": "polygonlabels",
        "original_width": 20,
        "original_height": 10,
        "image_rotation": 0,
        "value": {"points": points, "closed": True, "polygonlabels": [label]},
    }
    return result | changes


def make_brush(rle, label="Can", **changes):
    value = {"format": "rle", "rle": rle, "brushlabels": [label]}
    return make_result(type="brushlabels", value=value) | changes


def make_task(*results, image="a.jpg", **changes):
    task = {"id": 1, "data": {"image": image}, "annotations": [{"result": list(results)}]}
    return task | changes


def write(folder, *tasks, text=None):
    path = folder / "export.json"
    path.write_text(json.dumps(tasks) if text is None else text, "utf-8")
    return path


def read(folder, *tasks, **options):
    return STUDIO.read(write(folder, *tasks), ReadOptions(**options))


def find_fault(folder, *tasks, text=None, **options):
    with pytest.raises(AnnotationError) as caught:
        STUDIO.read(write(folder, *tasks, text=text), ReadOptions(**options))
    return str(caught.value)


# --- brushes ------------------------------------------------------------------------------------


def pack(*fields: tuple[int, int]) -> list[int]:
    """Return (value, bits) pairs, one after the other, as bytes."""
    bits = "".join(f"{value:0{width}b}" for value, width in fields)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def make_header(num_pixels, lengths=(3, 4, 8, 16), value_bits=8):
    kinds = [(bits - 1, 4) for bits in lengths]
    return [(num_pixels * 4, 32), (value_bits - 1, 5), *kinds]


def test_encode_brush__a_pixel_of_four():
    """Per pixel four channels: 4 zeros, 4 times 255, 8 zeros; each a repeated value, 3 bits."""
    region = np.array([[False, True], [False, False]])
    blocks = [(1, 1), (0, 2), (3, 3), (0, 8), (1, 1), (0, 2), (3, 3), (255, 8), (1, 1), (0, 2)]
    assert encode_brush(region, region.shape) == pack(*make_header(4), *blocks, (7, 3), (0, 8))


@pytest.mark.parametrize(
    ("num_pixels", "kind", "bits"), [(2, 0, 3), (3, 1, 4), (5, 2, 8), (65, 3, 16), (16384, 3, 16)]
)
def test_encode_brush__length_in_as_few_bits_as_it_needs(num_pixels, kind, bits):
    region = np.ones((1, num_pixels), np.bool_)
    block = [(1, 1), (kind, 2), (4 * num_pixels - 1, bits), (255, 8)]
    assert encode_brush(region, region.shape) == pack(*make_header(num_pixels), *block)


def test_encode_brush__longest_run_is_cut():
    region = np.ones((1, 16384 + 2), np.bool_)
    blocks = [(1, 1), (3, 2), (65535, 16), (255, 8), (1, 1), (0, 2), (7, 3), (255, 8)]
    assert encode_brush(region, region.shape) == pack(*make_header(16386), *blocks)


def test_encode_brush__part_of_a_photo():
    region = np.zeros((9, 7), np.bool_)
    region[2:5, 3:] = np.random.default_rng(0).random((3, 4)) < 0.6
    codes = encode_brush(region[2:5, 3:], (9, 7), (3, 2))
    np.testing.assert_array_equal(decode_brush(codes, (9, 7)), region)


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=70)))
def test_decode_brush__inverts(region):
    np.testing.assert_array_equal(
        decode_brush(encode_brush(region, region.shape), region.shape), region
    )


def test_decode_brush__values_that_are_not_repeated():
    """Anti-aliased strokes: what is not fully transparent is inside."""
    pixels = [0, 0, 0, 0, 9, 9, 9, 1, 255, 0, 0, 0, 1, 1, 1, 128]
    literals = [(0, 1), (1, 2), (15, 4), *[(value, 8) for value in pixels]]
    codes = pack(*make_header(4), *literals)
    assert decode_brush(codes, (2, 2)).tolist() == [[False, True], [False, True]]


def test_decode_brush__other_widths():
    blocks = [(1, 1), (2, 2), (7, 5), (1, 1), (1, 1), (0, 2), (0b111, 3), (0, 1)]
    codes = pack(*make_header(4, lengths=(3, 4, 5, 16), value_bits=1), *blocks)
    assert decode_brush(codes, (2, 2)).tolist() == [[True, True], [False, False]]


@given(st.lists(st.integers(0, 255), max_size=40))
def test_decode_brush__any_bytes(codes):
    header = pack(*make_header(6), (0, 3))
    for candidate in (codes, header[:6] + codes, header + codes):
        try:
            assert decode_brush(candidate, (2, 3)).shape == (2, 3)
        except AnnotationError as error:
            assert "'rle'" in error.message  # noqa: PT017


# --- out ----------------------------------------------------------------------------------------


def test_write__polygon_in_per_cent(tmp_path):
    dataset = read_coco(write_coco(tmp_path / "data"))
    write_labels(dataset, tmp_path / "out.json", STUDIO, RULE)
    (task,) = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert task["data"] == {
        "image": "/data/local-files/?d=batch_01/0001.jpg",
        "width": 40,
        "height": 30,
    }
    (result,) = task["annotations"][0]["result"]
    assert result["type"] == "polygonlabels"
    assert (result["original_width"], result["original_height"]) == (40, 30)
    assert result["value"]["polygonlabels"] == ["Paper"]
    np.testing.assert_allclose(
        result["value"]["points"],
        [[12.5, 26.66666667], [37.5, 26.66666667], [37.5, 46.66666667], [12.5, 46.66666667]],
    )


def test_write__what_is_no_single_polygon_is_a_brush(tmp_path):
    dataset = write_rich_set(tmp_path / "data")
    write_labels(dataset, tmp_path / "out.json", STUDIO, RULE)
    tasks = json.loads((tmp_path / "out.json").read_text("utf-8"))
    kinds = [(r["id"], r["type"]) for r in tasks[0]["annotations"][0]["result"]]
    assert kinds == [
        ("9", "brushlabels"),
        ("5", "polygonlabels"),
        ("3", "polygonlabels"),
        ("4", "brushlabels"),
    ]
    assert tasks[2]["annotations"] == [{"result": []}]


@settings(max_examples=40)
@given(st.lists(st.integers(0, 999), min_size=6, max_size=6), st.integers(1, 97))
def test_write__coordinates_on_the_limit_of_rounding(tmp_path_factory, tenths, width):
    """At x.1, x.3, ... pycocotools rounds up; one bit less, and it would round down."""
    points = [value % (10 * width + 1) / 10 for value in tenths]
    images = [make_image(7, "a.jpg", width, width)]
    document = make_document(images=images, annotations=[make_annotation(1, 7, 2, points)])
    folder = tmp_path_factory.mktemp("limit")
    dataset = read_coco(write_coco(folder, document))
    write_labels(dataset, folder / "out.json", STUDIO, RULE)
    assert measure_loss(dataset, folder / "out.json", STUDIO, RULE).num_differing == 0


# --- in -----------------------------------------------------------------------------------------


def test_read__polygon(tmp_path):
    dataset = read(tmp_path, make_task(make_result()))
    (photo,) = dataset.photos
    assert (photo.file_name, photo.size_hw) == ("a.jpg", (10, 20))
    (row,) = dataset.annotations[0]
    assert isinstance(row.segmentation, Polygons)
    np.testing.assert_allclose(row.segmentation.parts[0], [2, 2, 12, 2, 12, 8, 2, 8])
    assert dataset.table.names == ("Background", "Can")


def test_read__brush(tmp_path):
    region = np.random.default_rng(0).random((10, 20)) < 0.5
    dataset = read(tmp_path, make_task(make_brush(encode_brush(region, region.shape))))
    np.testing.assert_array_equal(draw_mask(dataset, dataset.photos[0], RULE) == 1, region)


def test_read__outline_and_label_in_a_pair_of_results(tmp_path):
    outline = make_result(type="polygon", value={"points": POINTS})
    label = make_result(type="labels", value={"points": POINTS, "labels": ["Can"]})
    dataset = read(tmp_path, make_task(outline, label))
    assert len(dataset.annotations[0]) == 1
    assert dataset.warnings == ("1 x outline without a label left out",)


def test_read__what_is_no_outline_is_counted(tmp_path):
    box = make_result(type="rectanglelabels", value={"x": 1, "rectanglelabels": ["Can"]})
    choice = {"type": "choices", "value": {"choices": ["good"]}}
    dataset = read(tmp_path, make_task(box, choice, make_result()))
    assert dataset.warnings == (
        "1 x result of the type 'rectanglelabels' left out",
        "1 x result of the type 'choices' left out",
    )


def test_read__which_annotation_counts(tmp_path):
    task = make_task()
    task["annotations"] = [
        {"result": [make_result(label="a")], "was_cancelled": True},
        {"result": [make_result(label="b")]},
        {"result": [make_result(label="c")], "ground_truth": True},
    ]
    dataset = read(tmp_path, task)
    assert dataset.table.names == ("Background", "c")
    assert dataset.warnings == ("1 x further annotation of a task left out",)


ADDRESSES = {
    "a/b.jpg": "a/b.jpg",
    "/data/local-files/?d=a/%EA%B0%80%20b.jpg": "a/가 b.jpg",
    "http://localhost:8080/data/local-files/?d=a%2Fb.jpg": "a/b.jpg",
    "/data/upload/3/1a2b3c4d-b.jpg": "1a2b3c4d-b.jpg",
    "https://example.org/x/b%20c.jpg?token=1": "x/b c.jpg",
    "s3://bucket/x/b.jpg": "x/b.jpg",
    "C:\\photos\\b.jpg": "b.jpg",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_read__address_of_the_photo(tmp_path, address):
    dataset = read(tmp_path, make_task(make_result(), image=address))
    assert [photo.file_name for photo in dataset.photos] == [ADDRESSES[address]]


def test_read__uploads_are_found_by_the_rest_of_their_name(tmp_path):
    document = make_document(images=[make_image(4, "b.jpg", 10, 20)])
    document["annotations"] = []
    write_photos(tmp_path / "photos", document)
    task = make_task(make_result(), image="/data/upload/3/1a2b3c4d-b.jpg")
    dataset = read(tmp_path, task, image_root=tmp_path / "photos")
    assert [photo.file_name for photo in dataset.photos] == ["b.jpg"]


def test_read__picture_under_another_name(tmp_path):
    task = make_task(make_result())
    task["data"] = {"text": "http://[", "id": 3, "ref": "x", "picture": "p/a.jpg"}
    assert read(tmp_path, task).photos[0].file_name == "p/a.jpg"


def test_read__size_of_a_task_without_results(tmp_path):
    assert "must be positive integers, not None and None" in find_fault(tmp_path, make_task())
    known = write_rich_set(tmp_path / "data").photos
    dataset = read(tmp_path, make_task(image="empty.jpg"), photos=known)
    assert dataset.photos[0].size_hw == (8, 9)


BAD_RESULTS = {
    "per cent": (make_result([[10, 20], [130.5, 20], [1, 1]]), "from 0 to 100, not 130.5"),
    "negative": (make_result([[-1, 20], [13, 20], [1, 1]]), "from 0 to 100, not -1"),
    "turned": (make_result(image_rotation=90), "was rotated in Label Studio"),
    "two labels": (
        make_result(value={"points": POINTS, "polygonlabels": ["a", "b"]}),
        "it must have one label, not ['a', 'b']",
    ),
    "no label": (make_result(value={"points": POINTS, "polygonlabels": []}), "one label, not []"),
    "short": (make_brush([1, 2, 3]), "'rle' is cut off"),
    "cut": (
        make_brush(encode_brush(np.eye(10, 20, dtype=np.bool_), (10, 20))[:-9]),
        "'rle' is cut off",
    ),
    "huge": (make_brush([255] * 20), "'rle' has 4294967295 values; a photo of 20x10 has 800"),
    "other size": (
        make_brush(encode_brush(np.eye(3, dtype=np.bool_), (3, 3))),
        "'rle' has 36 values",
    ),
    "bytes": (make_brush([0, 256]), "integers from 0 to 255"),
    "true": (make_brush([True] * 30), "integers from 0 to 255"),
    "rle text": (make_brush("AAAA"), "integers from 0 to 255"),
}


@pytest.mark.parametrize("case", BAD_RESULTS)
def test_read__bad_result(tmp_path, case):
    result, fault = BAD_RESULTS[case]
    text = find_fault(tmp_path, make_task(make_result(), result | {"original_height": 10}))
    assert "task 0, result 1: " in text
    assert fault in text


BAD_TASKS = {
    "no object": ([7, make_task()], "task 0: it must be an object with 'data'"),
    "no data": ([{"annotations": []}], "task 0: it must be an object with 'data'"),
    "no picture": ([make_task(make_result(), data={"x": 1})], "'data' names no photo"),
    "result": ([make_task(annotations=[{"result": {}}])], "'result' must be a list of objects"),
    "sizes": (
        [make_task(make_result(), make_result(original_width=21))],
        "its results state different sizes",
    ),
    "json-min": ([{"image": "a.jpg", "label": []}], "has no task with 'annotations'"),
    "nothing": ([], "has no task with 'annotations'"),
}


@pytest.mark.parametrize("case", BAD_TASKS)
def test_read__bad_task(tmp_path, case):
    tasks, fault = BAD_TASKS[case]
    assert fault in find_fault(tmp_path, *tasks)


@pytest.mark.parametrize(
    ("text", "fault"), [("{}", "it must be a list of tasks"), ("[", "is not JSON")]
)
def test_read__bad_file(tmp_path, text, fault):
    path = tmp_path / "x.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(AnnotationError) as caught:
        STUDIO.read(path, ReadOptions())
    assert fault in caught.value.message
