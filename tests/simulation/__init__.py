"""Whole processes of the gateway, their clients, Postgres and the network on one seeded event loop, in virtual time."""
