"""What the pages and the README show works: every command and snippet is run, in order; the site builds."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import click
import pytest
import yaml
from common import REPOSITORY
from documented import Block, Session, blocks, commands, expected, options_of, quick

import reprbench
from reprbench.cli.main import COMMANDS, cli
from reprbench.registry import discover

DOCS = REPOSITORY / "docs"
PAGES = sorted(DOCS.glob("*.md"))
README = REPOSITORY / "README.md"
MADE_ELSEWHERE = {"ci.md"}
"""Pages whose commands run on GitHub."""
# The tutorial first: later pages reuse its trials.
FOLLOWED = [
    DOCS / "tutorial.md",
    README,
    *(page for page in PAGES if page.name not in {"tutorial.md", *MADE_ELSEWHERE}),
]
IN_REPOSITORY = "<!-- run in the repository -->"


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> Session:
    return Session(tmp_path_factory.mktemp("pages"))


@pytest.mark.slow
@pytest.mark.parametrize("page", FOLLOWED, ids=lambda page: page.name)
def test_what_a_page_shows_works(page, session):
    text = page.read_text()
    shutil.rmtree(session.installed, ignore_errors=True)
    session.follow(text, REPOSITORY if IN_REPOSITORY in text else None)
    session.ended()


# -- that these tests can fail ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("```console\n$ echo one\ntwo\n```\n", "shows no line like"),
        ("```console\n$ false\n$ true\n```\n", "ended with 1"),
        ("```console\n$ false\n```\n", "last command ended with 1"),
        ("```console\n$ false\n$ echo $?\n2\n```\n", "the status was 1"),
        ("```ruby\nputs 1\n```\n", "no test reads blocks"),
        ("```python linenums\n1\n```\n", "one has a form that no test reads"),
        ('```yaml title="a.yaml"\ntitle: no methods\n```\n', "is not valid"),
    ],
)
def test_a_page_that_promises_too_much_fails(page, complaint, tmp_path):
    session = Session(tmp_path)
    with pytest.raises(AssertionError, match=complaint):
        session.follow(page)
        session.ended()


def test_a_snippet_that_raises_fails(tmp_path):
    with pytest.raises(ZeroDivisionError):
        Session(tmp_path).follow("```python\n1 / 0\n```\n")


def test_an_unknown_option_in_a_command_that_is_not_run_fails(tmp_path):
    with pytest.raises(click.NoSuchOption):
        Session(tmp_path).follow("```sh\nreprbench run --benchmark mnist --epoch-count 3\n```\n")


@pytest.mark.parametrize(
    ("shown", "output", "same"),
    [
        ("pca ‡     73.4 ± 2.4    54", "pca ‡  ≈ 80.1 ± 0.3   54   [1]", True),
        ("pca ‡   ≈ 73.4 ± 2.4    54", "pca ‡    80.1 ± 0.3   54   [1]", True),
        ("pca ‡     73.4 ± 2.4    54", "pca ‡    80.1 ± 0.3   64", False),
        ("fit 1 min 05 s", "fit 3.1 s", True),
        ("… to run", "3 of 3 trials to run", True),
        ("0 of 3 trials to run", "3 of 3 trials to run", False),
        ("protocol linear-svm version 1", "protocol linear-svm[costs=[0.1]] version 1", True),
        ("protocol linear-svm version 1", "protocol linear-svm[pooling=sum] version 1", False),
    ],
)
def test_decimals_may_differ_and_whole_numbers_may_not(shown, output, same):
    assert bool(expected(shown).match(output)) == same


@pytest.mark.parametrize(
    ("line", "run"),
    [
        ("reprbench report", "reprbench report"),
        ("reprbench run --protocols knn --epochs 20", "reprbench run --protocols knn --epochs 1 --limit 150"),
        ("reprbench run --benchmark a.yaml", "reprbench run --benchmark a.yaml --epochs 1 --limit 150"),
        (
            "reprbench run --methods pca",
            "reprbench run --methods pca --epochs 1 --limit 150 --set linear-svm.costs=[0.1]",
        ),
    ],
)
def test_a_run_is_made_quick_and_nothing_else_is(line, run):
    assert quick(line) == run


def test_commands_are_read_with_what_is_shown_below_them():
    first, second = commands(Block("console", None, "$ one\na\n…\n$ two\n"))
    assert (first.line, first.shown, second.line, second.shown) == ("one", ["a"], "two", [])


# -- what the text says ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)
def test_commands_and_options_in_the_text_exist(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    every = options_of(cli)
    for span in re.findall(r"`([^`\n]+)`", text):
        words = span.replace("\\|", "|").split()
        if words[0] == "reprbench" and len(words) > 1:
            assert words[1] in COMMANDS, span
            known = options_of(cli.get_command(click.Context(cli), words[1]))
        elif words[0].startswith("--"):
            known = every | {"--strict", "--editable"}
        else:
            continue
        named = {word.strip("[],") for word in words if word.lstrip("[").startswith("--")}
        assert named <= known, f"{span}: no {', '.join(named - known)}"


def test_make_targets_and_extras_that_are_named_exist():
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^(\w+):", makefile, re.MULTILINE))
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for page in [README, *PAGES]:
        text = page.read_text()
        assert set(re.findall(r"(?:`|^\s*|\$ )make (\w+)", text, re.MULTILINE)) <= targets, page.name
        assert set(re.findall(r"\.\[(\w+)\]", text)) <= set(extras), page.name


def test_every_extra_is_described():
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    rows = re.findall(r"^\| (`[a-z`, -]+`) \| ", (DOCS / "install.md").read_text(), re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"[\w-]+", row)} == set(extras)


def test_every_protocol_has_a_section():
    text = (DOCS / "protocols.md").read_text()
    for entry in discover(folder=None).protocols.values():
        assert f"\n## {entry.name}\n" in text
        for parameter in entry.load().model_fields:
            assert f"`{parameter}`" in text, f"{entry.name} has the parameter {parameter}"


def test_every_public_name_has_a_reference():
    text = (DOCS / "api.md").read_text()
    for name in set(reprbench.__all__) - {"EXPORTS", "__version__"}:
        assert f"::: reprbench.{name}\n" in text


def test_every_field_of_a_benchmark_is_described():
    from reprbench.benchmark import Benchmark, BenchmarkRow, Reference
    from reprbench.spec import Budget

    text = (DOCS / "benchmark-files.md").read_text()
    for form in (Benchmark, BenchmarkRow, Reference, Budget):
        for name in form.model_fields:
            assert f"`{name}`" in text, f"{form.__name__}.{name}"


def test_every_entry_of_an_executor_file_is_described_and_examples_are_valid(tmp_path):
    from reprbench.runner.executors.settings import ExecutorSettings, Resources, read_settings

    text = (DOCS / "clusters.md").read_text()
    for form in (ExecutorSettings, Resources):
        for name in form.model_fields:
            assert f"| `{name}` |" in text, f"{form.__name__}.{name}"
    examples = [block for block in blocks(text) if block.text.startswith("executor:")]
    assert len(examples) == 2
    for block in examples:
        (tmp_path / "cluster.yaml").write_text(block.text)
        read_settings(str(tmp_path / "cluster.yaml"))


def test_every_benchmark_is_described():
    from reprbench.benchmark import benchmark_files

    text = "".join((DOCS / page).read_text() for page in ("reproducing-the-paper.md", "methods.md"))
    assert {f"`{name}`" for name in set(benchmark_files()) - {"quick", "mnist"}} <= set(re.findall(r"`[\w-]+`", text))


def test_every_page_is_in_the_navigation():
    class Loader(yaml.SafeLoader):
        """MkDocs' own tags mean nothing here."""

    navigation = yaml.load((REPOSITORY / "mkdocs.yml").read_text(), Loader)["nav"]  # noqa: S506  (a SafeLoader)
    named = set(re.findall(r"[\w-]+\.md", str(navigation)))
    assert named == {page.name for page in PAGES} | MADE_ELSEWHERE


