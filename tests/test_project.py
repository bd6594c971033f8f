"""The distribution: locks, version, what a wheel carries, and that no file knows one particular machine."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import harness
from harness.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("engine", "generators", "oracles", "harness")
LOCKS = ("requirements.txt", "requirements-native.txt")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked(text: str) -> dict[str, list[str]]:
    """Return each ``name==version`` of a lock and its hashes."""
    entries: dict[str, list[str]] = {}
    for entry in re.sub(r"\\\n", " ", text).splitlines():
        if entry.strip() and not entry.lstrip().startswith("#"):
            requirement, *rest = entry.split()
            entries[requirement] = re.findall(r"--hash=sha256:[0-9a-f]{64}(?= |$)", " ".join(rest))
    return entries


def required(extra: str | None = None) -> set[str]:
    lines = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    return {re.split(r"[=<>~!;\[ ]", line)[0] for line in lines}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_and_hashes_everything_and_names_no_index(lock):
    text = (ROOT / lock).read_text()
    entries = locked(text)
    assert entries
    assert [r for r, hashes in entries.items() if not hashes or not re.fullmatch(r"[\w.-]+==[\w.]+", r)] == []
    assert not re.search(r"https?:|file:|--(extra-)?index|--find-links|simple", text)


def test_the_locks_hold_what_the_project_requires():
    names = {requirement.split("==")[0] for lock in LOCKS for requirement in locked((ROOT / lock).read_text())}
    assert required() | required("dev") | required("bench") <= names


def test_an_unhashed_entry_is_noticed():
    assert locked("a==1 \\\n    --hash=sha256:" + "0" * 64 + "\nb==2\n")["b==2"] == []


def test_the_version_is_the_one_the_changelog_describes():
    versions = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == harness.__version__


def test_the_readme_speaks_of_every_command_and_of_no_other():
    named = set(re.findall(r"`wfuzz ([a-z]+)", (ROOT / "README.md").read_text()))
    assert named == set(COMMANDS)


def test_links_between_documents_lead_somewhere():
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")]
    links = [(d, link) for d in documents for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", d.read_text())]
    assert len(links) > 5
    assert [(d.name, link) for d, link in links if not (d.parent / link).exists()] == []


def test_the_supported_python_is_the_same_everywhere():
    lowest = re.fullmatch(r">=3\.(\d+)", PROJECT["requires-python"]).group(1)
    assert f"sys.version_info < (3, {lowest})" in (ROOT / "Makefile").read_text()
    assert f"Programming Language :: Python :: 3.{lowest}" in PROJECT["classifiers"]
    assert sys.version_info >= (3, int(lowest))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return the directory of an unpacked wheel, built here without a network."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out], cwd=ROOT, check=True)
    (built,) = out.glob("*.whl")
    assert built.name.startswith(f"wasm_wfuzz-{harness.__version__}-")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(out / "site")
    return out / "site"


def files(root: Path) -> set[str]:
    found = (p for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {p.relative_to(root).as_posix() for p in found}


def test_a_wheel_carries_code_data_and_baselines(wheel):
    expected = {f"{package}/{name}" for package in PACKAGES for name in files(ROOT / package)}
    expected |= {f"harness/baselines/{name}" for name in files(ROOT / "ci" / "baselines")}
    assert {name for name in files(wheel) if ".dist-info/" not in name} == expected


def test_an_unpacked_wheel_runs_and_finds_its_baselines(wheel):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import harness, harness.cli\n"
        "assert harness.baselines().is_relative_to(sys.argv[1]) and harness.baselines().is_dir()\n"
        "harness.cli.main(['--version'])"
    )
    out = subprocess.run([sys.executable, "-c", code, wheel], cwd=wheel, capture_output=True, text=True, check=False)
    assert (out.returncode, out.stdout) == (0, f"wfuzz, version {harness.__version__}\n"), out.stderr


def committed() -> list[Path]:
    """Return the tracked files, or in an unpacked archive every file that is not hidden."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listing.returncode == 0:
        paths = [ROOT / name.decode() for name in listing.stdout.split(b"\0") if name]
    else:
        paths = [p for p in ROOT.rglob("*") if not any(part.startswith(".") for part in p.relative_to(ROOT).parts)]
    return [p for p in paths if p.is_file() and not p.is_symlink()]


# In pieces, so that this file does not find itself.
PLACES = b"|".join((b"wo" + b"rk/", b"ro" + b"ot/", b"ho" + b"me/[a-z]", b"tm" + b"p/venv"))
ONE_MACHINE = re.compile(rb"(?<![\w.:/])/(?:" + PLACES + rb")")


def test_no_committed_file_names_a_path_of_one_machine():
    found = [
        f"{path.relative_to(ROOT)}: {match.group().decode()}"
        for path in committed()
        if path.suffix not in {".wasm", ".gz", ".xz"} and (match := ONE_MACHINE.search(path.read_bytes()))
    ]
    assert found == []


def test_a_path_of_one_machine_is_recognised():
    assert ONE_MACHINE.search(b'open("/ho' + b'me/someone/x")')
    assert not ONE_MACHINE.search(b"https://example.org/work/x and a/work/b and .//work")


def test_committed_scripts_are_executable_and_say_with_what():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert script.read_text().startswith("#!/bin/sh\n")
