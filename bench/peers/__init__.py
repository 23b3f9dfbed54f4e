"""Other systems that do the same work: Nchan, NATS JetStream, FastAPI, wrk, and a loop of `socket.send`."""
