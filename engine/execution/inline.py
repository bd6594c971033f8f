"""Semantic functions as syntax: expand the ``run`` of a row into statements and one expression.

The inlinable subset is described in ``engine.numerics``: assignments, then one ``return``; calls only to functions of
the subset, to builtins and to C functions.  Widths are constants here, so a conditional expression on a width is
decided before its branches are looked at.  Arguments that are used more than once are bound to a local, so nothing is
computed twice.  What does not fit raises :class:`NotInlinable`, and the row keeps calling its function.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import math
import textwrap
from dataclasses import dataclass, field
from functools import cache, partial
from types import FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Expansion", "NotInlinable", "expand"]


class NotInlinable(Exception):
    """The function is outside of the subset; the message says why."""


@dataclass
class Expansion:
    """``body`` then ``result``; ``names`` are the globals they mention, with the module that each comes from."""

    body: list[ast.stmt]
    result: ast.expr
    names: dict[str, str] = field(default_factory=dict)


@cache
def _definition(fn: FunctionType) -> ast.FunctionDef:
    node = ast.parse(textwrap.dedent(inspect.getsource(fn))).body[0]
    if not isinstance(node, ast.FunctionDef):
        raise NotInlinable(f"{fn.__name__} is no plain function")
    return node


def expand(run: Callable[..., Any], operands: list[str]) -> Expansion:
    """Return ``run(*operands)`` as syntax, the operands being names; leading arguments of a partial are constants."""
    constants: list[ast.expr] = []
    if isinstance(run, partial):
        constants = [ast.Constant(v) for v in run.args]
        run = run.func
    if not isinstance(run, FunctionType):
        raise NotInlinable(f"{run!r} is not written in Python")
    out = Expansion([], ast.Constant(None))
    out.result = _Expander(out, set(operands)).call(run, [*constants, *(ast.Name(o) for o in operands)])
    return out


def _is_atom(node: ast.expr) -> bool:
    return isinstance(node, ast.Name | ast.Constant)


def _uses(name: str, nodes: list[ast.AST]) -> int:
    return sum(isinstance(n, ast.Name) and n.id == name for node in nodes for n in ast.walk(node))


class _Substitute(ast.NodeTransformer):
    def __init__(self, name: str, value: ast.expr) -> None:
        self.name = name
        self.value = value

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.value if node.id == self.name else node


class _Expander:
    """Expands calls into ``out``.  ``conditional`` counts the undecided branches around the current expression."""

    def __init__(self, out: Expansion, taken: set[str]) -> None:
        self.out = out
        self.taken = taken
        self.conditional = 0

    def fresh(self, name: str) -> str:
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def call(self, fn: FunctionType, args: list[ast.expr]) -> ast.expr:
        definition = _definition(fn)
        params = [arg.arg for arg in definition.args.args]
        if len(params) != len(args):
            raise NotInlinable(f"{fn.__name__} takes {len(params)} arguments")
        return self.bind(fn, list(zip(params, args, strict=True)), {}, definition.body)

    def bind(
        self, fn: FunctionType, pairs: list[tuple[str, ast.expr]], env: dict[str, ast.expr], body: list[ast.stmt]
    ) -> ast.expr:
        """Bind the names of ``pairs``, then expand ``body``: directly where an atom or used once, else by a local."""
        if not pairs:
            return self.statements(fn, env, body)
        (name, value), *rest = pairs
        if _is_atom(value):
            return self.bind(fn, rest, env | {name: value}, body)
        local, start = self.fresh(name), len(self.out.body)
        result = self.bind(fn, rest, env | {name: ast.Name(local)}, body)
        after: list[ast.AST] = [*self.out.body[start:], result]
        reads_cell = any(isinstance(n, ast.Subscript) for n in ast.walk(value))
        if _uses(local, after) == 1 and not reads_cell:
            substitute = _Substitute(local, value)
            self.out.body[start:] = [substitute.visit(s) for s in self.out.body[start:]]
            return substitute.visit(result)  # type: ignore[no-any-return]
        if self.conditional:
            raise NotInlinable(f"{fn.__name__} needs a local within an undecided branch")
        self.out.body.insert(start, ast.Assign([ast.Name(local)], value, lineno=0))
        return result

    def statements(self, fn: FunctionType, env: dict[str, ast.expr], body: list[ast.stmt]) -> ast.expr:
        head, *rest = body
        if isinstance(head, ast.Expr) and isinstance(head.value, ast.Constant):
            return self.statements(fn, env, rest)
        if isinstance(head, ast.Return) and head.value is not None:
            return self.expr(fn, env, head.value)
        if isinstance(head, ast.Assign) and len(head.targets) == 1:
            target, value = head.targets[0], self.expr(fn, env, head.value)
            if isinstance(target, ast.Name):
                return self.bind(fn, [(target.id, value)], env, rest)
            if isinstance(target, ast.Subscript) and not self.conditional:
                self.out.body.append(ast.Assign([self.expr(fn, env, target)], value, lineno=0))
                return self.statements(fn, env, rest)
        raise NotInlinable(f"{fn.__name__} has a {type(head).__name__}")

    def expr(self, fn: FunctionType, env: dict[str, ast.expr], node: ast.expr) -> ast.expr:
        """Return ``node`` with names replaced, calls expanded and constants folded."""

        def again(child: ast.expr) -> ast.expr:
            return self.expr(fn, env, child)

        match node:
            case ast.Constant():
                return node
            case ast.Name(id):
                return env[id] if id in env else self.free(fn, id)
            case ast.Call(ast.Name(id), args, []) if id not in env:
                callee = self.resolve(fn, id)
                if isinstance(callee, FunctionType):
                    return self.call(callee, [again(arg) for arg in args])
                return ast.Call(self.free(fn, id), [again(arg) for arg in args], [])
            case ast.Call(ast.Attribute(value, attr), args, []):
                return ast.Call(ast.Attribute(again(value), attr), [again(arg) for arg in args], [])
            case ast.Subscript(value, index):
                return ast.Subscript(again(value), again(index))
            case ast.BinOp(left, op, right):
                return _fold(ast.BinOp(again(left), op, again(right)))
            case ast.UnaryOp(op, operand):
                return _fold(ast.UnaryOp(op, again(operand)))
            case ast.Compare(left, ops, rights):
                return _fold(ast.Compare(again(left), ops, [again(r) for r in rights]))
            case ast.IfExp(test, yes, no):
                test = again(test)
                if isinstance(test, ast.Constant):
                    return again(yes if test.value else no)
                self.conditional += 1
                yes, no = again(yes), again(no)
                self.conditional -= 1
                return ast.IfExp(test, yes, no)
        raise NotInlinable(f"{fn.__name__} has a {type(node).__name__}")

    def resolve(self, fn: FunctionType, name: str) -> Any:
        if name in fn.__globals__:
            return fn.__globals__[name]
        return getattr(builtins, name)

    def free(self, fn: FunctionType, name: str) -> ast.expr:
        """Return a name of the function's module: literally where it is a plain number, else as a global."""
        value = self.resolve(fn, name)
        if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
            return ast.Constant(value)
        if not hasattr(builtins, name):
            module = getattr(value, "__module__", None) if callable(value) else None
            if self.out.names.setdefault(name, module or fn.__module__) != (module or fn.__module__):
                raise NotInlinable(f"two modules have a global {name}")
        return ast.Name(name)


def _fold(node: ast.expr) -> ast.expr:
    if all(isinstance(child, ast.Constant) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)):
        code = compile(ast.fix_missing_locations(ast.Expression(node)), "<constant>", "eval")
        return ast.Constant(eval(code, {}))
    return node
