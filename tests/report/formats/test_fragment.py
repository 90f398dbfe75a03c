"""Tables as a piece of HTML for notebooks."""

from __future__ import annotations

from html.parser import HTMLParser

from trials import evaluation, trial

from reprbench.benchmark import Benchmark
from reprbench.report.formats.html.fragment import as_fragment
from reprbench.report.table import make_tables
from reprbench.spec import Budget

EVIL = '<img src=x onerror="alert(1)">&amp;\u202e'


class Tags(HTMLParser):
    """Counts tags, and collects texts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags, self.texts = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


def read(fragment):
    parser = Tags()
    parser.feed(fragment)
    return parser


def test_texts_of_others_are_literal():
    one = trial(EVIL, evaluations=[evaluation([90.0, 92.0])], warnings=[EVIL])
    failed = trial("b", digest="b" * 64, status="failed", reason=EVIL)
    found = read(as_fragment(make_tables([one, failed])))
    assert not {"img", "script", "link"} & set(found.tags)
    assert sum("<img src=x" in text for text in found.texts) >= 3
    assert "\u202e" not in "".join(found.texts)


def test_rows_stand_under_their_headings():
    rows = [{"method": "ae", "group": "Ours"}, {"method": "dae", "group": "Others"}]
    benchmark = Benchmark(name="mine", title="A title", dataset="digits", budget=Budget(epochs=1), methods=rows)
    done = [trial(name, digest=name[0] * 64, evaluations=[evaluation([90.0, 92.0])]) for name in ("ae", "dae")]
    texts = [text.strip() for text in read(as_fragment(make_tables(done, {"mine": benchmark}))).texts if text.strip()]
    assert texts[0] == "A title"
    assert [text for text in texts if text in ("Ours", "Others", "ae", "dae")] == ["Ours", "ae", "Others", "dae"]


def test_no_table_is_no_rows():
    assert "tr" not in read(as_fragment([])).tags
