"""Every text of the pages of evaluations and runs is said somewhere."""

import re
from pathlib import Path

import pytest

import bunri.report
from tests.report.test_texts import FILES, read_rows

FOLDER = Path(bunri.report.__file__).parent
SOURCES = [path.read_text("utf-8") for path in FOLDER.rglob("*") if path.suffix in (".py", ".html")]
WORDS = {word for text in SOURCES for word in re.findall(r"\w+", text)}
# Keys that are put together from two words.
MADE = {"say_", "define_", "layer_", "part_", "corruption_", "corrupted_", "kind_", "combine_"}


@pytest.mark.parametrize("name", [name for name in FILES if name != "stats"])
def test_wording__every_text_is_used(name):
    """Those of stats are held by the page itself, in test_stats_page."""
    unused = set(read_rows(name)) - WORDS
    assert {key for key in unused if not key.startswith(tuple(MADE))} == set()
