"""The entry point: `python -m examples.voice_turn`."""

import signal
import sys

# Until the turn listens to it, Ctrl-C just ends the process: the imports below take a moment.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from examples.voice_turn.command import main  # noqa: E402

sys.exit(main())
