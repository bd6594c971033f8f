"""Random trees of calls between host and Wasm: errors at any node, caught at any node, as wasmtime has them.

A node is one call of ``run``: some frames of Wasm, the host inside of the innermost, which runs the children one by one
and catches what comes out of them or lets it pass.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.embedders import ENGINES, HostError, attempt
from tests.support.wasm import wasm

# run: ``deep`` more frames of itself; then ``early`` may trap, the host has the node, and ``late`` may trap.
TEXT = """(module (import "h" "visit" (func $visit (param i32) (result i32))) (memory (export "m") 1)
  (global $g (export "g") (mut i32) (i32.const 0)) (table 2 funcref) (type $v (func))
  (func $trap (param i32)
    (block (block (block (block (block (block (br_table 0 1 2 3 4 5 (local.get 0)))
      (return))
      unreachable)
      (drop (i32.div_u (i32.const 1) (i32.const 0))) return)
      (i32.store (i32.const 65533) (i32.const -1)) return)
      (call_indirect (type $v) (i32.const 1)) return)
    (call_indirect (type $v) (i32.const 7)))
  (func $run (export "run") (param $node i32) (param $deep i32) (param $early i32) (param $late i32) (result i32)
    (local $r i32) (local $keep i64)
    (global.set $g (i32.add (i32.mul (global.get $g) (i32.const 31)) (local.get $node)))
    (local.set $keep (i64.extend_i32_u (global.get $g)))
    (if (local.get $deep)
      (then (local.set $r (call $run (local.get $node) (i32.sub (local.get $deep) (i32.const 1))
        (local.get $early) (local.get $late))))
      (else
        (call $trap (local.get $early))
        (i32.store8 (local.get $node) (i32.const 1))
        (local.set $r (i32.add (call $visit (local.get $node)) (i32.wrap_i64 (local.get $keep))))
        (call $trap (local.get $late))
        (i32.store8 (local.get $node) (i32.add (i32.load8_u (local.get $node)) (i32.const 2)))))
    (global.set $g (i32.xor (global.get $g) (i32.wrap_i64 (local.get $keep))))
    (i32.add (local.get $r) (local.get $deep))))"""


@dataclass
class Node:
    """``catches`` is whether its host function catches what its children end with; ``raises``, whether it raises."""

    number: int
    deep: int
    early: int
    late: int
    catches: bool
    raises: bool
    children: list[Node] = field(default_factory=list)


def choose_tree(rng: random.Random, size: int, depth: int) -> list[Node]:
    """Return the nodes of a tree, the root first."""
    nodes: list[Node] = []
    at: list[int] = []
    for number in range(size):
        traps = [rng.randrange(1, 6) if rng.random() < 0.06 else 0 for _ in range(2)]
        node = Node(number, rng.randrange(4), *traps, rng.random() < 0.5, rng.random() < 0.04)
        parents = [k for k in range(number) if at[k] < depth]
        if parents:
            k = parents[-1] if rng.random() < 0.8 else rng.choice(parents)
            nodes[k].children.append(node)
            at.append(at[k] + 1)
        else:
            at.append(1)
        nodes.append(node)
    return nodes


def play(engine: str, nodes: list[Node]) -> Any:
    """Return everything that can be seen of the calls, in order."""
    log: list[Any] = []

    def visit(embedder: Any, number: int) -> int:
        node = nodes[number]
        total = number
        for child in node.children:
            args = child.number, child.deep, child.early, child.late
            if node.catches:
                end = attempt(embedder, "run", *args)
                log.append((number, child.number, end, embedder.global_()))
                total += end[1] if end[0] == "returned" else 7
            else:
                total += embedder.call("run", *args)
        log.append((number, embedder.global_()))
        if node.raises:
            raise HostError(f"of node {number}")
        return total % 2**31

    embedder = ENGINES[engine](wasm(TEXT), visit)
    root = nodes[0]
    for _ in range(2):
        log.append(attempt(embedder, "run", 0, root.deep, root.early, root.late))
        log.append((embedder.global_(), embedder.memory()))
    return log


def agree(ours: list[Any], theirs: list[Any], seed: int) -> None:
    """Assert that both logs are the same.

    Of a trap that the host catches wasmtime shows the frames of activations that go on, too; our error has those of the
    activations that it has left.
    """
    assert len(ours) == len(theirs), seed
    for mine, other in zip(ours, theirs, strict=True):
        if len(mine) == 4 and mine[2][0] == other[2][0] == "trapped":
            (_, (kinds, frames)), (_, (their_kinds, their_frames)) = mine[2], other[2]
            assert (kinds, frames) == (their_kinds, their_frames[: len(frames)] if frames else frames), seed
            assert (*mine[:2], mine[3]) == (*other[:2], other[3]), seed
        else:
            assert mine == other, seed


@pytest.mark.parametrize("engine", ["native", "pulley"])
def test_trees_of_calls_are_those_of_wasmtime(engine):
    kinds = set()
    for seed in range(60):
        rng = random.Random(seed)
        nodes = choose_tree(rng, rng.randrange(1, 90), rng.randrange(1, 50))
        ours = play("ours", nodes)
        agree(ours, play(engine, nodes), seed)
        kinds |= {entry[2][0] for entry in ours if len(entry) == 4}
    assert kinds == {"returned", "trapped", "host"}


def test_trees_of_calls_are_the_same_with_a_debugger():
    for seed in range(100, 130):
        rng = random.Random(seed)
        nodes = choose_tree(rng, rng.randrange(1, 90), rng.randrange(1, 50))
        assert play("debugged", nodes) == play("ours", nodes), seed


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["native", "pulley"])
def test_many_trees_of_calls_are_those_of_wasmtime(engine):
    for seed in range(1000, 2000):
        rng = random.Random(seed)
        nodes = choose_tree(rng, rng.randrange(1, 90), rng.randrange(1, 50))
        agree(play("ours", nodes), play(engine, nodes), seed)
