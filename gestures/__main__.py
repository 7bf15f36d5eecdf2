"""Entry point of `python -m gestures`."""

import sys

from gestures.cli import main

sys.exit(main())
