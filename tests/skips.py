"""Reports skipped tests in one line, with the packages to install."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import pytest

# Debian's and Ubuntu's packages, by the programs that tests look for.
_PACKAGES = {
    "bwrap": "bubblewrap",
    "docker": "docker.io",
    "ip": "iproute2",
    "java": "openjdk-17-jre-headless",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}


def summary(reasons: Iterable[str]) -> str:
    """Return one line about skipped tests: how many, why, and what to install.

    Args:
        reasons: one for each test; names of programs stand behind "not installed:".
    """
    counts = Counter(reasons)
    names = [name for reason in counts for name in _absent(reason)]
    packages = sorted({_PACKAGES.get(name, name) for name in names})
    others = [f"{reason} ({count})" for reason, count in counts.items() if not _absent(reason)]
    parts = [f"apt-get install {' '.join(packages)}"] if packages else []
    return f"{counts.total()} skipped: {'; '.join([*parts, *others])}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the line at the end of a run."""
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        terminalreporter.write_line(summary(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped))


def _absent(reason: str) -> list[str]:
    found = re.search(r"not installed: ([^()]+)", reason)
    return found[1].strip().split(", ") if found else []
