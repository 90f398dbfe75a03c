"""The model card of an exported learner: what it is, how good, from which code, and how to load it."""

from __future__ import annotations

from reprbench import __version__
from reprbench.report.escape import markdown
from reprbench.report.formats import as_markdown
from reprbench.report.table import make_tables
from reprbench.spec import show_value
from reprbench.trial import Trial

LOADED = """```python
import reprbench

learner = reprbench.load_learner("FOLDER")  # this folder
features = reprbench.encode(learner, images, reprbench.View())
```"""


def model_card(trial: Trial, file: str | None) -> str:
    """Return the card of a trial's learner as Markdown; every text of others in it is shown literally.

    Parameters
    ----------
    file : of its code, in the folder ``code``; None if the method is installed.
    """
    method, data = trial.method, trial.dataset
    channels, height, width = data.shape
    facts: dict[str, str] = {
        "method": str(method.call),
        "kind": method.kind,
        "code": f"{method.code}{f', in code/{file}' if file else f', {method.origin}'}",
        "fitted to": f"{data.title} ({data.call}, digest {data.digest[:12]}), {data.unlabeled} images",
        "images": f"{channels}×{height}×{width}, values in [0, 1]",
        "budget": f"{trial.budget}; precision {trial.precision}; seed {trial.seed}",
        "limit": str(data.limit or "none"),
        "trial": f"{trial.folder}, fit {trial.hash}",
        "made by": f"reprbench {__version__}",
        **{str(note.kind): str(note) for note in trial.deviations},
    }
    lines = [
        f"# {markdown(trial.label)}",
        "",
        "An unsupervised representation learner, fitted and measured by reprbench."
        if method.kind == "unsupervised"
        else f"A {method.kind} learner, measured by reprbench.",
        "",
        *(f"* {markdown(name)}: {markdown(text)}" for name, text in facts.items()),
        "",
        "## Parameters",
        "",
        *(f"* {markdown(name)}: {markdown(show_value(value))}" for name, value in method.parameters.items()),
        "",
        "## Results",
        "",
        as_markdown(make_tables([trial])).strip(),
        "",
        "## How to load it",
        "",
        LOADED,
        "",
        "The images are uint8, or float32 in [0, 1], of shape (N, C, H, W). " + _code(file),
    ]
    return "\n".join([*lines, *(f"\n* {markdown(warning)}" for warning in trial.warnings)]).rstrip() + "\n"


def _code(file: str | None) -> str:
    return "Loading runs the code in `code`." if file else "The method's package must be installed."
