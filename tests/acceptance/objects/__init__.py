"""Whole batches into a bucket of a real S3 server, moto's, which only `.ci/run` installs."""
