"""How a worker is asked for its Python stacks: by a signal that works while C code holds the GIL.

A real-time signal, since applications rarely use those; its number is the kernel's, the same in every process
(glibc keeps the first two for itself).
"""

from typing import Final

STACKS_SIGNAL: Final = 41
