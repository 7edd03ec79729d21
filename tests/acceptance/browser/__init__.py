"""The live page in a real browser: chromium, driven by playwright. Only `.ci/run` installs them."""
