"""The command line as a process: run it, signal it, kill it, resume it."""
