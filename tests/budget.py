"""Hooks of pytest that keep the tests' time in view: the slowest files, and a budget for all."""

from __future__ import annotations

import os
from collections import defaultdict

import pytest

_EXCESS = 1.5  # of the budget: more than this fails
_SLOWEST = 10
_WORKERS: list[float] = []  # processor seconds of each worker that has ended


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--budget",
        type=float,
        metavar="SECONDS",
        help="fail if the tests use half as much processor time again, over all their processes",
    )


def processor_seconds() -> float:
    """The processor time of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Ends:
    """What is done only where xdist is there: its hook is unknown elsewhere."""

    @staticmethod
    def pytest_testnodedown(node: object, error: object) -> None:
        _WORKERS.append(getattr(node, "workeroutput", {}).get("processor_seconds", 0.0))


def pytest_configure(config: pytest.Config) -> None:
    if config.pluginmanager.hasplugin("dsession"):
        config.pluginmanager.register(Ends())


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["processor_seconds"] = processor_seconds()
        return
    budget = session.config.getoption("budget")
    if budget is not None and work() > _EXCESS * budget and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def work() -> float:
    """The processor seconds of all that the tests did."""
    return sum(_WORKERS) if _WORKERS else processor_seconds()


def summarise(
    terminalreporter: pytest.TerminalReporter,
    config: pytest.Config,
    reports: list[pytest.TestReport],
) -> None:
    """Print the slowest files and, with --budget, what was used of it."""
    budget = config.getoption("budget")
    if budget is None:
        return
    seconds: dict[str, float] = defaultdict(float)
    for report in reports:
        seconds[report.nodeid.split("::")[0]] += report.duration
    slowest = sorted(seconds.items(), key=lambda item: -item[1])[:_SLOWEST]
    terminalreporter.section(f"the {len(slowest)} slowest files")
    for path, duration in slowest:
        terminalreporter.line(f"{duration:7.1f} s  {path}")
    used = work()
    terminalreporter.line(f"{used:.0f} s of processor time in all; the budget is {budget:.0f} s")
    if used > _EXCESS * budget:
        terminalreporter.line(
            f"FAILED: the tests used more than {_EXCESS} times their budget: compile less, share "
            "fixtures, or mark cases as long (see docs/testing.md)",
            red=True,
        )
