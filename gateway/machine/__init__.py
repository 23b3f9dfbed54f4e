"""One machine: its supervisor, its processes, and the ports that they share."""
