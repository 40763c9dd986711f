"""The commands of both READMEs and of the pages for users do what is said of them."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from bunri.doctor.checks import CHECKS
from bunri.scenes import write_sample_dataset
from tests.builders import TINY_SETTINGS
from tests.cli.runner import run

ROOT = Path(__file__).parents[1]
# A resume repeats nothing of its first call, so the demo and shell lines are left out by name.
RUN_ELSEWHERE = ("demo",)


def list_commands(page):
    """Return the bunri commands in the code blocks of a page, in order."""
    text = (ROOT / page).read_text("utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.S | re.M)
    lines = [line for language, block in blocks if not language for line in block.splitlines()]
    commands = [shlex.split(line, comments=True) for line in lines if line.startswith("bunri ")]
    return [command[1:] for command in commands if command[1] not in RUN_ELSEWHERE]


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """Rendered scenes in the layout that the pages assume."""
    folder = tmp_path_factory.mktemp("readme")
    data = write_sample_dataset(folder / "data", num_scenes=20, size_px=64)
    shutil.copy(next(data.root.glob("batch_01_vt/*.jpg")), folder / "photo.jpg")
    shutil.copytree(data.root / "batch_02_vt", folder / "more_photos")
    return folder


@pytest.mark.parametrize("page", ["README.md", "README.ko.md", "docs/guide.md", "docs/training.md"])
def test_commands__of_a_page(page, sample, tmp_path, monkeypatch):
    shutil.copytree(sample, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    commands = list_commands(page)
    assert len(commands) >= 3
    for command in commands:
        if command[0] == "train" and "--resume" not in command:
            command += [part for setting in TINY_SETTINGS for part in ("--set", setting)]
        ended = run(*command)
        assert ended.code == 0, f"{shlex.join(command)}\n{ended.err}"
    submits = any(command[0] == "submit" for command in commands)
    assert (tmp_path / "submission.csv").is_file() == submits


def test_readmes__show_the_same_commands():
    assert list_commands("README.md") == list_commands("README.ko.md")


def test_pages__count_the_doctors_checks():
    pages = {"README.md": "{} checks", "docs/guide.md": "all {} checks", "README.ko.md": "{}가지"}
    for page, words in pages.items():
        assert words.format(len(CHECKS)) in (ROOT / page).read_text("utf-8"), page


def test_makefile__targets_of_the_readme_exist():
    targets = re.findall(r"^make ([a-z-]+)", (ROOT / "README.md").read_text("utf-8"), re.M)
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert targets == ["demo", "test"]
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets)
