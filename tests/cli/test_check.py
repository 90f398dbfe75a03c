from __future__ import annotations

import pytest
from common import REPOSITORY


def test_a_plugin_that_conforms(cli, plugin):
    done = cli("check", str(plugin("good.py", '@register("good")\nclass A(Flat): ...\n')))
    assert done.returncode == 0, done.stdout
    assert "good: 28 of 28 checks passed" in done.stdout


def test_a_plugin_that_does_not(cli, plugin):
    path = plugin(
        "bad.py",
        '@register("bad")\nclass A(Flat):\n'
        '    def encode(self, x):\n        return {"code": (x - x.mean(0)).flatten(1)}\n',
    )
    done = cli("check", str(path))
    assert done.returncode == 1
    assert "FAILED  ignores batch composition (1×12×12)" in done.stdout
    assert "An image's features do not depend on the other images" in done.stdout
    assert "Traceback" not in done.stdout


def test_one_cause_is_said_once(here, plugin):
    body = '    def fit(self, images, run):\n        raise ValueError(f"not {images.shape}")\n'
    path = plugin("bad.py", '@register("bad")\nclass A(Flat):\n' + body)
    done = here("check", str(path), "-v")
    assert done.returncode == 1
    # It is one line of the plugin, though its message differs with the images.
    assert done.stdout.count("ValueError: not (1, 12, 12)\n") == 2  # with its traceback
    assert "ValueError: not (3, 12, 12)" not in done.stdout
    assert done.stdout.count("Traceback") == 1
    assert "is deterministic (3×12×12): for the same cause as fits and encodes (1×12×12)\n" in done.stdout
    assert "bad: 2 of 28 checks passed" in done.stdout


def test_the_methods_of_a_file_are_checked_in_its_order(here, plugin):
    path = plugin("two.py", '@register("b")\nclass B(Flat): ...\n@register("a")\nclass A(Flat): ...\n')
    assert [line for line in here("check", str(path)).stdout.splitlines() if line[0] != " "] == [
        "b", "b: 28 of 28 checks passed", "a", "a: 28 of 28 checks passed",
    ]  # fmt: skip


def test_a_method_by_name_with_parameters(here):
    done = here("check", "pca[n_components=3]")
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("pca[n_components=3]")


def test_mistakes(here, tmp_path):
    (tmp_path / "empty.py").write_text("")
    for words, said in (
        (["pcaa"], "'pca'"),
        (["pca[n=1]"], "n_components"),
        (["empty.py"], "empty.py"),
        (["no.py"], "no.py"),
    ):
        done = here("check", *words)
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import nowhere_at_all\n", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("from helper import missing\n", "ImportError: cannot import name 'missing'"),
        ("raise SystemExit(0)\n", "SystemExit: 0"),
    ],
)
def test_a_failing_import_is_one_line(here, plugin, tmp_path, body, said):
    (tmp_path / "helper.py").write_text("")
    path = plugin("mine.py", body + '@register("mine")\nclass A(Flat): ...\n')
    for words in (["mine.py"], ["mine", "--plugin", "mine.py"]):
        done = here("check", *words)
        assert done.returncode == 2
        assert done.stderr.startswith(f"Error: {path}: {said}")
        assert len(done.stderr.splitlines()) == 1
        assert done.stdout == ""
    done = here("check", "mine.py", "-v")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert f'File "{path}"' in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"Error: {path}: {said}")


def test_a_file_that_cannot_be_read_says_why(here, tmp_path):
    (tmp_path / "broken.py").write_text("def (")
    (tmp_path / "data.py").write_text("from reprbench import register_dataset\n@register_dataset('x')\ndef f(): ...\n")
    for name, said in (("broken.py", "SyntaxError"), ("data.py", "registers no method to check")):
        done = here("check", name)
        assert done.returncode == 2
        assert done.stderr.startswith(f"Error: {name}: {said}")


def test_a_plugin_next_to_its_own_modules(here, plugin, tmp_path):
    (tmp_path / "helper.py").write_text("SCALE = 2.0\n")
    body = "from helper import SCALE\n"
    body += '@register("mine")\nclass A(Flat):\n    def encode(self, x):\n        import helper\n'
    body += '        return {"x": helper.SCALE * (x - self.mean).flatten(1)}\n'
    done = here("check", str(plugin("mine.py", body)))
    assert done.returncode == 0, done.stdout


def test_a_file_that_is_also_installed(here):
    """As in a checkout of a package: the entry point and the file are the same code."""
    path = REPOSITORY / "methods" / "controls.py"
    done = here("check", str(path))
    assert done.returncode == 0, done.stderr
    assert "checks passed" in done.stdout
