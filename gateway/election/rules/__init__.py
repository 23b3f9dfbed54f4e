"""PURE: rules, the checks of a valid report on arrival against the current reports."""
