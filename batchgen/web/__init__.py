"""The live page of a batch: reads its ledger, shows its pictures, and hands orders to the run. An extra."""
