"""The simulated provider: a real HTTP server that speaks the dialects of the built-in profiles.

It serves the demo, every test and a user's dress rehearsal; nothing in it knows the codecs that read
its answers, so that one checks the other. Entrance: `batchgen.simulator.serve.simulate`.
"""
