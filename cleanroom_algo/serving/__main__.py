"""`python -m cleanroom_algo.serving [serve]`."""

import sys

from cleanroom_algo.serving.server.main import main

if __name__ == "__main__":
    sys.exit(main())
