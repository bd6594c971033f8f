"""Gate: stores saved at any pause and restored in another process; ``python -m ci.gates.snapshots --pauses 500``.

Generated programs are played with pauses wherever fuel is checked or the host fails, while they are instantiated and
in their calls.  At random ones the play goes on in another process from the text of a snapshot, and must tell the same
story to its end: results, traps, fuel, later pauses, calls of the host, and the whole last store.

``--mutants 100000`` restores spoiled snapshots instead: each must be refused by a SnapshotError that says where, or
give a store that runs, can be saved and restored again, within a second of processor time and a bounded heap.  Mutant
``i`` is a function of the seed and ``i`` alone; ``--only I`` runs that one again with its traceback.  The exit status
is the verdict: 0 clean, 1 failures.
"""

from __future__ import annotations

import argparse
import base64
import json
import multiprocessing
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

from ci.gates import pool
from ci.gates.spoiling import spoil
from ci.gates.worlds import Player, Scene, scene
from engine.execution.instantiate import Instantiation
from engine.resume import HostTrap, OutOfFuel
from engine.runtime.fits import fits
from engine.snapshot import SnapshotError, dumps, loads, restore, save
from engine.types import RefType
from engine.values import default
from generators.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["check", "go_on", "main", "mutant", "pauses"]

PER_SCENE = 4
PER_PROCESS = 40
BASES = 60
LEFT_FUEL = 2000

Story = tuple[list[str], str]


# -- pauses


def tell(of: Scene) -> tuple[Story, list[int]] | None:
    """Return the story of a scene without any saving, and a rank for each pause; None where it does not begin.

    Pauses in a failing host and in instantiations rank first, then those in nested calls, because all are few.
    """
    player = Player(of)
    if not player.begin():
        return None
    ranks = []
    for _ in player.play():
        assert player.call is not None
        going = player.call.under_way
        is_rare = isinstance(player.call, HostTrap) or isinstance(going, Instantiation)
        ranks.append(0 if is_rare else 1 if len(going.frames) > 1 else 2)
    return player.end(), ranks


def pauses(seed: int, index: int) -> Iterator[tuple[int, dict[str, Any], Story]]:
    """Give some pauses of a scene: its number, where the play stands, and the story that it must become."""
    of = scene(seed, index)
    told = tell(of)
    if told is None or not told[1]:
        return
    story, ranks = told
    source = Source.fresh("pauses", seed, index)
    order = sorted((rank if source.chance(70) else 2, source.bits(30), n) for n, rank in enumerate(ranks, 1))
    wanted = {n for _, _, n in order[:PER_SCENE]}
    player = Player(of)
    player.begin()
    found = [(number, player.saved()) for number in player.play() if number in wanted]
    if player.end() != story:
        raise AssertionError(f"scene {index}: saving changes what happens")
    for number, saved in found:
        yield number, saved, story


def go_on(seed: int, index: int, saved: dict[str, Any]) -> Story:
    """Restore a play and return how its story ends; saving it again at once must give the same text."""
    player = Player.restored(scene(seed, index), saved)
    if player.saved() != saved:
        raise AssertionError("what was restored is saved as something else")
    for _ in player.play():
        pass
    return player.end()


def complaint(wanted: Story, got: Story) -> str:
    """Return where two stories part, or nothing."""
    for n, (a, b) in enumerate(zip(wanted[0], got[0], strict=False)):
        if a != b:
            return f"line {n}: {a!r} became {b!r}"
    if wanted == got:
        return ""
    return "the last store differs" if len(wanted[0]) == len(got[0]) else "it ends elsewhere"


def run_pauses(seed: int, count: int, jobs: int) -> int:
    """Go on from so many pauses in other processes, print what happened, and return the exit status."""
    counts: Counter[str] = Counter()
    failures = done = index = 0
    context = multiprocessing.get_context("spawn")
    while done < count:
        batch: list[tuple[int, int, dict[str, Any], Story]] = []
        while len(batch) < min(PER_PROCESS * jobs, count - done):
            batch += [(index, *pause) for pause in pauses(seed, index)]
            index += 1
        del batch[count - done :]
        with ProcessPoolExecutor(jobs, mp_context=context) as processes:
            futures = [processes.submit(go_on, seed, of, saved) for of, _, saved, _ in batch]
            for (of, number, saved, story), future in zip(batch, futures, strict=True):
                try:
                    wrong = complaint(story, future.result())
                except Exception as e:  # noqa: BLE001  the very thing to look for
                    wrong = f"{type(e).__name__}: {e}"
                counts.update(features(saved))
                failures += bool(wrong)
                if wrong:
                    print(f"scene {of}, pause {number}: {wrong}", flush=True)
        done += len(batch)
    words = ", ".join(f"{n:,} {word}" for word, n in counts.most_common())
    print(f"{done:,} pauses of {index:,} scenes: {words}; {failures or 'no'} failure{'s' * (failures != 1)}")
    return 1 if failures else 0


