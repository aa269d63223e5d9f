"""What is looked at before any work is queued: portraits and rows, by number and threshold."""
