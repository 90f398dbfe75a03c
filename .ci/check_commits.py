"""Checks the messages of a branch's commits: a subject in the imperative of at most 72 characters, then a blank line.

The branch's commits are those that BASE (the environment's, by default origin/main, else main) does not have; on main
itself, the last one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

LONGEST = 72
IMPERATIVE = re.compile(r"(?i)(be|emb|fe|n|se|she|spe|spre|we)ed|(br|k|p|r|s|spr|str|sw|th|w|cl|fl)ing|bed|wed|shed")
"""Words that look like a past tense or a participle but are not."""


def mistakes(message: str) -> list[str]:
    """Return what is wrong with a commit's message, a line each."""
    subject, *rest = message.rstrip("\n").split("\n")
    first = subject.partition(" ")[0]
    found = []
    if len(subject) > LONGEST:
        found.append(f"the subject has {len(subject)} characters; at most {LONGEST}, the why belongs in the body")
    if subject.endswith("."):
        found.append("the subject ends with a period")
    if not first[:1].isupper():
        found.append("the subject does not begin with a capital letter")
    if re.search(r"(ed|ing)$", first) and not IMPERATIVE.fullmatch(first):
        found.append(f"the subject begins with {first!r}; use the imperative, as in 'Add', 'Mend', 'Rename'")
    if rest and rest[0]:
        found.append("no blank line follows the subject")
    return found


def commits() -> list[str]:
    """Return the commits to look at, the newest first."""
    for base in (os.environ.get("BASE"), "origin/main", "main"):
        if base and _git("rev-parse", "--verify", "--quiet", f"{base}^{{commit}}").returncode == 0:
            listed = _git("rev-list", "--no-merges", f"{base}..HEAD").stdout.split()
            return listed or _git("rev-list", "--no-merges", "-1", "HEAD").stdout.split()
    return []


def main() -> int:
    """Print what is wrong; return 1 if anything is."""
    status = 0
    for commit in commits():
        message = _git("show", "--no-patch", "--format=%B", commit).stdout
        for mistake in mistakes(message):
            print(f"{commit[:8]} {message.partition(chr(10))[0]}: {mistake}")
            status = 1
    return status


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *words], capture_output=True, text=True, check=False)  # noqa: S607


if __name__ == "__main__":
    sys.exit(main())
