"""``python -m providers.simulated``."""

import sys

from providers.simulated.serve import run

if __name__ == "__main__":
    sys.exit(run())
