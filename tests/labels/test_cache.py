"""Masks kept on disk: found again by what they were drawn from, redrawn when in doubt."""

import io
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bunri.core.waste_classes import choose_class_table
from bunri.labels import cache as cache_module
from bunri.labels.cache import MaskCache, hash_labels
from bunri.labels.coco import read_coco
from bunri.labels.overlap import draw_mask
from bunri.labels.records import LabelledSet, Polygons, RunLengths
from bunri.labels.rules import OVERLAP_RULES
from tests.coco_data import (
    box,
    list_categories,
    make_annotation,
    make_document,
    make_image,
    write_coco,
)

RULE = OVERLAP_RULES[0]
ANNOTATION = make_annotation(3, 7, 2, box(5, 8, 10, 6))


def read(folder: Path, **changes: Any) -> LabelledSet:
    return read_coco(write_coco(folder, make_document(**changes)))


def find_key(folder: Path, **changes: Any) -> str:
    dataset = read(folder, **changes)
    return hash_labels(dataset, dataset.photos[0], RULE)


@pytest.fixture
def dataset(tmp_path: Path) -> LabelledSet:
    return read(tmp_path / "data")


@pytest.fixture
def cache(tmp_path: Path) -> MaskCache:
    return MaskCache(tmp_path / "masks")


def list_files(cache: MaskCache) -> list[Path]:
    return sorted(path for path in cache.folder.rglob("*") if path.is_file())


def forbid_drawing(monkeypatch) -> None:
    def fail(*args):
        raise AssertionError("the mask was drawn")

    monkeypatch.setattr(cache_module, "draw_mask", fail)


# --- keys ---------------------------------------------------------------------------------------


def test_hash_labels__64_hex_digits(dataset):
    key = hash_labels(dataset, dataset.photos[0], RULE)
    assert len(key) == 64
    assert int(key, 16) >= 0


def test_hash_labels__rule_changes_the_key(dataset):
    assert len({hash_labels(dataset, dataset.photos[0], rule) for rule in OVERLAP_RULES}) == 3


RUNS = {"size": [30, 40], "counts": [100, 50, 1050]}


@pytest.mark.parametrize(
    "annotations",
    [
        [],
        [make_annotation(3, 7, 2, box(5, 8, 10, 7))],
        [make_annotation(3, 7, 2, box(5, 8, 10, 6.00001))],
        [make_annotation(3, 7, 3, box(5, 8, 10, 6))],
        [make_annotation(3, 7, 2, box(5, 8, 10, 6), box(0, 0, 1, 1))],
        [ANNOTATION, make_annotation(4, 7, 2, box(5, 8, 10, 6))],
        [make_annotation(3, 7, 2, segmentation=RUNS)],
    ],
    ids=["none", "longer", "hair", "class", "part", "twice", "runs"],
)
def test_hash_labels__annotation_changes_the_key(tmp_path, annotations):
    assert find_key(tmp_path, annotations=annotations) != find_key(tmp_path)


def test_hash_labels__order_of_annotations_changes_the_key(tmp_path):
    second = make_annotation(4, 7, 5, box(6, 9, 10, 6))
    one, two = ([ANNOTATION, second], [second, ANNOTATION])
    assert find_key(tmp_path, annotations=one) != find_key(tmp_path, annotations=two)


def test_hash_labels__where_a_part_ends_changes_the_key(tmp_path):
    points = [*box(1, 1, 3, 3), *box(5, 5, 4, 2)]
    splits = [[points], [points[:8], points[8:]], [points[:6], points[6:]]]
    keys = {find_key(tmp_path, annotations=[make_annotation(3, 7, 2, *s)]) for s in splits}
    assert len(keys) == 3


def test_hash_labels__run_lengths_change_the_key(tmp_path):
    others = [RUNS, RUNS | {"counts": [100, 49, 1051]}, RUNS | {"counts": [100, 50, 1050, 0]}]
    rows = [make_annotation(3, 7, 2, segmentation=runs) for runs in others]
    rows.append(make_annotation(3, 7, 5, segmentation=RUNS))  # of another class
    assert len({find_key(tmp_path, annotations=[row]) for row in rows}) == 4


def test_hash_labels__size_changes_the_key(tmp_path):
    sizes = [(30, 40), (40, 30), (30, 41), (3, 40)]
    keys = {find_key(tmp_path, images=[make_image(7, "a.jpg", *size)]) for size in sizes}
    assert len(keys) == 4


