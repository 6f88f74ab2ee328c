"""Generated inputs, two thousand of each kind: a right result, or an error of one line."""

from absl import flags
from hypothesis import HealthCheck, settings

from attention.errors import UserError

# What the command line tells in one line: a mistake of the user.
MISTAKES = (flags.Error, UserError)
THOUSANDS = settings(
    max_examples=2_000,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def attempt(call, *arguments, **options):
    """The result of a call, or the mistake that it told of, which has words."""
    try:
        return call(*arguments, **options)
    except MISTAKES as mistake:
        told = mistake
    assert str(told).strip(), "an error without words"
    assert "Traceback" not in str(told)
    return told
