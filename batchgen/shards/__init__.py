"""One batch on several machines without a cluster: which jobs are whose, and one workspace of all in the end."""
