"""The admin process: metrics, health and status of one app, on our own engine."""
