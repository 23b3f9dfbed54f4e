"""Tests of rehearsals and measurements."""
