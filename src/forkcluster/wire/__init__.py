"""What two processes must agree on: messages, channels, titles. Knows no process's own business."""
