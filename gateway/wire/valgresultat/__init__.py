"""Documents in the shape of valgresultat.no, the results service of the Norwegian Directorate of Elections.

For software that already reads that service. The shape is that of 2025; docs/valgresultat.md lists every difference.
"""
