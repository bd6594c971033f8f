"""Validation: the context, the stack algorithm, constant expressions, modules (spec: valid)."""

from .context import Context
from .module import validate

__all__ = ["Context", "validate"]
