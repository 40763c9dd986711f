"""What pages say: every text in both languages, filled and escaped."""

import re
from importlib import resources
from string import Formatter

import pytest
import yaml
from markupsafe import escape

from bunri.core.classes import ClassInfo
from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.report.texts import Text, Texts, clean_name, join_texts, name_class, read_texts

FILES = sorted(
    path.name.removesuffix(".yaml")
    for path in (resources.files("bunri.report") / "wording").iterdir()
)
HANGUL = re.compile("[가-힣]")


def read_rows(name):
    return yaml.safe_load(
        (resources.files("bunri.report") / "wording" / f"{name}.yaml").read_text("utf-8")
    )


ROWS = [(key, row) for name in FILES for key, row in read_rows(name).items()]


def list_places(text):
    return {place for _, place, _, _ in Formatter().parse(text) if place is not None}


def test_wording__is_there():
    assert FILES == ["common", "evaluation", "experiments", "stats", "submissions", "wrapup"]
    assert len(ROWS) > 80


@pytest.mark.parametrize(("key", "row"), ROWS, ids=[key for key, _ in ROWS])
def test_wording__is_in_both_languages(key, row):
    assert list(row) == ["en", "ko"]
    assert row["en"].strip()
    assert not HANGUL.search(row["en"])
    assert list_places(row["en"]) == list_places(row["ko"])
    spoken = re.sub(r"\{.*?\}|px|\W|\d|_", "", row["ko"])
    assert not spoken or HANGUL.search(spoken), "untranslated"


def test_wording__no_key_twice():
    keys = [key for key, _ in ROWS]
    assert len(keys) == len(set(keys))


def test_texts__fills_each_language_with_its_own_words():
    t = Texts({"facts": Text("{name}: {count} photos", "{name}: 사진 {count}장")})
    filled = t("facts", name=Text("Paper", "종이"), count=3)
    assert filled == Text("Paper: 3 photos", "종이: 사진 3장")
    assert [filled.to(language) for language in ("en", "ko")] == [filled.en, filled.ko]


def test_texts__braces_in_names_are_letters():
    t = Texts({"facts": Text("{name}!", "{name}!")})
    assert t("facts", name="{0.__class__}{name}").en == "{0.__class__}{name}!"


def test_text__on_a_page_both_languages_stand_escaped():
    assert str(escape(Text("a < b", "가 < 나"))) == (
        '<bdi lang="en">a &lt; b</bdi><bdi lang="ko">가 &lt; 나</bdi>'
    )
    assert str(escape(Text("<b>", "<b>"))) == "<bdi>&lt;b&gt;</bdi>"


def test_clean_name__nothing_that_steers_is_left():
    assert clean_name("a\x1b[2J\u202eb\nc") == Text("a�[2J�b�c", "a�[2J�b�c")
    assert clean_name("can", "캔") == Text("can", "캔")


def test_name_class__of_the_table_and_of_other_data():
    assert name_class(COMPETITION_TABLE.classes[3]) == Text("Paper", "종이")
    assert name_class(ClassInfo("cup", "cup", (1, 2, 3))) == Text("cup", "cup")


def test_join_texts__each_language_by_itself():
    assert join_texts([Text("a", "가"), Text("b", "나")]) == Text("a, b", "가, 나")


def test_read_texts__knows_the_keys_of_all_files_named():
    t = read_texts("common", "stats")
    assert t("title") == Text("Data set statistics", "데이터셋 통계")
    assert t("close") == Text("Close", "닫기")
    with pytest.raises(KeyError):
        t("no such text")
