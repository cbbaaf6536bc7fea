"""`python -m loadgen.cli` does what `loadgen` does."""

import sys

from loadgen.cli.app import main

sys.exit(main())
