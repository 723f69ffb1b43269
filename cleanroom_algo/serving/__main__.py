"""`python -m cleanroom_algo.serving [serve]`."""

from cleanroom_algo.contract.processes import run_program
from cleanroom_algo.serving.server.main import main

if __name__ == "__main__":
    run_program(main)
