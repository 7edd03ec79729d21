"""`python -m batchgen` is the command line."""

from batchgen.cli import main

main(prog_name="batchgen")
