"""The report on the state of AI, F01 to F38: what the events of a year say, in figures, tables and sentences made of the numbers.

``build`` reads the history with DuckDB and gives a ``Report``; ``document`` is its shape and its file, which the API and the pages
read; ``markdown`` writes it for people. It must not know: the store, HTTP, how a chart is drawn.
"""
