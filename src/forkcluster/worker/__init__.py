"""The worker: what happens after the fork."""
