"""Record the golden values anew: ``python tests/golden/record.py``.

Nothing is written, and the exit status is 1, if a number moved whose version and NUMERICS did not. To have all digits
compared on another machine, delete ``values.json`` at a revision whose numbers are good, and record there.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ratchet import FILE, load, save, updated
from values import entry, names


def main(path: Path = FILE) -> int:
    """Record, unless an entry may not change; return the exit status."""
    recorded = load(path)
    entries, refused = updated(recorded, {name: entry(name) for name in names()})
    if refused:
        print(*refused, sep="\n", file=sys.stderr)
        return 1
    save(entries, path)
    changed = sorted(name for name in entries.keys() | recorded.keys() if entries.get(name) != recorded.get(name))
    print(f"recorded anew: {', '.join(changed) or 'nothing'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
