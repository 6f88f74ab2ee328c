"""Pictures of what a trained Transformer attends to while it translates one sentence."""

import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from attention.analysis.matrices import effective_matrix, influence_matrix
from attention.errors import ConfigError
from attention.lab.commands.arguments import Call
from attention.lab.data.batching.examples import encode_sources
from attention.lab.data.tokenizer import BOS, PAD
from attention.lab.pictures.plots import attention_map
from attention.lab.runs import load
from attention.lab.runs.load import Trained
from attention.lab.tasks.mask_predict import MASK, MaskPredict
from attention.models.mask_predict import ConditionalMaskedLM
from attention.models.transformer import Transformer
from attention.protocols import Attention, TokenMixer
from attention.shapes import Tree


def run(call: Call) -> None:
    """Does what the command line says."""
    inspect(**call.given)


def inspect(
    workdir: str | Path, text: str, *, checkpoint: str = "best", allow_import: Sequence[str] = ()
) -> list[Path]:
    """Translates a sentence and draws the model's attention to ``workdir/plots``.

    Rows ask, columns are asked. ``cross.png`` is the mean over decoder layers and heads,
    ``cross_heads.png``, ``encoder.png`` and ``decoder.png`` the heads of the last layer.

    Returns:
      The pictures.

    Raises:
      ValueError: the text is blank.
    """
    if not text.strip():
        raise ConfigError("text is blank: give a sentence to look at")
    run = load.load(workdir, checkpoint, allow_import=allow_import)
    (source_S,), _ = encode_sources([text], run.task.tokenizer, run.evaluator.max_length)
    search = run.experiment.search
    beams = run.evaluator.search(run.params, run.model_state, source_S[None], search)
    target_T = np.asarray(beams.tokens_BNT)[0, 0]
    target_T = target_T[target_T != PAD]  # the best translation, its end included
    pieces = run.task.tokenizer.pieces
    said = pieces(target_T)
    if isinstance(run.task, MaskPredict):  # one pass, in which it is given nothing but the length
        read_T = np.full(run.task.canvas or len(target_T) - 1, MASK, target_T.dtype)
        read, said = ["?"] * len(read_T), said[: len(read_T)]
    else:
        read, read_T = ["<s>", *pieces(target_T[:-1])], np.concatenate([[BOS], target_T[:-1]])
    source = pieces(source_S)
    encoded = [f"<{n}>" for n in range(_transformer(run).external_tokens)] + source
    maps = _maps(run, source_S, read_T)
    cross_LHTS = np.stack(maps["cross"])[:, :, : len(said)]
    translation = run.task.texts(target_T[None])[0]
    print(translation)
    folder = Path(workdir) / "plots"
    title = f"{text}\n{translation}"
    pictures = [
        attention_map(cross_LHTS.mean(axis=(0, 1)), said, source, folder / "cross.png", title),
        attention_map(cross_LHTS[-1], said, source, folder / "cross_heads.png", title),
        attention_map(maps["encoder"][-1], encoded, encoded, folder / "encoder.png", text),
        attention_map(maps["decoder"][-1], read, read, folder / "decoder.png", translation),
    ]
    for picture in pictures:
        print(f"attention map: {picture}", file=sys.stderr)
    return pictures


def _transformer(run: Trained) -> Transformer:
    model = run.task.model
    return model.transformer if isinstance(model, ConditionalMaskedLM) else model


def _maps(run: Trained, source_S: np.ndarray, target_T: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Effective matrices [H, Q, K] of every layer by place; of mixers, influence matrices."""
    model, variables = _transformer(run), {"params": run.params, **run.model_state}
    if model is not run.task.model:
        variables = {name: tree["transformer"] for name, tree in variables.items()}

    @jax.jit
    def maps(variables: Tree, source_1S: jax.Array, target_1T: jax.Array) -> dict[str, list]:
        _, sown = model.apply(variables, source_1S, target_1T, mutable=["intermediates"])
        layers = sown["intermediates"]

        def matrix(attend: Attention | TokenMixer, layer: Tree) -> jax.Array:
            if isinstance(attend, TokenMixer):
                return influence_matrix(attend, *layer["mixed"][0])[0]
            *inputs, bias, x_BTM = layer["attended"][0]
            return effective_matrix(attend, *inputs, bias=bias, x_BTM=x_BTM)[0]

        def matrices(side: str, module: str, attend: Attention | TokenMixer) -> list[jax.Array]:
            each = range(model.layers)
            return [matrix(attend, layers[f"{side}_layers_{n}"][module]) for n in each]

        return {
            "encoder": matrices("encoder", "self_attention", model.encoder),
            "decoder": matrices("decoder", "self_attention", model.decoder),
            "cross": matrices("decoder", "cross_attention", model.cross),
        }

    with jax.default_matmul_precision("float32"):
        return jax.device_get(maps(variables, source_S[None], target_T[None].astype(np.int32)))
