"""Escapes text from others, such as labels and messages: for GitHub's Markdown, and for figures."""

from __future__ import annotations

import html
import re
from functools import lru_cache

from reprbench.printable import printable

_MARKUP = re.compile(r"([\\`*_\[\]|~$])")
_BLOCK_SIGN = re.compile(r"^(?=[-+=#:](?!\d))|^(\d+)(?=[.)](?!\S))|(?=#+$)")
"""What would begin a list, a heading or the like, or end a heading; numbers such as -1.5 do not."""

_INSIDE_LINK = re.compile(
    r"(?<=[@#])(?=\w)"  # a mention, an e-mail address, an issue
    r"|(?<=GH-)(?=\d)"  # an issue
    r"|(?<=:)(?=//)|(?<=www)(?=\.)"  # a URL
    r"|(?<=:)(?=[\w+-]+:)",  # an emoji
    re.IGNORECASE,
)


@lru_cache(maxsize=2**14)
def markdown(text: str) -> str:
    r"""Return `text` on one line, so that GitHub's Markdown shows it literally: no markup, links, mentions or HTML.

    GitHub looks for mentions and links after resolving backslashes and entities, so neither of these prevents one;
    an empty comment does (https://github.com/github/cmark-gfm/issues/181).

    Examples
    --------
    >>> markdown("*a* | <b> @all")
    '\\*a\\* \\| &lt;b&gt; @<!-- -->all'
    """
    marked = _MARKUP.sub(r"\\\1", html.escape(printable(text).strip(), quote=False))
    return _BLOCK_SIGN.sub(r"\1\\", _INSIDE_LINK.sub("<!-- -->", marked))


LONGEST_TEXT = 80
"""Characters of a name or title in a figure."""


def figure_text(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return a text as a figure shows it: on one line, and without formulas, which Matplotlib would read in it."""
    return printable(text, longest).replace("$", r"\$")
