"""Reading back JSON that bunri wrote."""

import pytest

from bunri.core.errors import InputError, RunError
from bunri.core.json_files import JsonRecord, parse_json_record, read_json_record


class Plan(JsonRecord):
    format: int
    names: tuple[str, ...] = ()
    rate: float = 0.0


def test_read_json_record__values_and_defaults(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text('{"format": 1, "names": ["유리", "b"], "of_a_later_version": 3}', "utf-8")
    assert read_json_record(path, Plan, max_bytes=100) == Plan(format=1, names=("유리", "b"))


def test_read_json_record__all_faults_at_once_in_the_asked_error(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text('{"format": "1", "names": [2], "rate": NaN}')
    with pytest.raises(RunError, match="incomplete or damaged") as caught:
        read_json_record(path, Plan, max_bytes=100, error=RunError, hint="Train again.")
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "format", "names.0", "rate",
    ]  # fmt: skip
    assert caught.value.hint == "Train again."


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'"text"', b"[" * 10_000])
def test_parse_json_record__no_such_record(content):
    with pytest.raises(InputError, match=r"a\.json is incomplete or damaged"):
        parse_json_record(content, Plan, "a.json")


def test_read_json_record__too_large_or_missing(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text('{"format": 1}')
    with pytest.raises(InputError, match="larger than 12 bytes"):
        read_json_record(path, Plan, max_bytes=12)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_json_record(tmp_path / "none.json", Plan, max_bytes=12)
