"""What is done so far, as a dataset that others read: folders, tables, shards, and their description.

The same ledger and the same options give the same bytes. Nothing is seen at its place before it is whole.
"""
