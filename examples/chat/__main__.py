"""The entry point: `python -m examples.chat`."""

import signal
import sys

# Until the conversation listens to it, Ctrl-C just ends the process: the imports below take a moment.
signal.signal(signal.SIGINT, signal.SIG_DFL)

from examples.chat.conversation import main  # noqa: E402

sys.exit(main())
