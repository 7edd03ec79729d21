"""The report: one HTML page about a batch, for the person who wakes up and for those it is shown to.

It asks nobody for anything: no script, no outside address, every word from a manifest or a provider escaped.
"""
