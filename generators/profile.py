"""What may be generated: features, sizes, weights, and the named presets.

A profile is plain data, part of a case's identity: case ``i`` is a function of (seed, i, profile) alone. Ranges are
inclusive. Weights are relative; percentages are 0 to 100.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.features import COMPATIBLE, EXTENDED_CONST, SIMD, WASM_2, FeatureSet

__all__ = ["PRESETS", "Profile"]

DISPUTED = frozenset({
    "f32x4.relaxed_madd", "f32x4.relaxed_nmadd", "f64x2.relaxed_madd", "f64x2.relaxed_nmadd",
    "i16x8.relaxed_dot_i8x16_i7x16_s", "i32x4.relaxed_dot_i8x16_i7x16_add_s",
})  # fmt: skip
"""Where an engine's deterministic option is not the deterministic profile (see ``engine.instructions.relaxed``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """``without`` are rows of these features that are not generated.

    ``work`` bounds the guarded activations of one call, ``trips`` the product of nested loop counts.

    ``nan`` is the profile of NaN results (``oracles.plan.Plan.nan``): ``engine`` leaves them to an option of the
    engine, ``module`` puts a select after every producer, ``none`` generates no producer.  What is left to engines of
    relaxed vector operators follows it: without the option, and for the rows named ``disputed``, operands are such
    that all choices agree.
    """

    name: str
    features: FeatureSet = COMPATIBLE
    without: frozenset[str] = frozenset()
    nan: str = "engine"
    disputed: frozenset[str] = DISPUTED
    functions: tuple[int, int] = (3, 4)
    params: tuple[int, int] = (0, 4)
    results: tuple[int, int] = (0, 3)
    statements: tuple[int, int] = (1, 4)
    expression_depth: int = 3
    nesting: int = 2
    instructions: int = 62  # per function, about
    trips: int = 16
    work: int = 12
    calls: tuple[int, int] = (8, 9)
    hosts: tuple[int, int] = (0, 2)
    globals: tuple[int, int] = (2, 5)
    memory_percent: int = 85
    table_percent: int = 75
    reference_percent: int = 12
    vector_percent: int = 15
    heap_percent: int = 25  # of modules with structures and arrays
    present_percent: int = 30  # of modules with types of references that are not null
    form_percent: int = 12  # of modules in other bytes than the canonical ones
    tag_percent: int = 50
    start_percent: int = 8
    drop_percent: int = 1


PRESETS: dict[str, Profile] = {
    p.name: p
    for p in (
        Profile(name="standard"),
        Profile(name="wasm-2", features=WASM_2 - {SIMD} | {EXTENDED_CONST}),
        Profile(name="module-nan", nan="module"),
        Profile(name="no-nan", nan="none"),
        Profile(
            name="small",
            functions=(1, 2),
            statements=(1, 3),
            expression_depth=3,
            nesting=1,
            instructions=40,
            calls=(3, 6),
        ),
        Profile(name="large", functions=(6, 12), statements=(4, 12), instructions=400, nesting=5, calls=(12, 24)),
    )
}
