"""PURE: files with counts, as people write them: JSON, NDJSON and tables.

`reports.read_files` takes names and contents and returns checked reports, or every mistake with its place. Used by
`valgnatt push` and by the push door, so that both read a file in the same way.
"""
