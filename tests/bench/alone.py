"""`python -m tests.bench.alone WORDS`: runs batchgen and prints the processor seconds of this process alone.

For runs whose work is done in other processes: what is left is the runner's.
"""

from __future__ import annotations

import resource
import sys

from batchgen.cli import main

if __name__ == "__main__":
    try:
        main(sys.argv[1:], prog_name="batchgen")
    finally:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        print(usage.ru_utime + usage.ru_stime)
