"""One command of ``wfuzz`` per file: ``NAME.py`` defines the click command ``NAME``.

A file is imported when its command is named and not before; ``harness.cli`` has the list and the exit codes.
"""