# -- the site ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built with warnings as errors."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr
    return folder


class Loaded(HTMLParser):
    """Collects what a page loads when it is opened, and its visible text."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.text = ""
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = dict(attributes)
        if tag in {"script", "img", "iframe", "source"}:
            self.addresses.append(named.get("src") or "")
        elif tag == "link" and "canonical" not in str(named.get("rel")):
            self.addresses.append(named.get("href") or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_site_loads_nothing_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) >= len(PAGES)
    for page in pages:
        assert not [a for a in Loaded(page).addresses if a.startswith(("http:", "https:", "//"))], page.name


def test_the_search_knows_the_pages(site):
    index = (site / "search" / "search_index.json").read_text()
    assert all(f"{page.stem}.html" in index for page in PAGES)


def test_the_command_line_page_has_every_command_and_option(site):
    text = Loaded(site / "cli.html").text
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert f"reprbench {name} " in text
        assert not [option for option in options_of(command) if option not in text], name


def test_the_python_page_has_the_docstrings(site):
    text = Loaded(site / "api.html").text
    for promise in (
        "Encode float32 images in [0, 1]",
        "Learn from one batch",
        "The results of a protocol",
        "Run the whole suite",
    ):
        assert promise in text


def test_the_python_page_has_every_field_of_the_public_classes(site):
    sections = re.split(r'id="reprbench\.(\w+)"', (site / "api.html").read_text())
    shown = dict(zip(sections[1::2], sections[2::2], strict=True))
    for name in reprbench.__all__:
        item = getattr(reprbench, name)
        if isinstance(item, type) and not issubclass(item, Exception):
            named = [one.name for one in inspect.signature(item).parameters.values() if "VAR" not in one.kind.name]
            fields = {one for one in (*inspect.get_annotations(item), *named) if not one.startswith(("_", "model_"))}
            text = re.sub(r"<[^>]+>", " ", shown[name])
            assert not [field for field in fields if not re.search(rf"\b{field}\b", text)], name
