from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import qwarden

REVISION = "from qwarden.core.revision import revision; print(revision())"
IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "t"), ("EMAIL", "t@localhost"))
}


def git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(repository), *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | IDENTITY,
    )
    return done.stdout.strip()


def revision_of(source: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", REVISION],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(source)} | environment,
        cwd=source,
    )
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository that holds as much of the package as tells its revision."""
    package = tmp_path / "src" / "qwarden"
    (package / "core").mkdir(parents=True)
    ours = Path(qwarden.__file__).parent
    for name in ("__init__.py", "core/__init__.py", "core/revision.py"):
        shutil.copy(ours / name, package / name)
    (tmp_path / ".gitignore").write_text("__pycache__\n")
    git(tmp_path, "init", "-q")
    return tmp_path


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_and_whether_the_tree_differs(tree: Path) -> None:
    source = tree / "src"
    assert revision_of(source) == f"{qwarden.__version__}-dirty"
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "first")
    commit = git(tree, "rev-parse", "HEAD")
    assert revision_of(source) == commit
    (tree / "docs").mkdir()
    (tree / "docs" / "evaluation.json").write_text("{}")
    assert revision_of(source) == commit
    (tree / "new.py").touch()
    assert revision_of(source) == f"{commit}-dirty"


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_an_installed_copy_in_anothers_repository_is_a_version(tree: Path) -> None:
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "first")
    shutil.copytree(tree / "src" / "qwarden", tree / ".venv" / "lib" / "qwarden")
    assert revision_of(tree / ".venv" / "lib") == qwarden.__version__


def test_without_git_it_is_the_version(tree: Path) -> None:
    assert revision_of(tree / "src", PATH="/nonexistent") == qwarden.__version__
