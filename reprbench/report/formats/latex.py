"""Tables as a LaTeX document: booktabs, a block for each heading, every character escaped; compiles with pdflatex."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from reprbench.printable import printable
from reprbench.report.grid import Grid, GridCell
from reprbench.report.under import UnderLine

PREAMBLE = r"""% Written by reprbench. Compile it with: pdflatex FILE
% To put a table into a paper, copy it from \begin{table} to \end{table}; the paper's preamble needs the packages below.
\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}  % outline fonts, if installed
\usepackage{booktabs}
\usepackage{graphicx}           % \resizebox: a wide table shrinks to the text's width
\usepackage[margin=2cm]{geometry}
\begin{document}
"""
END = "\\end{document}\n"

ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}",
    "±": r"$\pm$", "×": r"$\times$", "·": r"$\cdot$", "−": r"$-$", "≈": r"$\approx$", "≤": r"$\le$", "≥": r"$\ge$",
    "≠": r"$\ne$", "∞": r"$\infty$", "√": r"$\surd$", "→": r"$\to$", "∘": r"$\circ$", "²": r"$^2$", "³": r"$^3$",
    "†": r"\dag{}", "‡": r"\ddag{}", "—": "---", "–": "--", "…": r"\dots{}", "’": "'", "‘": "`", "“": "``", "”": "''",
    "\N{NO-BREAK SPACE}": "~", "‖": r"$\|$", "°": r"$^\circ$",
}  # fmt: skip
_LIGATURE = re.compile(r"([-,'])(?=\1)|[?!](?=`)")
"""Signs that the fonts join with the next one: -- would become a dash."""
_APART = "\N{ZERO WIDTH NON-JOINER}"
EMPHASIS = {"best": r"\textbf{%s}", "tie": r"$\approx$ %s", "": "%s"}
EXPLAINS = {"best": "bold: %s", "tie": r"$\approx$ %s", "": "%s"}


def as_document(grids: Sequence[Grid]) -> str:
    """Return a document with a floating table for each grid."""
    return PREAMBLE + "\n".join(map(_table, grids)) + END


def escape(text: str) -> str:
    """Return `text` on one line as LaTeX; characters that its fonts lack become letters without accents, or U+XXXX."""
    return "".join(map(_sign, _LIGATURE.sub(lambda found: f"{found[0]}{_APART}", printable(text))))


def _sign(sign: str) -> str:
    if sign == _APART:
        return "{}"
    if sign in ESCAPES:
        return ESCAPES[sign]
    if sign.isspace():
        return " "
    if " " <= sign <= "~" or "¡" <= sign <= "ÿ":
        return sign
    greek = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", unicodedata.name(sign, ""))
    if greek:
        return _greek(greek[1], greek[2])
    parts = unicodedata.normalize("NFKD", sign)
    letters = "".join(part for part in parts if not unicodedata.combining(part))
    if letters not in ("", sign) and letters.isascii():
        # x̂ comes as an x and a combining character, which leaves nothing, as it should.
        return escape(letters)
    return "" if unicodedata.combining(sign) or unicodedata.category(sign) in ("Cc", "Cf") else f"U+{ord(sign):04X}"


def _greek(size: str, name: str) -> str:
    """Return a Greek letter; the capitals that look like Latin ones have no command of their own."""
    name = {"LAMDA": "lambda"}.get(name, name.lower())
    if name in ("omicron", "final"):
        return {"omicron": "o", "final": r"$\varsigma$"}[name]
    commands = {"gamma", "delta", "theta", "lambda", "xi", "pi", "sigma", "upsilon", "phi", "psi", "omega"}
    if size == "CAPITAL":
        latin = {"eta": "H", "rho": "P", "chi": "X", "nu": "N"}.get(name, name[0].upper())
        return rf"$\{name.capitalize()}$" if name in commands else latin
    return rf"$\{name}$"


def _table(grid: Grid) -> str:
    columns = "".join("l" if left else "r" for left in grid.left)
    lines = [
        r"\begin{table}[htbp]",
        r"\centering",
        rf"\caption{{{'. '.join(map(escape, filter(None, [grid.title, grid.subtitle])))}}}",
        # A table narrower than the text keeps its size.
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _line([escape(header) for header in grid.headers]),
    ]
    for heading, block in grid.blocks:
        lines.append(r"\midrule")
        if heading:
            lines.append(rf"\multicolumn{{{len(grid.headers)}}}{{l}}{{\emph{{{escape(heading)}}}}} \\")
        lines += [_line([_cell(cell) for cell in line]) for line in block]
    lines += [
        r"\bottomrule",
        r"\end{tabular}}",
        "",
        r"\medskip",
        r"\begin{minipage}{\linewidth}\footnotesize\raggedright",
    ]
    lines += [rf"{_explained(line)}\par" for line in grid.under]
    return "\n".join([*lines, r"\end{minipage}", r"\end{table}", ""])


def _explained(line: UnderLine) -> str:
    """Return a line under the table; what the terminal marks with a star is bold here."""
    return EXPLAINS[line.explains] % escape(line.text)


def _cell(cell: GridCell) -> str:
    # Bold does not apply in math mode: ± stays thin.
    return EMPHASIS[cell.emphasis] % escape(cell.text)


def _line(cells: Sequence[str]) -> str:
    # A [ or * after \\ would be read as its argument; braces prevent that.
    return " & ".join(f"{{{cell}}}" if cell.startswith(("[", "*")) else cell for cell in cells) + r" \\"
