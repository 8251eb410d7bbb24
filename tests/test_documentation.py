"""What the documentation promises: the README's example runs, and every public name is there and documented."""

import ast
import contextlib
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_example_of_the_readme_runs(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.S)
    assert len(blocks) == 1
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(blocks[0], "README.md", "exec"), names)
    assert (tmp_path / "macro.json").is_file()
    assert 0.2 < names["alpha"].value < 0.3  # type: ignore[attr-defined]
    assert names["config"].macro_digest == names["macro"].digest  # type: ignore[attr-defined]


LAZY = ["biosim", "bridge", "models", "figures"]


@pytest.mark.parametrize("package", LAZY)
def test_every_public_name_resolves_and_is_documented(package):
    module = importlib.import_module(package)
    for name in module.__all__:
        thing = getattr(module, name)
        if callable(thing):
            assert (thing.__doc__ or "").strip(), f"{package}.{name} has no docstring"


def literals(tree: ast.Module) -> dict[str, object]:
    """Names bound to a literal at the top of a module."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            with contextlib.suppress(ValueError):
                found[node.targets[0].id] = ast.literal_eval(node.value)
    return found


@pytest.mark.parametrize("package", LAZY)
def test_the_lists_of_public_names_agree(package):
    """`__all__`, the table of lazy names, what `dir` shows, and what a type checker is told: each name in the same module."""
    module = importlib.import_module(package)
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))  # type: ignore[arg-type]
    (table,) = (value for value in literals(tree).values() if isinstance(value, dict))
    assert set(table) == set(module.__all__) and len(set(module.__all__)) == len(module.__all__)
    assert set(dir(module)) == set(module.__all__)
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    told = {
        alias.asname or alias.name: node.module
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert told == table
    for name, home in table.items():
        assert getattr(module, name) is getattr(importlib.import_module(f"{package}.{home}"), name)


@pytest.mark.parametrize("package", LAZY)
def test_a_name_that_is_none_is_refused_by_name(package):
    module = importlib.import_module(package)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'no_such_name'"):
        _ = module.no_such_name
    with pytest.raises(ImportError, match="no_such_name"):
        exec(f"from {package} import no_such_name")
    assert not hasattr(module, "no_such_name")


def test_documents_link_to_files_that_exist():
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "benchmarks" / "README.md"]:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_every_command_of_the_readme_exists():
    from typer.main import get_command

    from astromorphic.cli import app

    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    named = set(re.findall(r"^\| `astromorphic (\w+)", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.M))
    assert named == commands
