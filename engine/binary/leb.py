"""The LEB128 writers under the name that encoders use; immediate kinds need them too, so they live further left."""

from engine.instructions.leb import s, u

__all__ = ["s", "u"]
