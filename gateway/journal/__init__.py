"""How a report is made durable: waiting room, group commit, Postgres."""
