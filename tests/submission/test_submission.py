"""The competition's submission.csv: bytes as the notebook wrote them, every fault found."""

import csv
import gzip
import io
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bunri.core.contracts import MaskArray
from bunri.core.errors import ImageError, InputError, OutputError, PathError, SubmissionError
from bunri.submission.check import SubmissionCheck, check_submission
from bunri.submission.format import HEADER, SUBMISSION_SIZE_PX, Fault, shrink_mask
from bunri.submission.stream import read_submission, write_submission

IDS = ("batch_01/0001.jpg", "batch_01/0002.jpg", "batch_01/0003.jpg", "batch_02/0001.jpg")
COLUMN = "PredictionString"


def draw_mask(seed: int, num_classes: int = 12) -> MaskArray:
    return np.random.default_rng(seed).integers(0, num_classes, (256, 256), np.uint8)


def join_pixels(mask: MaskArray) -> str:
    """The notebook's own line."""
    return " ".join(str(e) for e in mask.reshape(65536))


MASKS = tuple(draw_mask(seed) for seed in range(len(IDS)))
PIXELS = tuple(join_pixels(mask).encode() for mask in MASKS)
LINES = tuple(
    image_id.encode() + b"," + pixels for image_id, pixels in zip(IDS, PIXELS, strict=True)
)


def make_file(path: Path, lines: list[bytes], header: bytes = HEADER.encode()) -> Path:
    path.write_bytes(b"\n".join([header, *lines, b""]))
    return path


def replace_row(row: int, line: bytes) -> list[bytes]:
    return [*LINES[: row - 1], line, *LINES[row:]]


def replace_pixels(row: int, pixels: bytes) -> list[bytes]:
    return replace_row(row, IDS[row - 1].encode() + b"," + pixels)


def replace_value(row: int, position: int, token: bytes) -> list[bytes]:
    values = PIXELS[row - 1].split(b" ")
    return replace_pixels(row, b" ".join([*values[: position - 1], token, *values[position:]]))


def find_only_fault(path: Path, expected: tuple[str, ...] | None = IDS) -> Fault:
    check = check_submission(path, expected)
    assert check.num_faults == 1, check.faults
    assert not check.ok
    (fault,) = check.faults
    assert fault.message.isprintable()
    return fault


def assert_reading_stops(path: Path, fault: Fault) -> None:
    with pytest.raises(SubmissionError) as caught:
        list(read_submission(path))
    assert str(fault) in str(caught.value)
    assert (f"row {fault.row}, {fault.column}" if fault.row else "header") in str(caught.value)


# --- writing ---------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32), classes=st.sets(st.integers(0, 11), min_size=1))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_bytes_equal_the_plain_join_and_come_back(
    tmp_path_factory: pytest.TempPathFactory, seed: int, classes: set[int]
) -> None:
    mask = np.random.default_rng(seed).choice(np.array(sorted(classes), np.uint8), (256, 256))
    path = tmp_path_factory.mktemp("join") / "submission.csv"
    assert write_submission(path, [("a.jpg", mask)]) == 1
    assert path.read_text() == f"{HEADER}\na.jpg,{join_pixels(mask)}\n"
    ((image_id, read),) = read_submission(path)
    assert image_id == "a.jpg"
    assert read.dtype == np.uint8
    assert np.array_equal(read, mask)


def test_a_file_written_by_hand(tmp_path: Path) -> None:
    mask = np.zeros((256, 256), np.uint8)
    mask[0, :3] = [1, 11, 10]
    mask[1, 0] = 7
    mask[255, 255] = 9
    by_hand = (
        "image_id,PredictionString\n"
        "batch_01_vt/0021.jpg," + "1 11 10 " + "0 " * 253 + "7 " + "0 " * 65278 + "9\n"
        '"b ""x"", 2.jpg",' + "0 " * 65535 + "0\n"
    )
    path = tmp_path / "submission.csv"
    empty = np.zeros((256, 256), np.uint8)
    write_submission(path, [("batch_01_vt/0021.jpg", mask), ('b "x", 2.jpg', empty)])
    assert path.read_bytes() == by_hand.encode()
    assert check_submission(path, ["batch_01_vt/0021.jpg", 'b "x", 2.jpg']).ok


