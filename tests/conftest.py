"""What the whole-system tests need of the process they run in."""

from __future__ import annotations

import signal

# Started in the background by a shell, a process ignores Ctrl-C, and so would the commands that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
