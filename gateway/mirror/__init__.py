"""Writes everything public about elections as static files: an ordinary client of a feed door, without a database."""
