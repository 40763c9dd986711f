"""The language of docstrings: an argument's line begins with a noun."""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "bunri"
QUESTION_WORDS = re.compile(r"^\s+\*{0,2}\w+: (Of|What|Who|Whose|Where|Which|How)\b.*", re.M)
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@pytest.mark.parametrize(
    "path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE))
)
def test_docstrings__arguments_begin_with_a_noun(path):
    nodes = (
        node
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, DOCUMENTED)
    )
    found = [
        m[0].strip()
        for node in nodes
        for m in QUESTION_WORDS.finditer(ast.get_docstring(node) or "")
    ]
    assert not found
