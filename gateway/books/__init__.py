"""Closed books: lines of the journal, and records of generations, that have left the store for the archive.

The worker closes each organisation's books (``closing``): lines older than a day go to the archive, as the datasets ``journal`` and
``records`` beside the history of analytics. What is asked for is read across both (``reading``), and the whole history is audited
from the archive (``whole_audit``). It must not know: HTTP, what a request was.
"""
