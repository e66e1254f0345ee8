"""What holds for every test: Ctrl-C's signal works, also where a shell has started us with it ignored."""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
