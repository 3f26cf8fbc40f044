"""The synthetic year: traffic of November 2024 to December 2025 as public reports describe it, made from a seed.

``cube`` makes tokens by week and model, ``events`` one event a request from it, in pure, plain Python. Both must not know how a
gateway records or counts: they are what counting is tried with. ``recorded`` makes of them what a gateway would have recorded,
``load`` counts that in a store, ``attributes`` tells the catalogue of the made-up models; ``tokenway demo-year`` is the command.
"""
