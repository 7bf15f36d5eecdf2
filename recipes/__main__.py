"""Entry point of `python -m recipes`."""

import sys

from recipes.run import main

sys.exit(main())
