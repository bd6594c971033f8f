"""Expectations are exact in both directions; reports count the same things three times."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from harness.wast.expectations import Expectations, engine_name, ranges, unranged
from harness.wast.judge import Verdict
from harness.wast.report import by_folder, json_report, junit_report, text_report
from harness.wast.runner import FileResult
from harness.wast.script import Action, Command, ModuleSource
from harness.wast.suite import FileInfo, SuiteFile
from oracles.adapter import Description

NAME = "core/base/a.wast"


def result(*reasons: str, text: int = 0, name: str = NAME, pinned: bool = True, problem: str = "") -> FileResult:
    """Return a result of one module and of assertions that failed for these reasons, "" for those that passed."""
    module = Verdict(Command("module", 1, ModuleSource("text", b"")), "engine")
    returned = [
        Verdict(
            Command("assert_return", 2 + i, Action("invoke", None, "f")), "engine", reason, "\x00detail" * bool(reason)
        )
        for i, reason in enumerate(reasons)
    ]
    quoted = [Verdict(Command("assert_malformed", 90 + i, ModuleSource("quote", b"")), "text") for i in range(text)]
    info = FileInfo(name, "", 0, {}) if pinned else None
    return FileResult(SuiteFile(name, b"", info), (module, *returned, *quoted), problem)


def blessed(*results: FileResult) -> Expectations:
    expected = Expectations("engine@1", "suite")
    expected.bless(results)
    expected.known = True
    return expected


def whats(expected: Expectations, observed: FileResult) -> list[tuple[int, str]]:
    return [(d.line, d.what.replace("\x00", "").split(";")[0]) for d in expected.differences(observed)]


@pytest.mark.parametrize(("numbers", "text"), [([], ""), ([3], "3"), ([0, 1, 2, 7, 9, 10], "0-2,7,9-10")])
def test_ranges_and_back(numbers, text):
    assert ranges(numbers) == text
    assert unranged(text) == numbers


@pytest.mark.parametrize("text", ["1-", "a", "1,,2", "1,", "-1", "99999999999"])
def test_what_is_no_list_of_ranges_is_refused(text):
    with pytest.raises(ValueError, match="not a list of ranges"):
        unranged(text)


def test_a_blessed_result_is_exactly_as_expected():
    observed = result("", "value", "", "blocked", text=2)
    assert blessed(observed).differences(observed) == []


def test_an_unexpected_failure_is_a_difference():
    assert whats(blessed(result("", "value")), result("value", "value")) == [(2, "assert_return failed: value")]


def test_an_unexpected_pass_is_a_difference():
    expected = blessed(result("", "value"))
    assert whats(expected, result("", "")) == [(3, "assert_return passed, expected to fail: value")]


def test_another_reason_is_a_difference():
    expected = blessed(result("value"))
    assert whats(expected, result("trapped")) == [(2, "assert_return failed: trapped (expected: value)")]


def test_another_share_of_the_text_tool_is_a_difference():
    expected = blessed(result("", text=2))
    assert whats(expected, result("", text=3)) == [(0, "the text tool decided 3 assertions, expected 2")]


def test_fewer_commands_than_expected_failures_are_a_difference():
    expected = blessed(result("", "value"))
    assert whats(expected, result("")) == [(0, "1 commands expected to fail are not in the script")]


def test_a_problem_is_a_difference_whatever_is_expected():
    assert whats(blessed(result("value")), result("value", problem="not a script")) == [(0, "not a script")]


def test_own_scripts_are_expected_to_pass_and_never_blessed():
    own = result("value", pinned=False)
    expected = blessed(own)
    assert expected.files == {}
    assert whats(expected, own) == [(2, "assert_return failed: value")]


def test_without_expectations_every_failure_is_a_difference_but_no_pass():
    nothing = Expectations("engine@2", "suite")
    assert nothing.differences(result("", text=5)) == []
    assert len(nothing.differences(result("", "value"))) == 1


def test_expectations_survive_the_disk_and_belong_to_one_suite(tmp_path):
    expected = blessed(result("", "value", text=1), result("", name="core/base/b.wast"))
    expected.save(tmp_path)
    loaded = Expectations.load(tmp_path, "engine@1", "suite")
    assert loaded == expected
    assert json.loads((tmp_path / "engine@1.json").read_text())["files"] == {
        NAME: {"failing": {"value": "2"}, "text": 1}
    }
    assert not Expectations.load(tmp_path, "engine@2", "suite").known
    assert not Expectations.load(tmp_path, "engine@1", "another suite").known


def test_blessing_some_files_keeps_the_others():
    expected = blessed(result("value"), result("value", name="core/base/b.wast"))
    expected.bless([result("")])
    assert list(expected.files) == ["core/base/b.wast"]


def test_engine_names():
    assert engine_name(Description("wasmtime", "50.0.1")) == "wasmtime@50.0.1"
    assert engine_name(Description("wasmtime", "50.0.1", "winch")) == "wasmtime@50.0.1:winch"


RESULTS = [
    result("", "value", text=2),
    result("", "", name="core/simd/b.wast"),
    result("unsupported feature", name="proposals/x/c.wast"),
]


def test_counts_by_folder_with_totals():
    counts = by_folder(RESULTS)
    assert {name: (c.score("engine"), c.score("text"), c.score("commands")) for name, c in counts.items()} == {
        "core/base": ("1/2", "2/2", "1/1"),
        "core/simd": ("2/2", "0/0", "1/1"),
        "proposals/x": ("not supported (1)", "0/0", "1/1"),
        "core": ("3/4", "2/2", "2/2"),
        "all": ("3/5", "2/2", "3/3"),
    }


def test_the_printed_report_has_the_score_and_the_first_differences():
    differences = [d for r in RESULTS for d in Expectations("e@1", "s").differences(r)]
    text = text_report("e@1", RESULTS, differences)
    assert "e@1 on core: engine 3/4, text 2/2" in text
    assert "2 differences from what is expected:" in text
    assert "core/base/a.wast:3: assert_return failed: value" in text
    assert text_report("e@1", RESULTS[1:2], []).endswith("all passed, as expected")
    assert text_report("e@1", RESULTS, []).endswith("exactly as expected")


def test_the_json_report_has_kinds_failures_and_differences():
    differences = Expectations("e@1", "s").differences(RESULTS[0])
    data = json.loads(json.dumps(json_report("e@1", "s", RESULTS, differences)))
    assert data["folders"]["core/base"]["kinds"] == {
        "assert_malformed": {"passed": 2, "total": 2},
        "assert_return": {"passed": 1, "total": 2},
        "module": {"passed": 1, "total": 1},
    }
    assert data["files"][0]["failures"] == [
        {"line": 3, "kind": "assert_return", "reason": "value", "detail": "\x00detail"}
    ]
    assert [d["line"] for d in data["differences"]] == [3]


def test_the_junit_report_fails_by_differences_and_skips_what_was_expected():
    expected = blessed(RESULTS[2])
    differences = [d for r in RESULTS for d in expected.differences(r)]
    root = ET.fromstring(junit_report("e@1", RESULTS, differences))
    suites = {s.get("name"): (s.get("tests"), s.get("failures"), s.get("skipped")) for s in root}
    # the second difference: without an expectation of its own, a pinned file's share of text is expected to be none
    assert suites == {"core/base": ("4", "2", "0"), "core/simd": ("2", "0", "0"), "proposals/x": ("2", "0", "1")}
    cases = {case.get("name"): case for case in root[0]}
    assert "line 3: assert_return failed: value" in cases["assert_return 1/2"].find("failure").text
    assert "2 assertions, expected 0" in cases["file"].find("failure").text
