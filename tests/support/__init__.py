"""What tests of several rooms share: servers, builders, waiting.

Nothing here asserts anything about the product, and the product never imports it.
"""
