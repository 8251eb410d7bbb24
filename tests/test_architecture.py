"""The house: data move left to right, imports point left, importing is light, the wheel holds the five packages."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("biosim", "bridge", "models", "figures", "astromorphic")
# What each package may import of the others; a dotted name stands for that module alone.
ALLOWED = {
    "biosim": (),
    "bridge": ("biosim",),
    "models": ("bridge.artifact",),
    "figures": ("biosim", "bridge", "models"),
    "astromorphic": ("biosim", "bridge", "models", "figures"),
}
HEAVY = ("torch", "brian2", "numba", "matplotlib", "transformers")


def imports(path: Path, package: str) -> Iterator[tuple[int, str]]:
    """(line, absolute name) of everything a file imports, also inside functions and under TYPE_CHECKING."""
    inside = (package, *path.relative_to(ROOT / package).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                # `from ..x` in package.a.b starts at package; more dots than folders would leave the package.
                base = inside[: len(inside) - node.level + 1]
                yield node.lineno, ".".join((*base, node.module or "")) if base else f"<outside {package}>"
            else:
                for alias in node.names:
                    yield node.lineno, f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str) and not first.value.startswith("."):
                yield node.lineno, first.value


def violations(path: Path, package: str) -> list[str]:
    found = []
    for line, name in imports(path, package):
        where = f"{path.relative_to(ROOT)}:{line} imports {name}"
        if name.startswith("<"):
            found.append(where)
        top = name.split(".")[0]
        if (
            top in PACKAGES
            and top != package
            and not any(name == a or name.startswith(f"{a}.") for a in ALLOWED[package])
        ):
            found.append(where)
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_left(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    assert [line for path in files for line in violations(path, package)] == []


@pytest.mark.parametrize("package", ["biosim", "bridge", "models", "figures"])
def test_imports_inside_a_package_are_relative(package):
    absolute = []
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [str(node.module)]
            absolute += [f"{path.relative_to(ROOT)}:{node.lineno}" for name in names if name.split(".")[0] == package]
    assert absolute == []


def test_the_checker_sees_what_it_must(tmp_path, monkeypatch):
    """Each forbidden form, written into a file of its own, is found; each allowed one is not."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    cases = [
        ("biosim/a.py", "import bridge", True),
        ("biosim/a.py", "def f():\n    from models.ops import x", True),
        ("biosim/a.py", "from ..bridge import x", True),
        ("biosim/engines/a.py", "from ...bridge import x", True),
        ("biosim/engines/a.py", "from ..ensemble import x", False),
        ("biosim/a.py", "import importlib\nimportlib.import_module('figures.x')", True),
        ("bridge/a.py", "from biosim import load", False),
        ("bridge/a.py", "import figures.fig3", True),
        ("models/a.py", "from bridge.artifact import write_text", False),
        ("models/a.py", "from bridge import artifact", False),
        ("models/a.py", "import bridge", True),
        ("models/a.py", "from bridge import curves", True),
        ("models/a.py", "from bridge.curves import x", True),
        ("models/a.py", "from biosim.atomic import x", True),
        ("figures/a.py", "import models, bridge, biosim", False),
        ("figures/a.py", "import astromorphic", True),
    ]
    for name, text, forbidden in cases:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        assert bool(violations(path, name.split("/")[0])) is forbidden, (name, text)


@pytest.mark.parametrize("module", ["biosim", "bridge", "bridge.artifact", "models", "figures", "astromorphic"])
def test_importing_is_light(module):
    if not (ROOT / module.split(".")[0]).is_dir():
        pytest.skip(f"package {module} does not exist yet")
    code = f"import sys, {module}; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_every_package_is_typed_and_declares_its_names():
    for package in ("biosim", "bridge", "models"):
        assert (ROOT / package / "py.typed").is_file(), package
        tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
        names = [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
        ]
        assert names and names[0] and len(set(names[0])) == len(names[0]), package


def test_the_wheel_holds_the_five_packages(tmp_path):
    pytest.importorskip("build")
    pytest.importorskip(
        "setuptools", minversion="69"
    )  # without isolation the build fetches nothing, so it must be there
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    # Folders that lie beside the packages in the project must not slip in.
    for name in (*PACKAGES, "tests", "docs", "benchmarks"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(source)],
        check=True,
        capture_output=True,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert top == set(PACKAGES)
    for package in PACKAGES:
        modules = {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py")}
        assert modules <= set(names), sorted(modules - set(names))
        if (ROOT / package / "py.typed").is_file():
            assert f"{package}/py.typed" in names
    # Whatever lies beside the modules is read at run time; these are named, so that a lost file is seen as well.
    for file in (
        "figures/templates/report.html",
        "bridge/presets/fig3_published_hyperbola.json",
        "models/tasks/data/tinyshakespeare.txt.xz",
    ):
        assert file in names
    assert any(name.startswith("figures/") and name.endswith(".mplstyle") for name in names)
    assert any(name.startswith("bridge/data/") and name.endswith(".csv") for name in names)
    beside = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc", ".pyo") and "__pycache__" not in path.parts
    }
    assert beside <= set(names), sorted(beside - set(names))
    with zipfile.ZipFile(wheel) as content:
        for name in sorted(beside):
            assert content.read(name) == (ROOT / name).read_bytes(), name
