"""`python -m stageflow` is the command `stageflow`."""

import sys

from stageflow.cli import main

sys.exit(main())
