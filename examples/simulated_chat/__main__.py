"""The entry point: `python -m examples.simulated_chat`."""

import sys

from examples.simulated_chat.command import main

sys.exit(main())
