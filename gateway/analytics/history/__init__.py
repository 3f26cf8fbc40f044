"""The history of analytics: every counted event in Parquet files, from which the counters can be made again.

    schema.py    an event as a row: columns, types, what a file says of itself
    parquet.py   one file, by DuckDB: write, compare, check, read
    archive.py   the files of a directory: pieces, days, which rows count

DuckDB comes with the extra ``analytics``; without it there is no history. It must not know: HTTP.
"""
