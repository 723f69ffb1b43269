"""Did-you-mean."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the known name closest to a wrong one, or "" where none is close."""
    by_folded = {_fold(candidate): candidate for candidate in known}
    close = get_close_matches(_fold(name), by_folded, n=1, cutoff=0.6)
    return f"; did you mean {by_folded[close[0]]!r}?" if close else ""


def _fold(name: str) -> str:
    return name.casefold().replace("-", "_")
