"""Names are resolved before anything runs."""

from __future__ import annotations

from harness.wast.reader import read_script
from harness.wast.schedule import assembly, schedule
from harness.wast.spectest import PARTS

BINARY = b"\x00asm\x01\x00\x00\x00"


def scheduled(text: str, failing: tuple[str, ...] = (), parts=()):
    script = read_script(text.encode())
    binaries = {s["module"]: BINARY for s in assembly(script).steps if s["module"] not in failing}
    return schedule(script, binaries, parts)


def steps(text: str, **options) -> list[str]:
    """Return the steps as KIND NAME..., without imports."""
    plan = scheduled(text, **options).plan
    return [
        " ".join([s.kind, *(str(v) for k, v in s.args.items() if k not in ("imports", "args"))]) for s in plan.steps
    ]


def test_texts_are_assembled_in_order_after_spectest():
    script = read_script(b'(module) (module binary "") (assert_invalid (module quote "x") "")')
    plan = assembly(script)
    names = [step["module"] for step in plan.steps]
    assert names == [*(part.name for part in PARTS), "m0", "m2"]
    assert plan.texts["m2"] == b"x"
    assert all(step.kind == "assemble" and step["want"] for step in plan.steps)


def test_parts_of_spectest_come_first_and_provide_one_name():
    plan = scheduled("(module)", parts=PARTS).plan
    assert [s["instance"] for s in plan.steps] == [*(part.name for part in PARTS), "m0"]
    assert plan.steps[-1]["imports"] == {"spectest": [part.name for part in PARTS]}


def test_an_action_without_a_name_is_on_the_current_instance():
    assert steps('(module $a) (module $b) (invoke "f") (get $a "g") (module) (invoke "f")') == [
        "instantiate m0 m0",
        "instantiate m1 m1",
        "call m1 f",
        "get m0 g",
        "instantiate m4 m4",
        "call m4 f",
    ]


def test_modules_under_assertions_are_nobodys_current_module():
    text = (
        '(module) (assert_invalid (module) "") (assert_trap (module) "") (assert_unlinkable (module) "") (invoke "f")'
    )
    assert steps(text) == [
        "instantiate m0 m0",
        "validate m1",
        "instantiate m2 m2",
        "instantiate m3 m3",
        "call m0 f",
    ]


def test_a_module_without_a_binary_takes_its_name_with_it():
    plan = scheduled('(module $a) (module $a) (invoke "f") (invoke $a "f") (register "n")', failing=("m1",))
    assert [(c.step, c.missing) for c in plan.checks] == [
        (0, ""),
        (None, "text"),
        (None, "instance"),
        (None, "instance"),
        (None, "instance"),
    ]


def test_definitions_are_validated_and_instances_are_generative():
    text = '(module definition $d) (module instance $i $d) (module instance $j $d) (invoke $i "f") (invoke "f")'
    assert steps(text) == [
        "validate m0",
        "instantiate m1 m0",
        "instantiate m2 m0",
        "call m1 f",
        "call m2 f",
    ]


def test_a_definition_leaves_the_current_instance_alone():
    assert steps('(module) (module definition) (invoke "f")')[-1] == "call m0 f"


def test_registration_counts_from_where_it_stands():
    plan = scheduled(
        '(module $a) (register "n" $a) (module $b) (register "n") (module) (module $c) (register "o" $c)'
    ).plan
    imports = [step["imports"] for step in plan.steps]
    empty = {"spectest": []}
    assert imports == [empty, empty | {"n": ["m0"]}, empty | {"n": ["m2"]}, empty | {"n": ["m2"]}]


def test_a_registration_is_decided_by_the_instantiation_of_its_instance():
    plan = scheduled('(module $a) (module) (register "n" $a)')
    assert plan.checks[2].step == plan.checks[0].step == 0
