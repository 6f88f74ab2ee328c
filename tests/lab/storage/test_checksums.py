"""A seal finds whatever happens to the files of a directory, and names the file."""

import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention.lab.storage import checksums

FILES = {"notes.json": b"{}", "state/d/weights": bytes(range(256)), "state/empty": b""}


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """A sealed directory; whoever changes it has to put it right."""
    directory = tmp_path_factory.mktemp("sealed")
    for name, content in FILES.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    checksums.write(directory)
    return directory


def faults(directory):
    with pytest.raises(OSError) as error:
        checksums.check(directory)
    return str(error.value)


def test_what_is_whole_passes_and_coreutils_agree(sealed):
    checksums.check(sealed)
    command = ["sha256sum", "--check", "--strict", "--quiet", checksums.NAME]
    assert subprocess.run(command, cwd=sealed, capture_output=True).returncode == 0


@settings(deadline=None, max_examples=200, derandomize=True)
@given(
    name=st.sampled_from(["notes.json", "state/d/weights", checksums.NAME]),
    where=st.floats(0, 1, exclude_max=True),
)
def test_any_flipped_bit_is_found_and_its_file_named(sealed, name, where):
    path = sealed / name
    intact = path.read_bytes()
    byte, bit = divmod(int(where * 8 * len(intact)), 8)
    path.write_bytes(intact[:byte] + bytes([intact[byte] ^ 1 << bit]) + intact[byte + 1 :])
    try:
        assert faults(sealed) == f"{name} has changed"
        with pytest.raises(OSError, match="has changed"):
            checksums.read(sealed, name)
    finally:
        path.write_bytes(intact)
    checksums.check(sealed)


@pytest.mark.parametrize("name", ["notes.json", "state/d/weights", checksums.NAME])
@pytest.mark.parametrize("left", [0, 1, -1])
def test_a_file_cut_short_or_gone(sealed, name, left):
    path = sealed / name
    intact = path.read_bytes()
    path.write_bytes(intact[:left])
    assert faults(sealed) == f"{name} has changed"
    path.unlink()
    assert faults(sealed) == f"{name} is missing"
    path.write_bytes(intact)
    checksums.check(sealed)


@pytest.mark.parametrize(
    "name", ["extra", ".hidden", "state/d/new/deep", f"state/{checksums.NAME}"]
)
def test_a_file_too_many(sealed, name):
    path = sealed / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert faults(sealed) == f"{name} is extra"
    path.unlink()
    os.symlink("notes.json", path)
    assert faults(sealed) == f"{name} is extra"
    path.unlink()
    checksums.check(sealed)


def test_many_faults_are_counted(tmp_path):
    for name in "abcde":
        (tmp_path / name).write_text(name)
    checksums.write(tmp_path)
    for name in "abcd":
        (tmp_path / name).write_text("z")
    (tmp_path / "e").unlink()
    assert faults(tmp_path) == "e is missing, a has changed, b has changed, and 2 files more"


def test_one_file_is_read_and_checked(sealed):
    assert checksums.read(sealed, "notes.json") == b"{}"
    with pytest.raises(OSError, match="nothing is missing"):
        checksums.read(sealed, "nothing")
