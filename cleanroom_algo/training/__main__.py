"""Run as `python -m cleanroom_algo.training`."""

from cleanroom_algo.contract.processes import run_program
from cleanroom_algo.training.process.main import main

if __name__ == "__main__":
    run_program(main)
