"""`python -m gateway`: the command `valgnatt`."""

from gateway.cli import main

main()