@pytest.mark.parametrize("name", ["submission.csv", "submission.csv.gz", "SUBMISSION.CSV.GZ"])
def test_round_trip_plain_and_packed(tmp_path: Path, name: str) -> None:
    path = tmp_path / "new folder" / name
    assert write_submission(path, zip(IDS, MASKS, strict=True)) == 4
    rows = list(read_submission(path))
    assert [image_id for image_id, _ in rows] == list(IDS)
    for (_, read), mask in zip(rows, MASKS, strict=True):
        assert np.array_equal(read, mask)
    assert check_submission(path, IDS) == SubmissionCheck(num_rows=4, faults=(), num_faults=0)
    assert check_submission(path, None).ok


def test_packed_bytes_do_not_depend_on_name_or_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_submission(tmp_path / "a.csv.gz", zip(IDS, MASKS, strict=True))
    monkeypatch.setattr("time.time", lambda: 2e9)
    write_submission(tmp_path / "b.csv.gz", zip(IDS, MASKS, strict=True))
    packed = (tmp_path / "a.csv.gz").read_bytes()
    assert packed == (tmp_path / "b.csv.gz").read_bytes()
    assert gzip.decompress(packed) == b"\n".join([HEADER.encode(), *LINES, b""])


def test_ids_with_commas_quotes_line_ends_and_korean(tmp_path: Path) -> None:
    ids = [
        "a,b.jpg",
        'c"d.jpg',
        '"e"',
        "분리/배출 사진.jpg",
        "f\ng.jpg",
        "h\r\ni.jpg",
        " j ",
        ",",
        '"',
    ]
    path = tmp_path / "submission.csv"
    write_submission(path, ((image_id, MASKS[0]) for image_id in ids))
    content = path.read_bytes()
    for written in (
        b'\n"a,b.jpg",',
        b'\n"c""d.jpg",',
        "\n분리/배출 사진.jpg,".encode(),
        b'\n"""",',
    ):
        assert written in content
    assert [image_id for image_id, _ in read_submission(path)] == ids
    assert check_submission(path, ids).ok


def test_the_csv_module_writes_and_reads_the_same(tmp_path: Path) -> None:
    ids = ["a,b.jpg", 'c"d.jpg', '"e"', "분리배출.jpg", "f\ng.jpg", " j ", ",,", "'k'"]
    mask = np.zeros((256, 256), np.uint8)  # csv takes fields of up to 131,072 characters
    path = tmp_path / "submission.csv"
    write_submission(path, ((image_id, mask) for image_id in ids))
    rows = [HEADER.split(","), *([image_id, join_pixels(mask)] for image_id in ids)]
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(rows)
    assert path.read_bytes() == written.getvalue().encode()
    with path.open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == rows


def test_masks_need_not_be_contiguous(tmp_path: Path) -> None:
    large = np.random.default_rng(0).integers(0, 12, (512, 512), np.uint8)
    path = tmp_path / "submission.csv"
    write_submission(path, [("a", large[::2, ::2]), ("b", MASKS[0].T)])
    first, second = (mask for _, mask in read_submission(path))
    assert np.array_equal(first, large[::2, ::2])
    assert np.array_equal(second, MASKS[0].T)


def test_up_to_255_classes(tmp_path: Path) -> None:
    mask = draw_mask(0, 255)
    path = tmp_path / "submission.csv"
    write_submission(path, [("a", mask)], num_classes=255)
    assert path.read_text() == f"{HEADER}\na,{join_pixels(mask)}\n"
    ((_, read),) = read_submission(path, num_classes=255)
    assert np.array_equal(read, mask)
    assert check_submission(path, ["a"], num_classes=255).ok
    assert not check_submission(path, ["a"], num_classes=254).ok


def set_pixel(value: int) -> MaskArray:
    mask = MASKS[0].copy()
    mask[1, 2] = value
    return mask


