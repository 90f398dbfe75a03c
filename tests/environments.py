"""Virtual environments that share the packages of this one, so that something can be installed into them in seconds."""

from __future__ import annotations

import site
import subprocess
import sys
from pathlib import Path


def sharing_environment(folder: Path) -> str:
    """Make an environment in `folder`, with nothing of its own; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    ask = [python, "-c", "import site; print(site.getsitepackages()[0])"]
    own = Path(subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip())
    # `addsitedir` also follows the files by which those packages share others, and editable installs.
    lines = [f"import site; site.addsitedir({packages!r})\n" for packages in site.getsitepackages()]
    (own / "shared.pth").write_text("".join(lines))
    return python
