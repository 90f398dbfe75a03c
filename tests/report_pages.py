"""A store with all that a page can show: curves, figures, histories, failures, references, seeds, a hostile name."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

from PIL import Image
from trials import evaluation, method, trial

from reprbench.benchmark import Reference
from reprbench.learner import Kind
from reprbench.measurement import Curve, Measurement
from reprbench.report.formats.html import as_html
from reprbench.report.table import make_tables
from reprbench.store import Store
from reprbench.trial import Cost, Deviation, Evaluation, Figure, Trial
from reprbench.trial_file import read_trial

HOSTILE = "<script>alert(1)</script>"
HISTORY = "step,seconds,epoch,loss,accuracy\n1,0.5,1,0.9,\n2,1.0,2,0.5,0.6\n3,1.5,3,0.4,0.7\n"
REFERENCE = Reference(value=71.0, spread=0.5, citation="A. Author, 2020")
LABELS = (1, 10, 100)


class Page(HTMLParser):
    """The elements of a page, and the text of some of them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data):
        self.texts.setdefault(self._open, []).append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def payload_of(text: str) -> dict:
    """Return the data that a page's script reads."""
    return json.loads(re.search(r'<script type="application/json" id="payload">(.*?)</script>', text, re.DOTALL)[1])


def noise(path: Path, width: int, height: int, strength: float = 90) -> Path:
    """Write a picture of noise."""
    Image.effect_noise((width, height), strength).convert("RGB").save(path)
    return path


def in_store(root: Path, *trials: Trial) -> list[Trial]:
    """Return the trials as read from a store, each with the figures that its evaluations name."""
    noise(root / "picture.png", 30, 20)
    store = Store(root / "results")
    paths = []
    for one in trials:
        files = [figure.file for found in one.evaluations for figure in found.figures]
        paths.append(store.write(one, dict.fromkeys(files, root / "picture.png")))
    return [read_trial(path / "trial.json") for path in paths]


def write_store(root: Path) -> list[Trial]:
    """Write the store; return its trials."""
    root.mkdir(parents=True, exist_ok=True)
    picture, history = root / "picture.png", root / "history.csv"
    Image.effect_noise((240, 160), 60).convert("RGB").save(picture)
    history.write_text(HISTORY)
    trials = [
        _done("alpha", 0, [70.25, 71.5, 72.0], 12.5, 50_960, reference=REFERENCE),
        _done("beta", 1, [81.0, 82.25, 81.5], 3600.0, 1_200_000, "supervised"),
        _done(HOSTILE, 2, [9.5, 9.75, 10.0], 0.2, 100, "control"),
        trial(
            "broken",
            digest="4" * 64,
            status="failed",
            reason="the loss is nan",
            traceback="Traceback:\n  <b>line</b>",
            deviations=[Deviation("limit", "limit 100")],
            protocols=["linear-svm", "few-labels"],
        ),
    ]
    store = Store(root / "results")
    for one in trials:
        files = {"history.csv": history} if one.status == "done" else {}
        files |= {figure.file: picture for found in one.evaluations for figure in found.figures}
        store.write(one, files)
    return store.read()[0]


def write_page(root: Path) -> Path:
    """Write the store and its page; return the page's path."""
    trials = write_store(root)
    page = root / "report.html"
    page.write_text(as_html(make_tables(trials), [root / "results"], root), encoding="utf-8")
    return page


def _done(
    label: str,
    number: int,
    values: list[float],
    seconds: float,
    parameters: int,
    kind: Kind = "unsupervised",
    reference: Reference | None = None,
) -> Trial:
    confusion = Figure("confusion", "figures/linear-svm-0a1b2c3d-confusion.png")
    return trial(
        label,
        digest=f"{number}" * 64,
        method=method(parameters={"width": 64, "lr": 1e-4}, kind=kind),
        protocols=["linear-svm", "few-labels"],
        evaluations=[evaluation(values, figures=[confusion]), _few_labels(values)],
        cost=Cost(parameters=parameters, fit_seconds=seconds, peak_memory=2**27),
        provenance={"ended": f"2026-01-0{number + 1}", "machine": {"cores": 2}},
        warnings=["C at the edge of its grid"] if number == 1 else [],
        reference=reference,
    )


def _few_labels(values: list[float]) -> Evaluation:
    measurements = [
        Measurement(
            metric="accuracy",
            value=value - 20 / labels,
            unit="%",
            better="higher",
            at={"fold": fold, "labels": labels},
        )
        for labels in LABELS
        for fold, value in enumerate(values)
    ]
    title, x_label = "Accuracy (%)", "labeled images a class"
    return evaluation(
        [],
        "few-labels",
        measurements=measurements,
        headline_at={"labels": 10},
        curves=[
            Curve(metric="accuracy", x="labels", title=title, x_label=x_label, log=True),
            Curve(metric="accuracy", x="fold", title="by fold"),
        ],
        figures=[Figure(name, f"figures/few-labels-0a1b2c3d-{name}.png") for name in ("curve", "grid")],
    )
