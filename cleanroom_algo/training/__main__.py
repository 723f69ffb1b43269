"""Run as `python -m cleanroom_algo.training`."""

import sys

from cleanroom_algo.training.process.main import main

if __name__ == "__main__":
    sys.exit(main())
