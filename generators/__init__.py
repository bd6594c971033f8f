"""Random modules and the plans that run them, every decision drawn from one recorded tape.

Knows the engine's table of instructions and, of the oracles, only the plan.
"""