@pytest.mark.parametrize(
    ("image_id", "mask", "words"),
    [
        ("b", np.zeros((512, 512), np.uint8), "row 2, PredictionString: .*shrink_mask"),
        ("b", np.zeros(65536, np.uint8), r"\(65536,\)"),
        ("b", np.zeros((256, 256), np.int64), "int64"),
        ("b", set_pixel(12), "row 2, PredictionString, pixel 259: '12' is out of range.*0 to 11"),
        ("b", set_pixel(255), "pixel 259: 255 means ignore"),
        ("a", MASKS[0], "row 2, image_id: 'a' came before"),
        ("", MASKS[0], "row 2, image_id: an id needs 1 to 4,096 bytes"),
        ("가" * 1366, MASKS[0], "has 4,098"),
        ("\udcff.jpg", MASKS[0], "UTF-8"),
    ],
)
def test_refused_rows_leave_no_file(
    tmp_path: Path, image_id: str, mask: MaskArray, words: str
) -> None:
    path = tmp_path / "submission.csv"
    with pytest.raises(SubmissionError, match=words):
        write_submission(path, [("a", MASKS[0]), (image_id, mask)])
    assert list(tmp_path.iterdir()) == []


def test_no_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SubmissionError, match="no rows"):
        write_submission(tmp_path / "submission.csv", [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["submission.csv", "submission.csv.gz"])
@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        FileNotFoundError(2, "No such file", "0002.jpg"),
        ImageError("0002.jpg is no photo."),
        RuntimeError("out of memory"),
        KeyboardInterrupt(),
    ],
)
def test_errors_of_the_rows_pass_unchanged_and_the_old_file_stays(
    tmp_path: Path, error: BaseException, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(b"old")
    cause = ValueError("why")
    error.__cause__ = cause

    def make_rows() -> Iterator[tuple[str, MaskArray]]:
        yield IDS[0], MASKS[0]
        raise error

    with pytest.raises(type(error)) as caught:
        write_submission(path, make_rows())
    assert caught.value is error
    assert error.__cause__ is cause
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_disk_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError):
        write_submission(tmp_path / "file" / "submission.csv", [("a", MASKS[0])])


