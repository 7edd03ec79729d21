"""Where workers run: in this process, or elsewhere. Only values cross the border."""
