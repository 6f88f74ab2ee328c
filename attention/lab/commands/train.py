"""Trains a run, or goes on with it."""

from attention.lab.commands.arguments import Call
from attention.lab.commands.evaluate import print_report
from attention.lab.commands.resolve import default_workdir, resolve
from attention.lab.runs import train


def run(call: Call) -> None:
    """Trains, and prints the report of the final evaluation."""
    call.given.setdefault("workdir", default_workdir(call.given["config"]))
    given = dict(call.given)
    spec = given.pop("config")
    said = {"config": spec, "overrides": call.overrides}
    print_report(train.train(resolve(spec, call.overrides), said=said, **given))
