"""The watcher: a small process that asks its master for a reload when a file changes."""
