"""What is for sale: providers, models, endpoints and dated prices as validated, frozen data.

It must not know: callers, credits, health, HTTP. It reads YAML files and looks things up in them.
"""
