"""Rehearse an election: recorded and generated elections, their replay, and the check of the results."""
