"""What the processes report of themselves: metrics, log lines, traces."""
