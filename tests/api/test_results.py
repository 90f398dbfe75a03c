"""What `reprbench.run` returns."""

from __future__ import annotations

import threading
from html.parser import HTMLParser

import pytest
from learners_of_cells import Broken, Centered
from trials import evaluation, trial

import reprbench as rb
from reprbench import UserError
from reprbench.api.running import PreparedRun, RunEnd
from reprbench.plotting import as_png


class Cells(HTMLParser):
    """Collects texts and checks that all tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.texts, self._open = [], []

    def handle_starttag(self, tag, attrs):
        if tag != "br":
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data.strip())


def test_the_text_is_the_table_of_the_command_line(made):
    lines = str(made.results).splitlines()
    assert lines[0] == "adhoc: Digits, knn"
    assert {"raw-pixels", "centered[factor=2.0]", "broken"} <= {line.split(" ")[0] for line in lines}
    assert repr(made.results) == str(made.results)


def test_a_failure_is_a_row_with_its_reason(made):
    assert made.results.failed
    (row,) = [line for line in str(made.results).splitlines() if line.startswith("broken")]
    assert "—" in row
    assert "failed: RuntimeError: <b>no</b> luck" in str(made.results)


def test_the_html_is_small_closed_and_literal(made):
    text = made.results._repr_html_()
    parser = Cells()
    parser.feed(text)
    assert not parser._open
    assert any("<b>no</b> luck" in found for found in parser.texts)
    assert "<script" not in text
    assert len(text) < 10_000


def test_the_frame_has_a_row_for_each_measurement(made):
    frame = made.results.to_dataframe()
    assert set(frame.label) == {"raw-pixels", "centered[factor=2.0]"}
    accuracy = frame[(frame.metric == "accuracy") & (frame.method == "centered")]
    assert list(accuracy["at.fold"]) == list(range(10))
    assert set(accuracy["parameter.factor"]) == {2.0}
    assert {"dataset", "budget", "seed", "protocol", "value", "unit"} <= set(frame.columns)


def test_it_can_be_drawn_and_shown(made):
    figure = made.results.plot()
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names[-1] == "broken: failed"
    assert figure._repr_png_() == as_png(figure)
    with pytest.raises(UserError, match="no curves of 'accuracy'. There are curves of: nothing"):
        made.results.plot("accuracy")


def test_nothing_is_shown_when_it_is_quiet_and_finished_trials_are_kept(made, capfd):
    before = {one.record.folder: one.record.ended for one in made.results.trials()}
    again = rb.run(made.asked[:2], "digits", **made.again)
    assert not again.failed
    assert {one.record.folder: one.record.ended for one in again.trials()}.items() <= before.items()
    assert capfd.readouterr() == ("", "")


def test_what_happens_is_shown_on_standard_error(made, capfd):
    rb.run([Broken], **{**made.again, "quiet": False})
    shown = capfd.readouterr()
    assert "broken (seed 0): started (failed before (failed))" in shown.err
    assert not shown.out


def test_a_run_works_in_a_thread(made):
    found = []
    thread = threading.Thread(target=lambda: found.append(rb.run([Centered(factor=2.0)], **made.again)))
    thread.start()
    thread.join()
    assert len(found[0].trials()) == 1


def test_an_interruption_is_raised_after_the_run_is_stored(made, monkeypatch):
    monkeypatch.setattr(PreparedRun, "execute", lambda self, listener: RunEnd((), (), interrupted=True))
    with pytest.raises(KeyboardInterrupt, match="the same call goes on"):
        rb.run(made.asked[:1], **made.again)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"methods": ()}, "nothing to run"),
        ({"methods": [3]}, "methods: 3: expected a name, a call, or a class"),
        ({"methods": "ae", "epochs": 0}, "run: epochs"),
        ({"methods": "ae", "seeds": [-1], "jobs": 0}, "run: seeds.0.*\nrun: jobs"),
        ({"methods": "ae", "memory": "much"}, "run: memory"),
        ({"methods": "ae", "limit": {"trian": 3}}, "did you mean|Did you mean"),
        ({"methods": "ae", "settings": {"a b": 1}}, "run: settings"),
        ({"methods": "ae", "timeout": 0}, "run: timeout"),
        ({"methods": "aee"}, "unknown method 'aee'. Did you mean"),
        ({"methods": "ae", "device": "gpu"}, "device gpu"),
    ],
)
def test_mistakes_are_named(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        rb.run(quiet=True, **arguments)
    assert not list(tmp_path.iterdir())


# -- tables of a store ------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    for seed, digest in ((0, "a"), (1, "b")):
        one = trial("ae", seed, digest=digest * 64, evaluations=[evaluation([50.0, 52.0])])
        rb.Store(tmp_path / "results").write(one, {})
    return tmp_path / "results"


def test_a_store_makes_the_tables_of_the_command_line(store, here):
    tables = rb.load(store).report(methods="ae", seeds="together")
    for form in ("table", "markdown", "latex", "csv", "json"):
        done = here("report", "--method", "ae", "--seeds", "together", "--format", form)
        assert done.stdout.rstrip("\n") == tables.text(form).rstrip("\n")
    assert "<html" in tables.text("html")
    assert len(tables.to_dataframe()) == 4


def test_pivots_are_those_of_the_command_line(store, here):
    tables = rb.load(store).report()
    done = here("report", "--pivot", "accuracy")
    assert done.stdout.rstrip("\n") == tables.text(pivot="accuracy").rstrip("\n")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda store: store.report(methods="dae"), "dae"),
        (lambda store: store.report().text("pdf"), "format 'pdf': expected one of table, markdown"),
        (lambda store: store.report().text("html", pivot="accuracy"), "a page has no pivots"),
        (lambda store: store.compare("nowhere"), "store nowhere: no such folder"),
        (lambda store: store.compare(store.root).text("csv"), "format 'csv': expected one of table, markdown, json"),
    ],
)
def test_mistakes_in_a_report_are_one_line(store, ask, message):
    with pytest.raises(UserError) as caught:
        ask(rb.load(store))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_stores_are_compared_as_by_the_command_line(store, here, tmp_path):
    worse = trial("ae", 0, digest="c" * 64, evaluations=[evaluation([40.0, 42.0])])
    rb.Store(tmp_path / "new").write(worse, {})
    found = rb.load(tmp_path / "new").compare(store, tolerances={"accuracy": 0.5})
    assert found.worse and not found.empty
    done = here("compare", "results", "new", "--tolerance", "accuracy=0.5")
    assert (done.returncode, done.stdout.rstrip("\n")) == (1, str(found))
    same = rb.load(store).compare(store)
    assert not same.worse and not same.problems


def test_a_plan_says_what_would_run_and_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = rb.plan(["pca", "raw-pixels"], "digits", protocols="knn", limit=150, seeds=[0, 1], device="cpu")
    assert list(found.action) == ["run"] * 4
    assert list(found.seed) == [0, 1, 0, 1]
    assert set(found.protocols) == {"knn"}
    assert not (tmp_path / "results").exists()
