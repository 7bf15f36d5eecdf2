"""Entry point of `python -m recipes`."""

import sys

from recipes.cli import main

# Worker processes import this module again where they are not forked.
if __name__ == "__main__":
    sys.exit(main())
