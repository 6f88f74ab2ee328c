"""A signal is noted once, then kills; afterwards all is as it was."""

import signal
import subprocess
import sys
import threading

import pytest

from attention.lab.training.interrupts import Interrupted, interrupts

SIGNALS = [signal.SIGTERM, signal.SIGINT]


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_is_noted_and_handlers_come_back(number):
    before = [signal.getsignal(each) for each in SIGNALS]
    with interrupts() as asked:
        assert not asked()
        asked.raise_if_asked("")
        signal.raise_signal(number)
        assert asked()
        assert signal.getsignal(number) == signal.SIG_DFL  # so that a second one kills
        with pytest.raises(Interrupted, match=f"^stopped by {number.name} at 7; to go on: ") as e:
            asked.raise_if_asked(" at 7")
    assert e.value.code == 128 + number
    assert isinstance(e.value, KeyboardInterrupt)
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_handlers_come_back_after_an_error():
    before = [signal.getsignal(each) for each in SIGNALS]
    with pytest.raises(RuntimeError), interrupts():
        raise RuntimeError
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_of_two_kinds_the_first_counts():
    with interrupts() as asked:
        for number in SIGNALS:
            signal.raise_signal(number)
    assert asked.number == signal.SIGTERM


def test_another_thread_changes_nothing():
    before = [signal.getsignal(each) for each in SIGNALS]
    seen = []

    def run():
        with interrupts() as asked:
            seen.append(([signal.getsignal(each) for each in SIGNALS], asked()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [(before, False)]


BUSY = """
import signal, sys, time
from attention.lab.training.interrupts import Interrupted, end_when_asked, interrupts
end_when_asked()
try:
    if sys.argv[1] == "noted":
        with interrupts() as asked:
            print("ready", flush=True)
            while not asked():
                time.sleep(0.01)
            print("noted", flush=True)
            time.sleep(600)
    print("ready", flush=True)
    time.sleep(600)
except Interrupted as error:
    print(error, flush=True)
    if sys.argv[1] == "slow to end":
        time.sleep(600)
    sys.exit(error.code)
"""


@pytest.fixture
def busy():
    def start(*arguments):
        command = [sys.executable, "-c", BUSY, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    started = []
    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_of_the_same_kind_kills_at_once(busy, number):
    process = busy("noted")
    process.send_signal(number)
    assert process.stdout.readline() == "noted\n"
    process.send_signal(number)
    assert process.wait(timeout=300) == -number


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_kills_what_is_slow_to_end(busy, number):
    process = busy("slow to end")
    process.send_signal(number)
    assert process.stdout.readline().startswith(f"stopped by {number.name}")
    process.send_signal(number)
    assert process.wait(timeout=300) == -number


@pytest.mark.parametrize("number", SIGNALS)
def test_outside_training_the_first_ends_with_its_code_and_the_exact_command(busy, number):
    process = busy("a  b", "it's")
    process.send_signal(number)
    assert process.wait(timeout=300) == 128 + number
    said = process.stdout.read()
    assert said.startswith(f"stopped by {number.name}; to go on: {sys.executable} -c ")
    assert said.endswith(" 'a  b' 'it'\"'\"'s'\n")


def test_ignored_at_the_start_a_signal_counts_nevertheless():
    """As in a job that a script started with &."""
    source = BUSY.replace('print("ready", flush=True)', "signal.raise_signal(signal.SIGINT)")
    command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-c", source, ""]
    assert subprocess.run(command).returncode == 130
