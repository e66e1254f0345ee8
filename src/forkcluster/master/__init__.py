"""The master of one app: pure policy (cluster, roll, seats, backoff) and the edge that acts."""
