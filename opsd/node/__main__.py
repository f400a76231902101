"""`python -m opsd.node`."""

import sys

from opsd.node.command import main

if __name__ == "__main__":
    sys.exit(main())
