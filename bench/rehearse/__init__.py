"""Rehearsals: scenarios under load, each with a report, a verdict and the judge's check of every guarantee."""
