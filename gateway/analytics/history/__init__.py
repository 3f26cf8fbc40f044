"""The history of analytics: every counted event in Parquet files or ClickHouse, from which the counters can be made again.

    schema.py    an event as a row: columns, types, what a file says of itself
    parquet.py   one file, by DuckDB: write, compare, check, read
    archive.py   the files of a directory: pieces, days, which rows count
    bucket.py    the same files as objects
    clickhouse.py, clickhouse_http.py   the same rows in ClickHouse, over HTTP
    source.py    ``History``, as which each of them is read
    sinks.py, writer.py   ``Sink``, as which each is written, and who writes
    locations.py where they are: settings and URLs
    rebuild.py, export.py, sums.py, load.py   what is made of it, and of what it is made

DuckDB comes with the extra ``analytics``; without it there are no files, and of ClickHouse only writing. It must not know: how HTTP
requests to the gateway are served.
"""
