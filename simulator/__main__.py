"""``python -m simulator``."""

import sys

from simulator.serve import run

if __name__ == "__main__":
    sys.exit(run())
