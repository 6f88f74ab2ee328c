"""Scores a trained run on a split."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from attention.lab.commands.arguments import Call
from attention.lab.runs import load


def run(call: Call) -> None:
    """Evaluates, and prints the report."""
    print_report(load.evaluate(**call.given))


def print_report(report: Mapping[str, Any]) -> None:
    """The scores for people on stderr, and as the last line of stdout in JSON."""
    print(
        f"{report['split']}: {report['examples']} sentences at step {report['step']}: "
        f"BLEU {report['bleu']:.2f}  chrF++ {report['chrf']:.2f}  loss {report['loss']:.4f} "
        f"nats a token  ({report['signature']})",
        file=sys.stderr,
    )
    print(json.dumps(dict(report)), flush=True)
