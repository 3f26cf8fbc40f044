"""Programs for those who work on Tokenway. Not installed: run them from the repository, ``python -m tools.<name>``."""