def test_hash_labels__class_index_changes_the_key_though_the_id_stays(tmp_path):
    path = write_coco(tmp_path, make_document(categories=[{"id": 2, "name": "Paper"}]))
    own, other = (
        read_coco(path),
        read_coco(path, table=choose_class_table(["Glass", "Metal", "Paper"])),
    )
    assert own.index_of_category[2] != other.index_of_category[2]
    assert hash_labels(own, own.photos[0], RULE) != hash_labels(other, other.photos[0], RULE)


def test_hash_labels__ids_names_and_order_of_photos_do_not_change_the_key(tmp_path):
    key = find_key(tmp_path)
    other = read(
        tmp_path,
        images=[make_image(1, "z.jpg", 9, 9), make_image(55, "other.jpg"), make_image(7, "y.jpg")],
        categories=list_categories(first_id=100),
        annotations=[
            make_annotation(9, 1, 101, box(0, 0, 2, 2)),
            make_annotation(8, 55, 102, box(5, 8, 10, 6), area=77.0, iscrowd=1),
        ],
    )
    assert hash_labels(other, other.photos[1], RULE) == key
    assert hash_labels(other, other.photos[0], RULE) != key


def test_hash_labels__version_of_the_drawing_code_changes_the_key(dataset, monkeypatch):
    key = hash_labels(dataset, dataset.photos[0], RULE)
    monkeypatch.setattr(cache_module, "_FORMAT", b"bunri-mask-next")
    assert hash_labels(dataset, dataset.photos[0], RULE) != key


def test_hash_labels__outlines_are_hashed_once(dataset, monkeypatch):
    keys = [hash_labels(dataset, dataset.photos[0], rule) for rule in OVERLAP_RULES]
    monkeypatch.delattr(cache_module, "_hash_outlines")
    assert [hash_labels(dataset, dataset.photos[0], rule) for rule in OVERLAP_RULES] == keys


def test_hash_labels__outlines_that_were_hashed_can_no_longer_be_changed(tmp_path):
    rows = [ANNOTATION, make_annotation(4, 7, 2, segmentation=RUNS)]
    dataset = read(tmp_path, annotations=rows)
    hash_labels(dataset, dataset.photos[0], RULE)
    outline, runs = (row.segmentation for row in dataset.annotations[7])
    assert isinstance(outline, Polygons)
    assert isinstance(runs, RunLengths)
    for array in (*outline.parts, runs.counts):
        with pytest.raises(ValueError, match="read-only"):
            array[0] += 1


def test_hash_labels__annotations_that_took_the_place_of_others_change_the_key(dataset):
    key = hash_labels(dataset, dataset.photos[0], RULE)
    annotations: dict[int, Any] = dict(dataset.annotations)
    other = replace(dataset, annotations=annotations)
    assert hash_labels(other, other.photos[0], RULE) == key
    (row,) = annotations[7]
    annotations[7] = (replace(row, segmentation=Polygons((np.array(box(1, 1, 2, 2)),))),)
    changed = hash_labels(other, other.photos[0], RULE)
    assert changed != key
    annotations[7] = (row,)
    assert hash_labels(other, other.photos[0], RULE) == key


def test_hash_labels__photo_without_annotations(tmp_path):
    dataset = read(tmp_path, images=[make_image(7, "a.jpg"), make_image(8, "b.jpg")])
    keys = {hash_labels(dataset, photo, RULE) for photo in dataset.photos}
    assert len(keys) == 2


# --- the cache ----------------------------------------------------------------------------------


def test_load_mask__is_what_draw_mask_draws(dataset, cache):
    for rule in OVERLAP_RULES:
        for _ in range(2):
            mask = cache.load_mask(dataset, dataset.photos[0], rule)
            assert mask.dtype == np.uint8
            np.testing.assert_array_equal(mask, draw_mask(dataset, dataset.photos[0], rule))
    assert len(list_files(cache)) == 3


def test_load_mask__second_time_from_disk(dataset, cache, monkeypatch):
    drawn = cache.load_mask(dataset, dataset.photos[0], RULE)
    forbid_drawing(monkeypatch)
    np.testing.assert_array_equal(cache.load_mask(dataset, dataset.photos[0], RULE), drawn)


