"""The readers that people have, over what export writes. They are large, so only `.ci/run` installs them all."""
