"""One engine per file; each module has ``adapter(variant)`` and is imported by name only (``oracles.adapter.load``)."""
