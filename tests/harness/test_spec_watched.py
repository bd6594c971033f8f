"""Plans that show what scripts do not: what is inserted, and which instances a step can reach."""

from __future__ import annotations

from harness.wast.reader import read_script
from harness.wast.runner import assemble
from harness.wast.schedule import schedule
from harness.wast.spectest import HOSTS, SILENT_PARTS
from harness.wast.watched import INTERVALS, MAX_PACK, watched
from oracles.adapter import load
from oracles.outcome import Record
from oracles.plan import HOST

MEMORY = '(memory (export "m") 1)'
FUNC = '(func (export "f"))'


class InProcess:
    """The reference engine in this process, as far as assembling goes."""

    id = "reference"

    def run(self, plan):
        session = load("reference").open(plan)
        return [Record(i, *session.run(step)) for i, step in enumerate(plan.steps)]


def of(text: str, *, state: bool = True, fuel: bool = False):
    script = read_script(text.encode())
    binaries, _ = assemble(script, InProcess(), SILENT_PARTS)
    return watched(schedule(script, binaries, SILENT_PARTS[:1], hosts=HOSTS), state=state, fuel=fuel, nan="none")


def steps(whole, first: int = 0) -> list[str]:
    """Return the steps after those of spectest, with the instances that each of them names."""
    names = [
        " ".join([s.kind, *s.get("instances", [s.get("instance")] if s.get("instance") else [])])
        for s in whole.plan.steps
    ]
    return names[first:]


def test_state_is_observed_after_each_action_and_once_more_at_the_end():
    whole = of(f'(module {MEMORY} {FUNC}) (assert_return (invoke "f"))')
    assert steps(whole, 2) == ["instantiate m0", "observe m0", "call m0", "observe m0", "observe"]


def test_fuel_is_set_before_each_action_and_instantiation():
    whole = of(
        f'(module {FUNC} (global (export "g") i32 (i32.const 1))) (invoke "f") (get "g")', state=False, fuel=True
    )
    assert steps(whole, 2) == ["set_fuel", "instantiate m0", "set_fuel", "call m0", "get m0"]


def test_what_has_no_state_is_observed_at_the_end_alone():
    assert steps(of(f'(module {FUNC}) (invoke "f")'), 2) == ["instantiate m0", "call m0", "observe"]


def test_a_module_that_must_not_instantiate_is_not_observed():
    trapping = '(module (memory (import "a" "m") 1) (start 0) (func unreachable))'
    whole = of(f'(module {MEMORY}) (register "a") (assert_trap {trapping} "")')
    assert steps(whole, 4) == ["instantiate m2", "observe m0", "observe"]


def after_calls(text: str) -> list[str]:
    """Return the step after each call."""
    names = steps(of(text))
    return [names[i + 1] for i, name in enumerate(names) if name.startswith("call")]


def test_instances_that_imports_connect_are_observed_together():
    text = f"""(module $a {MEMORY} {FUNC}) (register "a") (module $b {MEMORY} {FUNC})
    (module $c (import "a" "f" (func)) (memory 1) (export "f" (func 0)))
    (invoke $c "f") (invoke $b "f") (invoke $a "f")"""
    assert after_calls(text) == ["observe m0 m3", "observe m2", "observe m0 m3"]


def test_a_number_that_cannot_change_connects_nothing():
    text = f"""(module {MEMORY} (global (export "i") i32 (i32.const 1)) (global (export "r") funcref (ref.null func)))
    (register "a")
    (module (import "a" "i" (global i32)) {MEMORY} {FUNC}) (invoke "f")
    (module (import "a" "r" (global funcref)) {MEMORY} {FUNC}) (invoke "f")"""
    assert after_calls(text) == ["observe m2", "observe m0 m4"]


def test_functions_of_spectest_are_host_functions_whose_calls_are_observed():
    whole = of(
        '(module (import "spectest" "print_i32" (func (param i32))) (export "f" (func 0))) (invoke "f" (i32.const 1))'
    )
    assert whole.plan.steps[2]["imports"]["spectest"] == [HOST, "spectest"]
    assert steps(whole, 2) == ["instantiate m0", "observe", "call m0", "observe", "observe"]
    assert whole.plan.steps[3]["instances"] == []


