"""What every request does: plan, hold, the first attempt that succeeds, the answer, settlement.

Read ``pipeline.py``, ``attempts.py``, ``generation.py`` and ``settlement.py`` in this order: they are the core of the gateway.
It must not know: HTTP, the formats of API surfaces.
"""
