"""Real engines as oracles: what to run and what happened as plain data, engines in supervised worker processes.

``plan`` and ``outcome`` are the language, ``protocol`` carries it between processes, ``worker`` speaks it for one
``adapter`` (``adapters/``, one engine per file), ``process.Oracle`` supervises a worker, ``traps`` maps engines'
reports to the suite's phrases, ``conformance`` is the kit that every adapter passes.  Nothing raises for a finding.
"""
