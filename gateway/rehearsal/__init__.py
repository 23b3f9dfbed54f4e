"""Rehearse an election: recorded and generated elections, their replay, and the judge of the result."""
