"""Command lines, config values and run names, whatever they say."""

import copy
import math
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from attention.lab import build
from attention.lab.build import attentions
from attention.lab.commands import resolve
from attention.lab.commands.arguments import COMMANDS, parse
from attention.lab.commands.arguments import FLAGS as FLAG_NAMES
from attention.lab.config import schema
from attention.lab.storage import directory
from tests.fuzz.attempts import THOUSANDS, attempt

KEYS = [name for name, _ in schema.flatten(schema.defaults())]
SECTIONS = sorted({name.rpartition(".")[0] for name in KEYS} - {""})
SPECS = ["experiments/text.py", "experiments/quickstart.py", "experiments/base.py"]
WORDS = st.one_of(
    st.sampled_from(
        [
            *("", "none", "None", "true", "1e3", "1e400", "-1", "0", "0.5", "nan", "-inf", "1_0"),
            *("1,2", "(1, 2)", "[", "{'a': 1}", "{}", "__import__('os')", "softmax", "\0", "a\nb"),
            *("9" * 5_000, "(" * 300, "٣", "½", "..", "../x", "/etc/passwd", "~", "$(x)", "a b"),
        ]
    ),
    st.text(max_size=12),
    st.integers().map(str),
    st.floats().map(str),
)
NAMES = st.one_of(
    st.sampled_from(KEYS),
    st.sampled_from(SECTIONS),
    st.sampled_from(KEYS).flatmap(
        lambda k: st.integers(0, len(k)).map(lambda i: k[:i] + k[i + 1 :])
    ),
    st.text(max_size=8),
)
FLAGS = st.one_of(
    st.builds("--config.{}={}".format, NAMES, WORDS),
    st.builds("--{}config.{}".format, st.sampled_from(["", "no"]), NAMES),
    st.builds(
        "--{}={}".format,
        st.sampled_from(sorted(FLAG_NAMES)),
        WORDS,
    ),
    st.builds("{}{}".format, st.sampled_from(["", "-", "--", "---", "--no"]), WORDS),
)


@given(
    st.sampled_from([*COMMANDS, "", "tran"]),
    st.builds("--config={}{}".format, st.sampled_from([*SPECS, "nowhere.py"]), st.just("")),
    st.lists(FLAGS, max_size=4),
    st.randoms(use_true_random=False),
)
@THOUSANDS
def test_any_command_line(command, config, flags, order):
    words = [command, *([config] if command in ("train", "options") else []), *flags]
    order.shuffle(words)
    parsed = attempt(parse, ["launch.py", *words])
    if isinstance(parsed, Exception):
        return
    assert set(parsed.given) <= {*COMMANDS[parsed.command].flags}
    if "config" in parsed.given:
        resolved = attempt(resolve.resolve, parsed.given["config"], parsed.overrides)
        if not isinstance(resolved, Exception):
            assert [name for name, _ in schema.flatten(resolved)] == KEYS_OF[parsed.given["config"]]


KEYS_OF = {spec: [name for name, _ in schema.flatten(resolve.resolve(spec, []))] for spec in SPECS}


@given(NAMES, WORDS)
@THOUSANDS
def test_any_flag_of_the_config_changes_its_key_or_is_refused(name, text):
    before = resolve.resolve("experiments/base.py", [])
    found = attempt(resolve.resolve, "experiments/base.py", [f"--config.{name}={text}"])
    if isinstance(found, Exception):
        return
    assert name in dict(schema.flatten(before))
    changed = {n for n, v in schema.flatten(found) if dict(schema.flatten(before))[n] != v}
    assert changed <= {name}


VALUES = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
        *(st.sampled_from(sorted(attentions.ATTENTIONS)), st.integers(-2, 600)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner)
    ),
    max_leaves=4,
)
PLAIN = resolve.resolve("experiments/quickstart.py", [])


@given(st.one_of(st.sampled_from(KEYS), st.sampled_from(SECTIONS)), VALUES)
@THOUSANDS
def test_any_value_of_a_key_is_in_its_range_or_refused(name, value):
    config = copy.deepcopy(PLAIN)
    *sections, leaf = name.split(".")
    owner = config
    for section in sections:
        owner = owner[section]
    owner[leaf] = value
    found = attempt(build.experiment, config)
    if isinstance(found, Exception):
        return
    numbers = [v for _, v in schema.flatten(config) if isinstance(v, int | float)]
    assert all(math.isfinite(number) for number in numbers)


@given(st.one_of(WORDS, st.text(alphabet="ab./-_~\0\n", max_size=8)))
@THOUSANDS
def test_any_run_name_stays_inside_the_root(name):
    with tempfile.TemporaryDirectory() as root:
        found = attempt(directory.inside, root, name)
        if not isinstance(found, Exception):
            found.mkdir()
            assert [path.name for path in Path(root).iterdir()] == [name]
            assert found.resolve().parent == Path(root).resolve()
        assert not any(Path(root).parent.glob(f"{Path(root).name}?*"))
