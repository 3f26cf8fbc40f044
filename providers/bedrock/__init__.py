"""AWS Bedrock: Converse, and InvokeModel for embeddings.

It must not know: the gateway, other vendors' dialects unless it extends them.
"""
