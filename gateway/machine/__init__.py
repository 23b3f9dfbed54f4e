"""One machine: its supervisor, its worker processes, and the ports that they share."""
