"""`python -m benchmarks.peers [NAME ...]`: make the environments of the peers, all of them or some."""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence

from benchmarks.peers.servers import FOLDER, REQUIREMENTS


def main(arguments: Sequence[str] | None = None) -> int:
    """Install what is asked for; 1 where a peer cannot be installed here."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(REQUIREMENTS)}; all by default")
    names = parser.parse_args(arguments).names or list(REQUIREMENTS)
    if unknown := set(names) - set(REQUIREMENTS):
        parser.error(f"no such environment: {', '.join(sorted(unknown))}")
    failed = [name for name in names if not install(name)]
    print(f"{len(names) - len(failed)} of {len(names)} environments are in {FOLDER}")
    if failed:
        print(f"not installed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def install(name: str) -> bool:
    """Make one environment; return whether everything could be installed."""
    folder = FOLDER / name
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, *REQUIREMENTS[name]], check=False).returncode:
        return False
    # torch and the like are taken from the environment that runs this, after the peer's own packages.
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    shared = folder / "lib" / version / "site-packages" / "zz_shared.pth"
    shared.write_text(sysconfig.get_path("purelib") + "\n")
    return True


if __name__ == "__main__":
    sys.exit(main())
