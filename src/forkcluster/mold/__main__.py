"""`python -m forkcluster.mold FD MASTER TITLE`: what the master executes."""

import sys

from forkcluster.mold.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv))
