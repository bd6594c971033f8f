"""Gate: a campaign's outcomes depend on its seed alone; ``python -m ci.gates.determinism``.

Runs one campaign again and again: as it is, a second time, in two processes, with another hash seed, and with each
interpreter named by ``--python`` (one in which this project is installed).  The digest of all outcomes must be the same
each time and every run must end clean, which includes few inconclusive cases.  The exit status is the verdict.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Variant:
    """One way to run the campaign."""

    name: str
    python: str = sys.executable
    args: tuple[str, ...] = ()
    hash_seed: str = "0"


def variants(pythons: list[str]) -> list[Variant]:
    return [
        Variant("as it is"),
        Variant("again"),
        Variant("two processes", args=("--jobs", "2")),
        Variant("another hash seed", hash_seed="12345"),
        *(Variant(python, python=python) for python in pythons),
    ]


def run(variant: Variant, campaign: list[str]) -> dict[str, Any]:
    """Return the summary of the campaign run this way, with the exit status under ``exit``."""
    with tempfile.TemporaryDirectory(prefix="wfuzz-determinism-") as out:
        command = [variant.python, "-m", "harness", "run", *campaign, *variant.args, "--out", f"{out}/run"]
        env = {**os.environ, "PYTHONHASHSEED": variant.hash_seed}
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        path = Path(out, "run", "summary.json")
        if not path.is_file():
            return {"exit": done.returncode, "text": done.stderr.strip()[-300:]}
        summary: dict[str, Any] = json.loads(path.read_text())
        return {**summary, "exit": done.returncode}


def complaints(summaries: dict[str, dict[str, Any]]) -> list[str]:
    """Return what is wrong with the summaries of one campaign, by variant."""
    found = [
        f"{name}: exit status {summary['exit']} {summary.get('text', '')}".rstrip()
        for name, summary in summaries.items()
        if summary["exit"] != 0
    ]
    digests = {summary.get("digest") for summary in summaries.values()}
    if len(digests) != 1 or None in digests:
        found.append("the digests differ: " + ", ".join(f"{k} {s.get('digest')}" for k, s in summaries.items()))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Run one campaign in several ways and compare the outcomes.")
    parser.add_argument("--oracle", action="append")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--python", action="append", default=[], help="another interpreter with this project in it")
    args = parser.parse_args()
    campaign = ["--seed", str(args.seed), "--cases", str(args.cases)]
    for oracle in args.oracle or ["wasmtime"]:
        campaign += ["--oracle", oracle]
    summaries = {}
    for variant in variants(args.python):
        summary = summaries[variant.name] = run(variant, campaign)
        print(f"{variant.name}: {summary.get('digest')} in {summary.get('elapsed_s')} s", flush=True)
    for complaint in (found := complaints(summaries)):
        print(complaint)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
