"""What the processes report about themselves: metrics, logs and traces."""
