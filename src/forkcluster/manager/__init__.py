"""The terminal's side of managed apps: speaks to masters through their control sockets."""
