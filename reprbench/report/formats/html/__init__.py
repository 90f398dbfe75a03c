"""The report as one self-contained HTML page: tables, charts, figures and the details of each trial."""

from reprbench.report.formats.html.page import as_html

__all__ = ["as_html"]
