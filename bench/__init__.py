"""The bench: one command that measures this gateway, nginx and two peers in front of the same upstream.

It starts the gateway as a user would (its command, ``GATEWAY_*`` variables, its HTTP API) and must not
import ``gateway`` or ``providers``: what is measured is the shipped process, not a part of it. Linux only: it reads ``/proc``.
"""
