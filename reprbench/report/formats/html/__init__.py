"""The report as one HTML page that needs nothing else: tables, charts, figures and the details of each trial."""

from reprbench.report.formats.html.page import as_html

__all__ = ["as_html"]