def test_load_mask__may_be_changed_without_changing_the_cache(dataset, cache):
    for _ in range(2):
        mask = cache.load_mask(dataset, dataset.photos[0], RULE)
        assert mask.sum() == 180
        mask[:] = 9


def test_load_mask__memory_map_is_a_read_only_view_of_the_file(dataset, cache, monkeypatch):
    expected = draw_mask(dataset, dataset.photos[0], RULE)
    for _ in range(2):  # drawn, then kept
        mask = cache.load_mask(dataset, dataset.photos[0], RULE, memory_map=True)
        np.testing.assert_array_equal(mask, expected)
        assert mask.shape == (30, 40)
        with pytest.raises(ValueError, match="read-only"):
            mask[0, 0] = 1
        forbid_drawing(monkeypatch)
    (path,) = list_files(cache)
    with path.open("r+b") as file:
        file.seek(GOOD_HEADER_BYTES)
        file.write(b"\x07")
    assert mask[0, 0] == 7  # it is the file


def test_load_mask__memory_map_outlives_the_file(dataset, cache):
    mask = cache.load_mask(dataset, dataset.photos[0], RULE, memory_map=True)
    (path,) = list_files(cache)
    path.unlink()
    assert mask.sum() == 180


def test_load_mask__memory_map_without_a_cache(dataset, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    cache = MaskCache(tmp_path / "file" / "masks")
    mask = cache.load_mask(dataset, dataset.photos[0], RULE, memory_map=True)
    assert mask.sum() == 180
    assert not mask.flags.writeable


@pytest.mark.parametrize("size_hw", [(30, 40), (1, 1), (3, 5), (7, 1)])
def test_load_mask__a_file_is_a_npy_file_that_numpy_reads(tmp_path, cache, size_hw):
    dataset = read(tmp_path, images=[make_image(7, "a.jpg", *size_hw)])
    mask = cache.load_mask(dataset, dataset.photos[0], RULE)
    (path,) = list_files(cache)
    np.testing.assert_array_equal(np.load(path, allow_pickle=False), mask)
    np.testing.assert_array_equal(np.load(path, mmap_mode="r"), mask)
    np.testing.assert_array_equal(cache.load_mask(dataset, dataset.photos[0], RULE), mask)


def make_npy(array: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def make_zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr(zipfile.ZipInfo("a.npy"), make_npy(np.zeros((30, 40), np.uint8)))
    return stream.getvalue()


GOOD = make_npy(np.zeros((30, 40), np.uint8))
GOOD_HEADER_BYTES = len(GOOD) - 30 * 40


@pytest.mark.parametrize(
    "content",
    [
        b"",
        GOOD,  # without a checksum
        GOOD + bytes(8),
        bytes(len(GOOD) + 8),
        b"\x93NUMPY",
        GOOD[:20],
        GOOD[:-1],
        GOOD[:100],
        b"not an array at all",
        make_npy(np.zeros((40, 30), np.uint8)),
        make_npy(np.zeros((30, 40), np.int64)),
        make_npy(np.zeros((30, 40, 1), np.uint8)),
        make_npy(np.array([[None]])),
        make_zip(),
        make_zip()[:50],
        b"PK\x03\x04" + b"x" * 100,
        b"PK\x05\x06",
        b"\x80\x04K\x05.",
        GOOD.replace(b"(30, 40)", b"(30, 4e)"),
        GOOD.replace(b"(30, 40), }  ", b"(9999999999, )"[:13]),
        GOOD.replace(b"'descr'", b"'dascr'"),
        GOOD.replace(b"{'descr'", b"{'''scr'"),
        GOOD.replace(b"{'descr'", b"((('desc"),
        GOOD.replace(b"|u1", b"|O8"),
        GOOD.replace(b"False", b"None "),
        GOOD.replace(b"\x93NUMPY\x01", b"\x93NUMPY\x09"),
        GOOD.replace(b"\x93NUMPY\x01\x00v\x00", b"\x93NUMPY\x01\x00\xff\xff"),
    ],
)
def test_load_mask__damaged_file_is_drawn_anew_and_mended(dataset, cache, content):
    drawn = cache.load_mask(dataset, dataset.photos[0], RULE)
    (path,) = list_files(cache)
    for memory_map in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            path.write_bytes(content)
            mask = cache.load_mask(dataset, dataset.photos[0], RULE, memory_map=memory_map)
            np.testing.assert_array_equal(mask, drawn)
            forbid_drawing(patch)
            mask = cache.load_mask(dataset, dataset.photos[0], RULE, memory_map=memory_map)
            np.testing.assert_array_equal(mask, drawn)


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@given(
    position=st.integers(0, len(GOOD) + 7) | st.integers(0, GOOD_HEADER_BYTES),
    content=st.binary(min_size=1, max_size=8),
    end=st.integers(0, len(GOOD) + 8) | st.none(),
    memory_map=st.booleans(),
)
def test_load_mask__any_damage_is_noticed_and_drawn_anew(
    shared_folder, position, content, end, memory_map
):
    dataset = read(shared_folder)
    cache = MaskCache(shared_folder / "masks")
    drawn = cache.load_mask(dataset, dataset.photos[0], RULE)
    (path,) = list_files(cache)
    good = path.read_bytes()
    damaged = (good[:position] + content + good[position + len(content) :])[:end]
    path.write_bytes(damaged)
    mask = cache.load_mask(dataset, dataset.photos[0], RULE, memory_map=memory_map)
    np.testing.assert_array_equal(mask, drawn)
    assert path.read_bytes() == good


@pytest.mark.parametrize("bit", range(8))
def test_load_mask__one_flipped_bit_of_a_pixel_is_noticed(dataset, cache, bit):
    drawn = cache.load_mask(dataset, dataset.photos[0], RULE)
    (path,) = list_files(cache)
    content = bytearray(path.read_bytes())
    content[GOOD_HEADER_BYTES + 9 * 40 + 7] ^= 1 << bit
    path.write_bytes(content)
    np.testing.assert_array_equal(cache.load_mask(dataset, dataset.photos[0], RULE), drawn)


def test_load_mask__a_folder_in_place_of_the_file(dataset, cache):
    drawn = cache.load_mask(dataset, dataset.photos[0], RULE)
    (path,) = list_files(cache)
    path.unlink()
    path.mkdir()
    np.testing.assert_array_equal(cache.load_mask(dataset, dataset.photos[0], RULE), drawn)


def test_load_mask__cache_folder_that_cannot_be_made(dataset, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    cache = MaskCache(tmp_path / "file" / "masks")
    assert cache.load_mask(dataset, dataset.photos[0], RULE).sum() == 180


def test_load_mask__full_disk(dataset, cache, monkeypatch):
    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    assert cache.load_mask(dataset, dataset.photos[0], RULE).sum() == 180
    assert list_files(cache) == []


def test_open_default__below_the_environments_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("BUNRI_CACHE", str(tmp_path / "mine"))
    assert MaskCache.open_default().folder == tmp_path / "mine" / "masks"


DRAW_MANY = """
import sys
from pathlib import Path
from bunri.labels.cache import MaskCache
from bunri.labels.coco import read_coco

dataset = read_coco(Path(sys.argv[1]))
cache = MaskCache(Path(sys.argv[2]))
memory_map = sys.argv[3] == "map"
for photo in dataset.photos:
    mask = cache.load_mask(dataset, photo, "largest-first", memory_map=memory_map)
    assert mask.sum() == 3 * (photo.id + 1)
"""


def test_load_mask__several_processes_at_once(tmp_path):
    count = 30
    path = write_coco(
        tmp_path / "data",
        make_document(
            images=[make_image(i, f"{i}.jpg") for i in range(count)],
            annotations=[make_annotation(i, i, 2, box(0, 0, i + 1, 1)) for i in range(count)],
        ),
    )
    cache = MaskCache(tmp_path / "masks")
    command = [sys.executable, "-c", DRAW_MANY, str(path), str(cache.folder)]
    processes = [
        subprocess.Popen([*command, how], stderr=subprocess.PIPE)
        for how in ("copy", "map", "copy", "map")
    ]
    errors = [process.communicate()[1] for process in processes]
    assert errors == [b""] * 4
    assert [process.returncode for process in processes] == [0] * 4
    assert len(list_files(cache)) == count
    assert all(path.suffix == ".npy" and path.name[0] != "." for path in list_files(cache))


def test_load_mask__another_table_finds_no_mask_of_the_first(dataset, cache):
    cache.load_mask(dataset, dataset.photos[0], RULE)
    other = replace(dataset, index_of_category={2: 9})
    mask = cache.load_mask(other, other.photos[0], RULE)
    assert sorted(np.unique(mask).tolist()) == [0, 9]