def test_memory_is_flat_in_the_number_of_rows(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    ids = [f"{number}.jpg" for number in range(50)]

    def measure_peak(rows: int) -> int:
        tracemalloc.reset_peak()
        write_submission(path, ((image_id, draw_mask(0)) for image_id in ids[:rows]))
        assert sum(1 for _ in read_submission(path)) == rows
        assert check_submission(path, ids[:rows]).ok
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        few, many = measure_peak(5), measure_peak(50)
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 6_000_000
    assert many < 4_000_000
    assert many < few + 200_000


# --- shrinking -------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_shrinking_512_takes_every_second_pixel(seed: int) -> None:
    mask = np.random.default_rng(seed).integers(0, 256, (512, 512), np.uint8)
    shrunk = shrink_mask(mask)
    assert shrunk.dtype == np.uint8
    assert np.array_equal(shrunk, mask[::2, ::2])


def test_shrinking_other_sizes() -> None:
    assert np.array_equal(shrink_mask(np.full((1, 1), 3, np.uint8)), np.full((256, 256), 3))
    assert np.array_equal(shrink_mask(MASKS[0]), MASKS[0])
    # 3 columns: 256 / 3 = 85.33, so column 1 starts at 86 and column 2 at 171.
    three = shrink_mask(np.array([[0, 1, 2]], np.uint8))
    assert three[200].tolist() == [0] * 86 + [1] * 85 + [2] * 85
    # 2 rows, upper and lower half; 1024 columns, every fourth.
    wide = shrink_mask(np.arange(1024).astype(np.uint8).reshape(1, 1024).repeat(2, axis=0))
    assert wide[0].tolist() == [column * 4 % 256 for column in range(256)]
    tall = shrink_mask(np.array([[5], [6]], np.uint8))
    assert tall[:, 7].tolist() == [5] * 128 + [6] * 128


@given(height=st.integers(1, 700), width=st.integers(1, 700))
@settings(max_examples=20, deadline=None)
def test_shrinking_any_size_follows_the_rule(height: int, width: int) -> None:
    mask = np.random.default_rng(height).integers(0, 256, (height, width), np.uint8)
    shrunk = shrink_mask(mask)
    for i, j in ((0, 0), (255, 255), (17, 200), (128, 3)):
        assert shrunk[i, j] == mask[i * height // 256, j * width // 256]


@pytest.mark.parametrize("shape", [(0, 5), (4, 4, 1), (16,)])
def test_shrinking_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"\(H, W\)"):
        shrink_mask(np.zeros(shape, np.uint8))


def test_shrinking_refuses_other_types() -> None:
    with pytest.raises(InputError, match="int64"):
        shrink_mask(np.zeros((4, 4), np.int64))


# --- faults ----------------------------------------------------------------------------------

P = PIXELS[1]
LAST = PIXELS[1].split(b" ")[-1]
VALUE_FAULTS = [
    ("float", replace_value(2, 17, b"3.0"), 17, "'3.0' is not an integer"),
    ("negative", replace_value(2, 1, b"-1"), 1, "'-1' is out of range"),
    ("letter", replace_value(2, 65536, b"a"), 65536, "'a' is not an integer"),
    ("plus", replace_value(2, 9, b"+3"), 9, r"'\+3' is not an integer"),
    ("12", replace_value(2, 300, b"12"), 300, "'12' is out of range; .* 0 to 11"),
    ("255", replace_value(2, 300, b"255"), 300, "255 means ignore"),
    ("10003", replace_value(2, 300, b"10003"), 300, "'10003' is out of range"),
    ("leading zero", replace_value(2, 300, b"07"), 300, "'07' has a leading zero"),
    ("zeros", replace_value(2, 300, b"00000"), 300, "'00000' has a leading zero"),
    ("quotes", replace_value(2, 1, b'"0'), 1, "is not an integer"),
    ("control", replace_value(2, 8, b"\x1b[31m"), 8, r"'\\x1b\[31m' is not an integer"),
    ("no UTF-8", replace_value(2, 8, b"\xff"), 8, r"b'\\xff' is not an integer"),
    ("tab", replace_value(2, 8, b"\t3"), 8, r"'\\t3' is not an integer"),
    ("NUL", replace_value(2, 8, b"\0"), 8, r"'\\x00' is not an integer"),
    ("carriage return", replace_value(2, 8, b"1\r"), 8, r"'1\\r' is not an integer"),
    ("long token", replace_value(2, 8, b"9" * 500), 8, r"'9{60}'\.\.\. is out of range"),
    ("double space", replace_pixels(2, P.replace(b" ", b"  ", 1)), 2, "between two values"),
    ("a space as value", replace_pixels(2, P.replace(b" ", b"   ", 1)), 2, "one space"),
    ("leading space", replace_pixels(2, b" " + P), 1, "before the first value"),
    ("trailing space", replace_pixels(2, P + b" "), 65536, "after the last value"),
    ("too few", replace_pixels(2, P[: -len(LAST) - 1]), None, "65,535 pixels; .* 65,536"),
    ("too many", replace_pixels(2, P + b" 0"), None, "65,537 pixels.*shrink_mask"),
    ("no pixels", replace_pixels(2, b""), None, "there are 0 pixels"),
    ("one field", replace_row(2, IDS[1].encode()), None, "1 field;"),
    ("three fields", replace_pixels(2, P + b",1"), None, "3 fields"),
    ("commas", replace_pixels(2, P.replace(b" ", b",")), None, "65,537 fields"),
    ("long line", replace_pixels(2, b"0 " * 2**20), None, "1,048,576 bytes or more"),
]


@pytest.mark.parametrize(
    ("lines", "position", "words"), [pytest.param(*case[1:], id=case[0]) for case in VALUE_FAULTS]
)
def test_one_fault_in_the_pixels(
    tmp_path: Path, lines: list[bytes], position: int | None, words: str
) -> None:
    path = make_file(tmp_path / "submission.csv", lines)
    fault = find_only_fault(path)
    assert (fault.row, fault.column, fault.value_position) == (2, COLUMN, position)
    assert re.search(words, fault.message)
    assert_reading_stops(path, fault)
    assert find_only_fault(path, None) == fault


def test_the_first_fault_of_each_kind_in_a_row(tmp_path: Path) -> None:
    values = PIXELS[1].split(b" ")
    values[4], values[10], values[20] = b"x", b"99", b"3.5"
    path = make_file(tmp_path / "submission.csv", replace_pixels(2, b" ".join(values) + b" 1  1"))
    check = check_submission(path, IDS)
    assert [(fault.row, fault.value_position) for fault in check.faults] == [
        (2, 65538),
        (2, 5),
        (2, None),
    ]
    assert "'x' is not an integer" in check.faults[1].message
    assert "2 more of this row" in check.faults[1].message
    assert "65,538 pixels" in check.faults[2].message


@given(
    start=st.integers(0, 150_000),
    length=st.integers(0, 3),
    inserted=st.text("0123456789 a.-", max_size=6).map(str.encode),
)
@settings(max_examples=60, deadline=None)
def test_any_edit_of_the_pixels_is_judged_as_by_plain_python(
    tmp_path_factory: pytest.TempPathFactory, start: int, length: int, inserted: bytes
) -> None:
    edited = P[:start] + inserted + P[start + length :]
    path = make_file(tmp_path_factory.mktemp("edit") / "s.csv", replace_pixels(2, edited))
    values = edited.split(b" ")
    allowed = {str(value).encode() for value in range(12)}
    positions = [n for n, value in enumerate(filter(None, values), 1) if value not in allowed]
    faults = check_submission(path, IDS).faults
    assert {fault.row for fault in faults} <= {2}
    by_kind = {
        "space" if "a space too many" in fault.message else "value": fault.value_position
        for fault in faults
        if fault.value_position is not None
    }
    assert ("space" in by_kind) == (b"" in values)
    assert by_kind.get("value") == (positions[0] if positions else None)
    wrong_count = len([value for value in values if value]) != 65536
    assert any(" pixels; the rule" in fault.message for fault in faults) == wrong_count


ID_FAULTS = [
    ("no id", replace_row(2, b"," + P), 2, "1 to 4,096 bytes; this has 0"),
    ("long id", replace_row(2, b"a" * 4097 + b"," + P), 2, "this has 4,097"),
    ("no UTF-8", replace_row(2, b"\xff\x1b.jpg," + P), 2, r"b'\\xff\\x1b.jpg' is not UTF-8"),
    ("open quote", replace_row(2, b'"a.jpg,' + P), 2, "not closed before a comma"),
    ("quote goes on", replace_row(2, b'"a"b.jpg,' + P), 2, "not closed before a comma"),
    ("quote inside", replace_row(2, b'a"b.jpg,' + P), 2, "is not quoted"),
    ("carriage return", replace_row(2, b"a\rb.jpg," + P), 2, "is not quoted"),
    ("twice", [*LINES, LINES[1]], 5, "'batch_01/0002.jpg' stands in row 2 already"),
    ("blank line", [*LINES[:1], b"", *LINES[1:]], 2, "blank line"),
    ("blank with spaces", [*LINES[:1], b"  ", *LINES[1:]], 2, "blank line"),
    ("blank at the end", [*LINES, b""], 5, "blank line"),
]


@pytest.mark.parametrize(
    ("lines", "row", "words"), [pytest.param(*case[1:], id=case[0]) for case in ID_FAULTS]
)
def test_one_fault_in_the_ids(tmp_path: Path, lines: list[bytes], row: int, words: str) -> None:
    path = make_file(tmp_path / "submission.csv", lines)
    fault = find_only_fault(path)
    assert (fault.row, fault.column, fault.value_position) == (row, "image_id", None)
    assert re.search(words, fault.message)
    assert_reading_stops(path, fault)


EXPECTED_ID_FAULTS = [
    ("unknown", replace_row(2, b"0002.jpg," + P), 2, "'0002.jpg' is none of the 4 expected ids"),
    ("one more", [*LINES, b"x\x1b.jpg," + P], 5, r"'x\\x1b.jpg' is none of"),
    ("missing in the middle", [*LINES[:1], *LINES[2:]], 2, "'batch_01/0002.jpg' has no row"),
    ("missing at the end", [*LINES[:3]], 4, "'batch_02/0001.jpg' has no row"),
    ("first two swapped", [LINES[1], LINES[0], *LINES[2:]], 1, "0002.jpg' stands where .*; .* 2 r"),
    ("last comes first", [LINES[3], *LINES[:3]], 1, "'batch_02/0001.jpg' stands where .* 4 rows"),
]


@pytest.mark.parametrize(
    ("lines", "row", "words"), [pytest.param(*case[1:], id=case[0]) for case in EXPECTED_ID_FAULTS]
)
def test_one_fault_against_the_expected_ids(
    tmp_path: Path, lines: list[bytes], row: int, words: str
) -> None:
    path = make_file(tmp_path / "submission.csv", lines)
    fault = find_only_fault(path)
    assert (fault.row, fault.column, fault.value_position) == (row, "image_id", None)
    assert re.search(words, fault.message)
    assert check_submission(path, None).ok
    assert sum(1 for _ in read_submission(path)) == len(lines)


def test_a_row_written_over_by_another_is_double_and_missing(tmp_path: Path) -> None:
    path = make_file(tmp_path / "submission.csv", replace_row(3, LINES[0]))
    messages = [(fault.row, fault.message) for fault in check_submission(path, IDS).faults]
    assert messages == [
        (3, "'batch_01/0001.jpg' stands in row 1 already"),
        (3, "'batch_01/0003.jpg' has no row"),
    ]


def test_a_double_of_a_faulty_row_is_found(tmp_path: Path) -> None:
    lines = replace_value(2, 5, b"x")
    path = make_file(tmp_path / "submission.csv", [*lines, LINES[1]])
    faults = check_submission(path, IDS).faults
    assert [(fault.row, fault.column) for fault in faults] == [(2, COLUMN), (5, "image_id")]


HEADER_FAULTS = [
    ("other names", b"id,PredictionString", "it is 'id,PredictionString'"),
    ("a space", b"image_id, PredictionString", "the rule is image_id,PredictionString"),
    ("an index column", b",image_id,PredictionString", "it is"),
    ("quoted", b'"image_id","PredictionString"', "it is"),
    ("blank", b"", "it is ''"),
    ("control", b"\x1b[2J", r"it is '\\x1b\[2J'"),
    ("byte order mark", b"\xef\xbb\xbf" + HEADER.encode(), "byte order mark"),
    ("no header", LINES[0], "there is none"),
    ("no header, quoted id", b'"a,b.jpg",' + P, "there is none"),
]


@pytest.mark.parametrize(
    ("header", "words"), [pytest.param(*case[1:], id=case[0]) for case in HEADER_FAULTS]
)
def test_one_fault_in_the_header(tmp_path: Path, header: bytes, words: str) -> None:
    is_data = b" 1" in header
    lines = [*LINES[1:]] if is_data else [*LINES]
    path = make_file(tmp_path / "submission.csv", lines, header)
    ids = ("a,b.jpg", *IDS[1:]) if header.startswith(b'"a,b') else IDS
    fault = find_only_fault(path, ids)
    assert (fault.row, fault.column, fault.value_position) == (0, "header", None)
    assert re.search(words, fault.message)
    assert check_submission(path, ids).num_rows == 4
    assert_reading_stops(path, fault)


def test_windows_line_ends_are_told_once(tmp_path: Path) -> None:
    content = b"\n".join([HEADER.encode(), *LINES, b""])
    path = tmp_path / "submission.csv"
    path.write_bytes(content.replace(b"\n", b"\r\n"))
    fault = find_only_fault(path)
    assert (fault.row, fault.column) == (0, "header")
    assert r"\r\n" in fault.message
    assert_reading_stops(path, fault)
    make_file(path, [LINES[0], LINES[1] + b"\r", LINES[2] + b"\r", LINES[3]])
    fault = find_only_fault(path)
    assert (fault.row, fault.column, fault.value_position) == (2, COLUMN, None)


def test_the_last_line_feed_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    path.write_bytes(b"\n".join([HEADER.encode(), *LINES]))
    assert check_submission(path, IDS).ok


CUT_FILES = [
    ("empty", b"", 0, "header", "the file is empty"),
    ("header only", HEADER.encode() + b"\n", 1, "image_id", "no rows"),
    ("image", b"\x89PNG\r\n\x1a\n\0\0", 0, "header", "no CSV file"),
    ("UTF-16", HEADER.encode("utf-16"), 0, "header", "not UTF-8 text"),
    ("one endless line", b"0 " * 2**20, 0, "header", "no CSV file"),
    ("packed under a plain name", gzip.compress(b"a"), 0, "header", "must end in .gz"),
]


@pytest.mark.parametrize(
    ("content", "row", "column", "words"),
    [pytest.param(*case[1:], id=case[0]) for case in CUT_FILES],
)
def test_no_submission_at_all(
    tmp_path: Path, content: bytes, row: int, column: str, words: str
) -> None:
    path = tmp_path / "submission.csv"
    path.write_bytes(content)
    fault = find_only_fault(path)
    assert (fault.row, fault.column) == (row, column)
    assert words in fault.message
    assert_reading_stops(path, fault)


def test_damaged_gzip_data(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv.gz"
    write_submission(path, zip(IDS, MASKS, strict=True))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 5 // 8])  # in the third of four rows
    fault = find_only_fault(path)
    assert (fault.row, fault.column) == (3, "image_id")
    assert "end early" in fault.message
    assert check_submission(path, IDS).num_rows == 2
    assert_reading_stops(path, fault)
    path.write_bytes(whole[:-20] + bytes(20))  # the last bytes and the checksum
    assert not check_submission(path, IDS).ok
    path.write_bytes(b"no gzip")
    fault = find_only_fault(path)
    assert (fault.row, fault.column) == (0, "header")
    path.write_bytes(b"")
    assert "empty" in find_only_fault(path).message


@pytest.mark.parametrize("name", ["missing.csv", "missing.csv.gz", ".", "a\0b"])
def test_only_files_that_cannot_be_opened_raise(tmp_path: Path, name: str) -> None:
    with pytest.raises(PathError):
        check_submission(tmp_path / name, IDS)
    with pytest.raises(PathError):
        next(read_submission(tmp_path / name))


def test_all_faults_are_counted_and_the_first_shown(tmp_path: Path) -> None:
    lines = [f"{number}.jpg,x".encode() for number in range(25)]
    path = make_file(tmp_path / "submission.csv", [*LINES, *lines])
    check = check_submission(path, None)
    assert check.num_rows == 29
    assert check.num_faults == 50  # in each row an x and one pixel
    assert len(check.faults) == 10
    assert [fault.row for fault in check.faults] == [5, 5, 6, 6, 7, 7, 8, 8, 9, 9]
    assert check_submission(path, None, max_faults=3).faults == check.faults[:3]
    assert check_submission(path, [*IDS, "y"]).num_faults == 75
    everything = check_submission(path, [*IDS, *map(str, range(40))], max_faults=1000)
    assert everything.num_faults == len(everything.faults) == 25 * 3 + 15


def test_a_quote_never_closed_takes_no_other_row_along(tmp_path: Path) -> None:
    path = make_file(tmp_path / "submission.csv", [LINES[0], b'"' + LINES[1], *LINES[2:]])
    assert find_only_fault(path).row == 2
    assert check_submission(path, IDS).num_rows == 4


@given(content=st.binary(max_size=400) | st.text('",\r\n 019a', max_size=200).map(str.encode))
@settings(max_examples=60, deadline=None)
def test_no_content_ever_raises(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    for path in (folder / "submission.csv", folder / "submission.csv.gz"):
        path.write_bytes(HEADER.encode() + b"\n" + content)
        check = check_submission(path, IDS)
        assert not check.ok
        assert all(fault.message.isprintable() for fault in check.faults)
        with pytest.raises(SubmissionError):
            list(read_submission(path))


def measure_check_peak(path: Path) -> int:
    tracemalloc.start()
    try:
        assert not check_submission(path, None).ok
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("unit", "count"), [(b" ", 10**7), (b"0 ", 10**7), (b"a,", 10**7), (b'"\n', 5000)]
)
def test_a_line_without_end_does_not_fill_memory(tmp_path: Path, unit: bytes, count: int) -> None:
    path = tmp_path / "submission.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(f"{HEADER}\n".encode() + unit * count + b"\n")
    assert measure_check_peak(path) < 5_000_000


def test_the_longest_line_takes_bounded_memory(tmp_path: Path) -> None:
    path = make_file(tmp_path / "submission.csv", [b"a," + b"0 " * (2**19 - 5)])
    assert measure_check_peak(path) < 30_000_000


def test_ids_of_short_lines_are_not_kept(tmp_path: Path) -> None:
    lines = [b"%d,0" % number for number in range(3_000)]
    path = make_file(tmp_path / "submission.csv", lines)
    assert measure_check_peak(path) < 100_000


def test_the_public_constants() -> None:
    assert SUBMISSION_SIZE_PX == 256
    assert HEADER == "image_id,PredictionString"
