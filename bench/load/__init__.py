"""What puts a gateway under load: plans, senders, generators, readers, and a gateway of our own."""
