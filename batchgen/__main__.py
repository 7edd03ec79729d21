"""The command line, as `python -m batchgen` and as the script `batchgen`."""

from __future__ import annotations

from batchgen.early import leave_at_once


def main() -> None:
    """Run the command that was typed, and exit."""
    leave_at_once()
    from batchgen.cli import main as command_line  # what takes time to import comes after

    command_line(prog_name="batchgen")


if __name__ == "__main__":
    main()