def test_every_command_with_a_step_is_decided_by_one():
    whole = of(f'(module {MEMORY} {FUNC}) (register "a") (invoke "f") (assert_invalid (module (func (result i32))) "")')
    decided = [(whole.plan.steps[i].kind, n) for i, n in whole.decides.items() if n]
    assert decided == [("instantiate", 2), ("call", 1), ("validate", 1)]


def test_slices_come_before_everything_and_keep_each_step_with_its_command():
    whole = of(f'(module {MEMORY} {FUNC}) (invoke "f")')
    sliced = whole.sliced()
    assert sliced.plan.steps[0].kind == "yield_schedule"
    assert sliced.plan.steps[0]["intervals"] == list(INTERVALS)
    assert sliced.plan.steps[1:] == whole.plan.steps
    assert sliced.commands[1:] == whole.commands
    assert sliced.groups[1:] == whole.groups
    assert {i - 1: n for i, n in sliced.decides.items()} == dict(whole.decides)
    assert all(host.actions[-1] == ("suspend", 1) for host in sliced.plan.hosts.values())


def test_an_excerpt_has_the_group_of_its_step_up_to_there_and_what_it_shows():
    text = (
        f"""(module $a {MEMORY} {FUNC}) (module $b {MEMORY} {FUNC}) (invoke $a "f") (invoke $b "f") (invoke $a "f")"""
    )
    whole = of(text, fuel=True).sliced()
    calls = [i for i, s in enumerate(whole.plan.steps) if s.kind == "call"]
    plan = whole.excerpt(calls[1])
    assert [s.kind for s in plan.steps] == [
        "yield_schedule", "set_fuel", "instantiate", "observe", "set_fuel", "call", "observe",
    ]  # fmt: skip
    assert list(plan.modules) == ["m1"]


def test_parts_have_whole_groups_and_together_every_step_once():
    module = f"(module {MEMORY} {FUNC})"
    linked = f'(module {MEMORY} {FUNC}) (register "a") (module (import "a" "f" (func)) {MEMORY}) (invoke "m")'
    text = f'{linked} {f"""{module} (assert_return (invoke "f"))""" * (2 * MAX_PACK)} (assert_invalid {module} "")'
    whole = of(text)
    parts = whole.parts()
    assert len(parts) == 3
    for part, numbers in parts:
        assert [s.kind for s in part.plan.steps] == [whole.plan.steps[i].kind for i in numbers]
        assert part.commands == tuple(whole.commands[i] for i in numbers)
        assert set(part.plan.modules) == {s["module"] for s in part.plan.steps if s.kind in ("instantiate", "validate")}
        made = {s["instance"] for s in part.plan.steps if s.kind == "instantiate"}
        assert all(group <= made for group in part.groups)
    last = len(whole.plan.steps) - 1
    assert sorted(i for _, numbers in parts for i in numbers if i != last) == list(range(last))
    assert all(numbers[-1] == last for _, numbers in parts)
    assert sum(n for part, _ in parts for n in part.decides.values()) == sum(whole.decides.values())


def test_an_instance_that_others_only_read_numbers_from_is_in_each_of_their_parts():
    many = f"(module {MEMORY})" * MAX_PACK
    text = f"""(module (global (export "i") i32 (i32.const 1))) (register "a") {many}
    (module (import "a" "i" (global i32)) {MEMORY} {FUNC}) (invoke "f")"""
    (_, first), (second, numbers) = of(text).parts()
    assert first[0] == 0
    made = [s for s in second.plan.steps if s.kind == "instantiate"]
    assert [s["instance"] for s in made] == ["m0", "m8", "m9", "m10"]
    assert sum(second.decides.values()) == len(["m8", "m9", "m10", "the call"])
    assert made[-1]["imports"] == {"spectest": [HOST], "a": ["m0"]}
    assert numbers[-1] == len(of(text).plan.steps) - 1
