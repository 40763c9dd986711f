"""The shape of the project: one-way imports, torch only where it belongs, a true README."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import bunri

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "bunri"
# The order of imports; a room imports only from itself and from rooms before it.
ROOMS = (
    "core", "images", "labels", "scores", "submission", "corruptions", "formats", "doctor",
    "split", "stats", "scenes", "model", "training", "predict", "evaluation", "exporting", "report",
    "demo", "api", "cli",
)  # fmt: skip
NEEDS_TORCH = {
    "bunri.cli.training_display",
    "bunri.demo", "bunri.exporting", "bunri.predict.backends.torch_backend", "bunri.training",
}  # fmt: skip
TORCH_FREE = {"bunri.training.config", "bunri.training.listener"}
MAX_ROOMS = 24
TORCH_LIBRARIES = ("torch", "torchvision", "timm", "segmentation_models_pytorch", "safetensors",
                   "lightning_fabric")  # fmt: skip


def name_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


# Without __main__, which is a way to start the last part and no part itself.
MODULES = {
    name_of(path): path for path in sorted(SOURCE.rglob("*.py")) if path.name != "__main__.py"
}


def list_imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name in MODULES}


def room_of(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("module", [m for m in MODULES if m != "bunri"])
def test_imports__go_one_way(module):
    allowed = ROOMS[: ROOMS.index(room_of(module)) + 1]
    for imported in list_imports(MODULES[module]) - {"bunri"}:
        assert room_of(imported) in allowed, f"{module} imports {imported}, which comes after it"


def test_imports__have_no_cycle():
    graph = {name: list_imports(path) - {name} for name, path in MODULES.items()}
    assert len(tuple(TopologicalSorter(graph).static_order())) == len(MODULES)


def test_torch_free_modules__load_without_torch():
    free = [m for m in MODULES if not any((m + ".").startswith(f"{n}.") for n in NEEDS_TORCH)]
    free += TORCH_FREE
    program = f"""
import importlib, sys
for library in {TORCH_LIBRARIES!r}:
    sys.modules[library] = None  # an import of it raises ImportError
for module in {free!r}:
    importlib.import_module(module)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(free) > 30


def test_readme__tree_is_true():
    block = re.search(r"```\nsrc/bunri/\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    assert block
    named = [line.split()[0].rstrip("/") for line in block[1].splitlines()]
    hidden = {"__init__.py", "__main__.py", "py.typed", "__pycache__"}
    assert sorted(named) == sorted(p.name for p in SOURCE.iterdir() if p.name not in hidden)
    assert tuple(name.removesuffix(".py") for name in named) == ROOMS
    assert len(named) <= MAX_ROOMS


def test_files__open_with_what_they_own():
    for name, path in MODULES.items():
        assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), name


def test_rooms__do_not_hide_public_names():
    """Importing a room sets its name on the package, and would replace a function of that name."""
    assert not {path.stem for path in SOURCE.iterdir()} & {*bunri.__all__}
