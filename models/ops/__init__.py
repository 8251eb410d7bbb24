"""Pure tensor functions of astromorphic attention; every fast form has a slow twin that reads like the equations.

Layout everywhere: ``[batch, time, heads, dim]``. States and normalisers are kept in float32 or better.
"""
