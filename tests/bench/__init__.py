"""Tests of the load tool: what it says of a gateway has to be so."""
