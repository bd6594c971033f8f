"""Supervision under fire: ``python -m benchmarks.chaos --faults 2000`` prints an account and exits 1 if it is wrong.

Every case is a plan of a few steps for a worker that misbehaves in one way at one step.  A case is accounted for if the
records before the fault are exactly those of its steps, the last one says what happened, and by the worker's own ledger
no step of it ran twice or was answered without having run.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from oracles.outcome import Crashed, Exhausted, Record, Returned, TimedOut
from oracles.plan import Limits, Plan, Step
from oracles.process import Budget, Oracle

__all__ = ["FAULTS", "Account", "main", "run"]

WORKER = Path(__file__).with_name("chaos_worker.py")
STEPS = 4
HANG_MS = 150  # the limit of cases that are meant to reach it
PATIENCE_MS = 20_000

# what a fault must be in the account, None: nothing, the case ends well
FAULTS: dict[str, type | None] = {
    "nothing": None, "prints": None, "speaks after the end": None, "dies after the end": None,
    "SIGSEGV": Crashed, "SIGABRT": Crashed, "SIGKILL": Crashed, "SIGILL": Crashed, "exit 0": Crashed, "exit 3": Crashed,
    "rubbish": Crashed, "huge frame": Crashed, "deep nesting": Crashed, "deep objects": Crashed,
    "huge integer": Crashed, "NaN": Crashed, "an array": Crashed, "not UTF-8": Crashed, "not JSON": Crashed,
    "empty frame": Crashed,
    "half a frame, then death": Crashed, "closed output": Crashed, "flood of records": Crashed, "wrong id": Crashed,
    "lost record": Crashed, "repeated record": Crashed, "early end": Crashed, "false count": Crashed, "fault": Crashed,
    "unknown outcome": Crashed, "malformed record": Crashed,
    "SIGSTOP": TimedOut, "hang": TimedOut, "half a frame, then silence": TimedOut, "child keeps the pipe": TimedOut,
    "flood of errors": TimedOut,
    "memory": Exhausted,
}  # fmt: skip


@dataclass
class Account:
    """What became of the cases; ``wrong`` holds a sentence per case that is not accounted for exactly once."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    starts: int = 0

    @property
    def cases(self) -> int:
        return self.outcomes.total()


def run(faults: int, seed: int) -> Account:
    """Run that many faults and as many healthy cases as chance has it, and return the account."""
    rng = random.Random(seed)
    bad = [name for name in FAULTS if name != "nothing"]
    account = Account()
    command = [sys.executable, "-S", str(WORKER)]
    with tempfile.TemporaryDirectory() as directory:
        ledger = Path(directory, "ledger")
        with Oracle("chaos", command=command, budget=Budget(192 << 20, 0)) as oracle:
            done = case = 0
            while done < faults:
                healthy = rng.random() < 0.2
                kind = "nothing" if healthy else bad[done % len(bad)]
                at = rng.randrange(STEPS)
                wrong = _verdict(kind, case, at, oracle.run(_plan(kind, case, at, ledger)))
                account.outcomes[kind, "ok" if wrong is None else wrong] += 1
                if wrong is not None:
                    account.wrong.append(f"case {case}, {kind} at step {at}: {wrong}")
                case += 1
                done += not healthy
            account.starts = oracle.starts
        account.wrong += _compare_ledger(ledger, case)
    return account


def _plan(kind: str, case: int, at: int, ledger: Path) -> Plan:
    texts = {"fault": kind.encode(), "case": b"%d" % case, "at": b"%d" % at, "ledger": str(ledger).encode()}
    limits = Limits(step_ms=HANG_MS if FAULTS[kind] is TimedOut else PATIENCE_MS)
    return Plan((Step("observe", {}),) * STEPS, texts=texts, limits=limits)


def _verdict(kind: str, case: int, at: int, records: list[Record]) -> str | None:
    """Return what is wrong with the records of a case, or None."""
    end = FAULTS[kind]
    good = STEPS if end is None else at + (kind in {"repeated record", "flood of records"})
    for i, record in enumerate(records[:good]):
        if record.step != i or not isinstance(record.outcome, Returned):
            return f"record {i} is {record}"
        if record.data != {"bytes": f"{case:08x}{i:04x}"}:
            return f"record {i} belongs to another case: {record.data}"
    if len(records) != good + (end is not None):
        return f"{len(records)} records"
    if end is not None and not isinstance(records[-1].outcome, end):
        return f"ended with {records[-1].outcome}"
    return None


def _compare_ledger(ledger: Path, cases: int) -> list[str]:
    """Return what the workers' own ledger says against the account: steps that ran twice, cases that never ran."""
    ran = Counter(ledger.read_text().split("\n")[:-1])
    twice = [f"{line} ran {n} times" for line, n in ran.items() if n > 1]
    seen = {int(line.split()[0]) for line in ran}
    return twice + [f"case {c} never ran" for c in range(cases) if c not in seen]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.chaos")
    parser.add_argument("--faults", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    start = time.monotonic()
    account = run(options.faults, options.seed)
    for (kind, verdict), n in sorted(account.outcomes.items()):
        end = FAULTS[kind]
        print(f"{n:6}  {kind:28} {'-' if end is None else end.__name__:10} {verdict}")
    print(f"{account.cases} cases, {options.faults} faults, {account.starts} workers, {time.monotonic() - start:.0f} s")
    print("every case accounted for exactly once" if not account.wrong else "\n".join(account.wrong))
    return 1 if account.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