def features(saved: dict[str, Any]) -> list[str]:
    """Return what a snapshot has in it, for the summary."""
    data = loads(saved["snapshot"])
    (going,) = data["calls"].values()
    call = going["call"] if "instance" in going else going
    frames = [] if call is None else call["frames"]
    has_failed = call is not None and call["failed"] is not None
    required = (call or going)["required"]
    words = {
        "of failing hosts": has_failed,
        "out of fuel": required is not None,
        "at intervals": not has_failed and required is None,
        "in startup functions": call is None,
        "in start functions": call is not None and going is not call,
        "in nested calls": len(frames) > 1,
        "with operands": any(frame.get("operands") for frame in frames),
        "with objects": bool(data["store"]["objects"]),
        "with exceptions": any("tag" in r for r in data["store"]["objects"]),
    }
    return [word for word, is_so in words.items() if is_so]


# -- mutants


@cache
def bases(seed: int) -> list[tuple[int, str]]:
    """Return snapshots to spoil, each with the number of its scene; a quarter are of instantiations under way."""
    found: list[tuple[int, str]] = []
    room = {True: BASES // 4, False: BASES - BASES // 4}
    index = 0  # of the scene
    while len(found) < BASES:
        for _, saved, _ in pauses(seed, index):
            is_under_way = not saved["ready"]
            if room[is_under_way]:
                room[is_under_way] -= 1
                found.append((index, saved["snapshot"]))
        index += 1
    return found


def mutant(seed: int, i: int) -> bytes:
    """Return spoiled snapshot ``i`` with its scene."""
    source = Source.fresh("spoiled", seed, i)
    known = bases(seed)
    index, text = known[i % len(known)]
    data = loads(text)
    for _ in range(source.choose((1, 1, 2, 3))):
        spoil(source, data)
    return json.dumps({"seed": seed, "scene": index, "snapshot": data}).encode()


def check(given: bytes) -> str:
    """Restore a snapshot and run what it gives; return what became of it, and let out what must not happen."""
    case = json.loads(given)
    of, data = scene(case["seed"], case["scene"]), case["snapshot"]
    saved = {"snapshot": json.dumps(data), "log": [], "told": 0, "pauses": 0, "at": 0, "ready": False}
    try:
        player = Player.restored(of, saved)
    except SnapshotError as e:
        return f"refused in {e.path.partition('[')[0].partition('.frames')[0] or 'the whole'}"
    run_out(player)
    again(player, data)
    return "accepted"


def run_out(player: Player) -> None:
    """Let what is suspended go on to its end, then call what is exported."""
    store = player.store
    player.extra = LEFT_FUEL
    store.set_fuel_interval(None)
    store.set_fuel(LEFT_FUEL)
    for _ in range(20):
        if player.call is None or (isinstance(player.call, OutOfFuel) and player.call.required_fuel > LEFT_FUEL):
            break
        store.set_fuel(LEFT_FUEL)
        player.go_on()
    player.call, player.instance = None, next(iter(store.instances), None)
    for name, func in [*player.instance.exports.items()][:12] if player.instance else ():
        ts = getattr(getattr(func, "functype", None), "params", None)
        if ts is None or not all(fits(_zero(t), t) for t in ts):
            continue
        store.set_fuel(LEFT_FUEL)
        player.attempt(name, [_zero(t) for t in ts])
        player.call = None


def _zero(t: Any) -> Any:
    return None if isinstance(t, RefType) else default(t)


def again(player: Player, data: Any) -> None:
    """Save the store and restore it."""
    store = player.store
    names: dict[Any, str] = {
        store.funcs[k]: func["host"] for k, func in enumerate(data["store"]["funcs"]) if "host" in func
    }
    names |= {extern: str(extern.value) for extern in store.externs}
    text = dumps(save(store, names))
    externs = {str(extern.value): extern.value for extern in store.externs}
    restored = restore(loads(text), [player.module], player.hosts(), externs, player.scene.config)
    store = restored.store
    names = {store.funcs[f.addr]: name for f, name in names.items() if f.addr < len(store.funcs) and hasattr(f, "call")}
    names |= {extern: str(extern.value) for extern in store.externs}
    if dumps(save(store, names)) != text:
        raise AssertionError("what was restored is saved as something else")


def show(given: bytes) -> bytes:
    return base64.b64encode(given) if len(given) > 1 << 16 else given


GATE = pool.Gate("snapshots", mutant, check, show)


def main(args: Sequence[str] | None = None) -> int:
    """Run what the command line asks for, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], prog="python -m ci.gates.snapshots"
    )
    parser.add_argument("--pauses", type=int, default=500, help="how many to go on from elsewhere  [500]")
    parser.add_argument("--mutants", type=int, default=0, help="restore so many spoiled snapshots instead")
    parser.add_argument("--only", type=int, metavar="I", help="restore one of them and let its exception out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(args)
    if options.mutants or options.only is not None:
        rest = ["--seed", str(options.seed), "--jobs", str(options.jobs)]
        rest += ["--count", str(options.mutants)] if options.only is None else ["--only", str(options.only)]
        return pool.main(GATE, __doc__, options.mutants, rest)
    return run_pauses(options.seed, options.pauses, options.jobs)


if __name__ == "__main__":
    sys.exit(main())
