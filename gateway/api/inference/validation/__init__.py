"""What no vendor could accept, checked once in the inner language for every surface.

It must not know: how surfaces translate, which endpoint a request will go to.
"""
