from __future__ import annotations

from pathlib import Path

from reprbench.source import code_of, digest

SOURCE = '''
"""A module."""
from reprbench import Learner
from .helper import double
# a comment
class A(Learner):
    """A class."""
    x = 1  # why

    def f(self):
        """Say.

        More.
        """
        return double("# no comment")
'''


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    code_of.cache_clear()
    return folder / name


def test_comments_docstrings_and_blank_lines_do_not_count(tmp_path):
    code = code_of(write(tmp_path, "a.py", SOURCE))
    assert "comment\n" not in code
    assert "why" not in code
    assert "More" not in code
    assert 'double("# no comment")' in code


def test_a_comment_changes_no_digest_and_code_does(tmp_path):
    write(tmp_path, "helper.py", "def double(x): return 2 * x\n")
    before = digest([write(tmp_path, "a.py", SOURCE)])
    assert digest([write(tmp_path, "a.py", SOURCE.replace("# why", "# because"))]) == before
    assert digest([write(tmp_path, "a.py", SOURCE.replace("x = 1", "x = 2"))]) != before


def test_the_code_of_siblings_counts_and_that_of_strangers_does_not(tmp_path):
    write(tmp_path, "helper.py", "def double(x): return 2 * x\n")
    path = write(tmp_path, "a.py", SOURCE)
    before = digest([path])
    write(tmp_path, "stranger.py", "y = 1\n")
    assert digest([path]) == before
    write(tmp_path, "helper.py", "def double(x): return x + x\n")
    assert digest([path]) != before


def test_the_folder_does_not_count(tmp_path):
    for name in ("one", "two"):
        write(tmp_path / name, "helper.py", "def double(x): return 2 * x\n")
        write(tmp_path / name, "a.py", SOURCE)
    assert digest([tmp_path / "one" / "a.py"]) == digest([tmp_path / "two" / "a.py"])


def test_the_harness_behind_a_public_name_counts(tmp_path):
    plain = digest([write(tmp_path, "a.py", "from reprbench import Learner\n")])
    looped = digest([write(tmp_path, "a.py", "from reprbench import Learner, TorchLearner\n")])
    renamed = digest([write(tmp_path, "a.py", "from reprbench import Learner, UserError\n")])
    assert len({plain, looped, renamed}) == 3


def test_a_file_that_is_not_python_has_a_digest(tmp_path):
    path = write(tmp_path, "a.py", "def (\n")
    assert code_of(path) == "def (\n"
    assert len(digest([path])) == 64
