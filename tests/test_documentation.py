"""What the documentation promises: the README's example runs, and every public name is there and documented."""

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


@pytest.mark.parametrize("package", ["biosim", "bridge", "models", "figures"])
def test_every_public_name_resolves_and_is_documented(package):
    module = importlib.import_module(package)
    assert sorted(module.__all__) == sorted(dir(module))
    for name in module.__all__:
        thing = getattr(module, name)
        if callable(thing):
            assert (thing.__doc__ or "").strip(), f"{package}.{name} has no docstring"


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
