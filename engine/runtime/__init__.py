"""The store and what lives in it (spec: exec-runtime): instances as objects that know their address.

Nothing here executes instructions; ``engine.execution`` does, on these objects.
"""
