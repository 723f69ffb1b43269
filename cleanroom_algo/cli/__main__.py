"""`python -m cleanroom_algo.cli`: the command if its script is not on PATH."""

import sys

from cleanroom_algo.cli import main

if __name__ == "__main__":
    sys.exit(main())
