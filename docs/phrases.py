"""Finds phrases that are hard to read, in code and documentation: `python -m docs.phrases` names each place."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
INSTEAD: Final = {
    "whoever": "the caller, the reader, the member who",
    "is told": "is reported, is logged, is named",
    "are told": "are reported, are recognized by",
    "goes on": "continues",
    "for ever": "forever",
    "in silence": "silently, without a message",
    "hear of": "learn of, receive",
    "came of": "resulted from",
    "as good as": "the same as",
    "without walls": "without isolation",
    "nobody said so": "without --yes",
    "a name of its own": "a unique name",
    "is there twice": "occurs twice",
    "stands twice": "occurs twice",
    "not looked at": "not checked",
    "not to be told": "cannot be distinguished",
    "train anew": "train again",
    "cut short": "truncated, abbreviated",
    "without a word": "without a message, silently",
    "whole epoch": "complete epoch",
    "gone at once": "removed at once",
    "took no more": "cannot store, is full",
    "takes no more": "cannot store, is full",
    "make room": "free disk space",
    "over its cap": "too large",
    "such ones": "these",
    "no matter of": "independent of",
    "a way out": "external access",
    "misspelt": "misspelled",
    "nobody": "no member, no process, not",
    "everybody": "all members, all users",
    "anybody": "any member, an attacker",
    "somebody": "another process, a person",
    "let go of": "close, release",
    "lets go of": "closes, releases",
    "let through": "allow, select",
    "lets through": "allows, selects",
    "give away": "reveal",
    "gives away": "reveals",
    "tell apart": "distinguish",
    "told apart": "distinguished",
    "tells apart": "distinguishes",
    "begins anew": "begins again",
    "starts anew": "starts again",
    "declared anew": "declared again",
    "in the place of": "instead of, in place of",
    "takes the place of": "replaces",
    "where there is none": "if there is none",
    "where there are none": "if there are none",
    "standardise": "standardize",
}
"""What to write in place of a phrase."""
_PHRASE: Final = re.compile(rf"\b(?:{'|'.join(INSTEAD)})\b", re.IGNORECASE)


def findings() -> Iterator[str]:
    """Yield the places of such phrases, each with what to write instead."""
    files = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("cleanroom_algo/**/*.py"),
        *ROOT.glob("container/*"),
    ]
    for path in files:
        if path.is_file():
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                for match in _PHRASE.finditer(line):
                    place = f"{path.relative_to(ROOT)}:{number}"
                    yield f"{place}: {match[0]!r}; better: {INSTEAD[match[0].lower()]}"


if __name__ == "__main__":
    found = list(findings())
    print("\n".join(found), file=sys.stderr)
    sys.exit(bool(found))
