"""Where bytes come to rest: durable writes to the local disk."""
