"""`python -m opsd`."""

import sys

from opsd.cli import main

if __name__ == "__main__":
    sys.exit(main())
