"""The synthetic year: traffic of November 2024 to December 2025 as public reports describe it, made from a seed.

``cube`` makes tokens by week and model, ``events`` one event a request from it; ``tokenway demo-year`` writes them to a
file. All of it is pure, plain Python. It must not know how a gateway records or counts: it is what counting is tried with.
"""
