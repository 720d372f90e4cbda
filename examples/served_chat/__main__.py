"""The entry point: `python -m examples.served_chat`."""

import sys

from examples.served_chat.command import main

sys.exit(main())
