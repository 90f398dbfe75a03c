"""Texts that stand as they are, whatever they contain: on a terminal, and in GitHub's Markdown."""

from __future__ import annotations

import html
import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_MARKUP = re.compile(r"([\\`*_\[\]|~!<>#])")


def terminal(text: str) -> str:
    """Return `text` in one line, without what a terminal would obey."""
    return _CONTROL.sub(" ", text)


def markdown(text: str) -> str:
    """Return `text` so that GitHub's Markdown shows it as it is, in a cell too: no markup, links or mentions."""
    marked = _MARKUP.sub(r"\\\1", html.escape(terminal(text), quote=False))
    return marked.replace("@", "&#64;")
