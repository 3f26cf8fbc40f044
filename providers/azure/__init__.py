"""Azure OpenAI and Azure AI Foundry.

It must not know: the gateway, other vendors' dialects unless it extends them.
"""
