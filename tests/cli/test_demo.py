"""The demo from the command line, with fewer scenes and a training of seconds."""

import json

import pytest

from tests.builders import TINY_SETTINGS
from tests.cli.runner import run


@pytest.mark.slow
def test_demo__whole_job(tmp_path, monkeypatch):
    monkeypatch.setattr("bunri.demo.OVERRIDES", TINY_SETTINGS)
    ended = run("demo", "--out", tmp_path / "demo", "--scenes", 60)
    assert ended.code == 0, ended.err
    stages = [line.split()[0] for line in ended.out.splitlines()[:7]]
    assert stages == [
        *("rendered", "checked", "trained", "evaluated", "submitted", "scored", "page")
    ]
    page = (tmp_path / "demo" / "index.html").read_text("utf-8")
    assert "data:image/jpeg;base64," in page
    assert "건전지" in page
    assert "http" not in page.replace("http-equiv", "")  # nothing is fetched
    test = tmp_path / "demo" / "data" / "test.json"
    assert len(json.loads(test.read_text())["images"]) == 12
    checked = run("check-submission", tmp_path / "demo" / "submission.csv", test)
    assert checked.code == 0
    again = run("demo", "--out", tmp_path / "demo")
    assert again.code == 2
    assert "is not empty" in again.err
