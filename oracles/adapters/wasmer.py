"""The current Wasmer through ``wasmer-sdk``: whole programs under WASI, nothing else.

The package runs command modules and shows what they print; it has no host functions, no memory views and no exports.
So this adapter is honest about doing two things: taking a module (``instantiate`` without imports) and calling its
``_start``, whose record has the standard output in ``data.output`` (hex), also up to a trap.  ``harness.shim`` turns
plans into such programs.  The frames of a trap stand in its text.  Standard library and ``wasmer_sdk`` only.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import platform
import re
import tempfile
from typing import TYPE_CHECKING, Any

from oracles.adapter import (
    MAX_FRAMES,
    REENTRY_LIMIT,
    Answer,
    Description,
    RefusingSession,
    Session,
    Unavailable,
    blocked,
    count_of,
    refusal,
)
from oracles.outcome import Exhausted, Outcome, Rejected, Returned, Trapped, Unsupported
from oracles.traps import HOST_TRAP, STACK, wasmer_trap

if TYPE_CHECKING:
    from oracles.adapter import Adapter
    from oracles.plan import Plan, Step

__all__ = ["WasmerAdapter", "WasmerSession", "TrappedSession", "adapter", "frames_of", "trap_outcome"]

# Not exceptions: wasmer has them, but an uncaught one ends the program as a text without tag and payload.
FEATURES = (
    "bulk-memory", "extended-const", "multi-memory", "multi-value", "mutable-globals", "mvp",
    "reference-types", "relaxed-simd", "saturating-float-to-int", "sign-extension", "simd", "threads",
)  # fmt: skip
_LATER = 3600  # seconds; the supervisor is earlier
_TEXT_CAP = 600


def trap_outcome(text: str) -> Outcome:
    """Return the outcome that a ``RuntimeError`` of wasmer, current or 1.1, stands for."""
    first = text.partition("\n")[0]
    phrase = wasmer_trap(first)
    if phrase == STACK:
        return Exhausted("stack")
    return Trapped(phrase or HOST_TRAP, None, text[:_TEXT_CAP])


_FRAME = re.compile(r"    at .* \(.*\[(\d+)\]:0x([0-9a-f]+)\)")


def frames_of(text: str, most: int) -> list[list[int]] | None:
    """Return function index and module offset of each frame in the text of a trap, innermost first, at most ``most``.

    Where a line is no frame of a module without names, nothing can be said: None.
    """
    frames = []
    for line in text.split("\n", most + 1)[1 : most + 1]:
        found = _FRAME.fullmatch(line)
        if found is None:
            return None
        frames.append([int(found[1]), int(found[2], 16)])
    return frames


class TrappedSession(Session):
    """A session of an engine that shows the frames of a trap in its text, with those of the driver's functions."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.shown_frames = 0

    def step_debug(self, step: Step) -> Answer:
        if step.get("values"):
            return Unsupported("values of frames"), None
        self.shown_frames = min(count_of(step["frames"]), MAX_FRAMES + REENTRY_LIMIT)
        return Returned(), None

    def trapped(self, text: str) -> tuple[Outcome, dict[str, Any]]:
        """Return the outcome that the text of a ``RuntimeError`` stands for, and its frames if the plan wants them."""
        outcome = trap_outcome(text)
        frames = None
        if self.shown_frames and isinstance(outcome, Trapped):
            frames = frames_of(text, self.shown_frames)
        return outcome, {} if frames is None else {"frames": frames}


class WasmerSession(TrappedSession):
    """``instances`` holds the loaded package of each module that was taken."""

    def __init__(self, plan: Plan, sdk: _Sdk) -> None:
        super().__init__(plan)
        self.sdk = sdk

    def step_instantiate(self, step: Step) -> Answer:
        self.instances.pop(step["instance"], None)
        wasm = self.binary(step["module"])
        if any(step["imports"].values()):
            return Unsupported("imports"), None
        try:
            self.instances[step["instance"]] = self.sdk.load(wasm)
        except self.sdk.error as e:
            return Rejected("module", str(e)[:_TEXT_CAP]), None
        return Returned(), None

    def step_call(self, step: Step) -> Answer:
        package = self.instance(step["instance"])
        if step["export"] != "_start":
            return Unsupported("exports other than _start"), None
        if step["args"]:
            raise blocked("_start takes no arguments")
        output, error = self.sdk.run(package)
        data: dict[str, Any] = {"output": output.hex()}
        if error is None:
            return Returned(), data
        _, found, text = error.partition("RuntimeError: ")
        if not found:
            return _outcome(error), data
        outcome, more = self.trapped(text)
        return outcome, {**data, **more}


def _outcome(error: str) -> Outcome:
    """Return what the text of a command that did not trap but failed stands for."""
    if "Error while importing" in error:
        return Rejected("unlinkable", error[:_TEXT_CAP])
    if "Failed to create the instance" in error or "ompile" in error:
        return Rejected("module", error[:_TEXT_CAP])
    return Trapped(HOST_TRAP, None, error[:_TEXT_CAP])


class _Sdk:
    """The package behind one event loop."""

    def __init__(self) -> None:
        try:
            import wasmer_sdk
        except (ImportError, OSError) as e:
            raise Unavailable(f"the wasmer-sdk package cannot be loaded: {e}") from e
        self.error: type[Exception] = wasmer_sdk.WasmerError
        self.loop = asyncio.new_event_loop()
        self.cache = tempfile.TemporaryDirectory(prefix="wasmer-")
        self.wasmer: Any = wasmer_sdk.Wasmer(cache_root=self.cache.name)

    def load(self, wasm: bytes) -> Any:
        return self.loop.run_until_complete(self._load(wasm))

    async def _load(self, wasm: bytes) -> Any:
        return await self.wasmer.packages.load(wasm)

    def run(self, package: Any) -> tuple[bytes, str | None]:
        """Run a command and return its output and, if it failed, the reason."""
        return self.loop.run_until_complete(self._run(package))

    async def _run(self, package: Any) -> tuple[bytes, str | None]:
        output = b""
        try:
            async with await self.wasmer.sandboxes.create(packages=[package]) as sandbox:
                process = await sandbox.command(package).spawn(timeout=_LATER, stdout="pipe", stderr="pipe")
                async for chunk in process.stdout:
                    output += chunk
                async for _ in process.stderr:
                    pass  # nothing of ours; it must be taken for the process to end
                await process.wait()
        except self.error as e:
            return output, str(e)
        return output, None


class WasmerAdapter:
    """The package in its one configuration: Cranelift on this machine."""

    def __init__(self, variant: str) -> None:
        if variant:
            raise Unavailable(f"wasmer has no variant {variant!r}")
        self.sdk = _Sdk()
        self._description = Description(
            name="wasmer",
            version=importlib.metadata.version("wasmer-sdk"),
            features=FEATURES,
            steps=("instantiate", "call", "debug"),
            actions=(),
            types=(),
            nan=("module", "none"),
            sees=(),
            can=("wasi", "frames"),
            python=platform.python_version(),
        )

    def describe(self) -> Description:
        return self._description

    def open(self, plan: Plan) -> Session:
        what = refusal(plan, self._description)
        return WasmerSession(plan, self.sdk) if what is None else RefusingSession(plan, what)


def adapter(variant: str) -> Adapter:
    """Return the adapter, or raise Unavailable."""
    return WasmerAdapter(variant)
