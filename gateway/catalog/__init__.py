"""What is for sale. Providers, models, endpoints and dated prices as validated, frozen data.

It must not know: callers, credits, health, HTTP. It reads YAML and answers questions.
"""
