"""What puts a gateway under load: plans, senders, generators, readers, and a gateway that is started for it."""
