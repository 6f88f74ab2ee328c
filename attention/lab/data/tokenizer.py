"""Subword tokens: one byte-pair vocabulary for both languages, by sentencepiece."""

import io
import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import sentencepiece

from attention.errors import DataError, reading

PAD = 0
EOS = 1
UNK = 2
BOS = 3

_BYTES = 256
_SPECIAL = {"pad": PAD, "eos": EOS, "unk": UNK, "bos": BOS}
# The number of threads is written into the model: a constant keeps the model the same everywhere.
_THREADS = 4
_MOST_SENTENCES = 2_000_000


def train_tokenizer(sentences: Iterable[str], vocab_size: int) -> bytes:
    """Train a byte-pair vocabulary (Sennrich et al., 2016) and return it as a sentencepiece model.

    A character outside the vocabulary is spelt in bytes, so no text is unknown. Pass the sentences
    of both languages for a joint vocabulary. Beyond two million sentences an even sample is used.

    Args:
        sentences: the training text; blank sentences are ignored.
        vocab_size: number of tokens, the 4 special ones and the 256 bytes included; lowered with a
            warning where the text supports fewer.

    Returns:
        The model, for `Tokenizer`; the same bytes for the same sentences.

    Raises:
        ValueError: no sentence has text, or `vocab_size` is too small for the text's characters.
    """
    texts = [text for text in sentences if text.strip()]
    if not texts:
        raise ValueError("sentences: no sentence has text: a tokenizer needs some to learn from")
    if vocab_size <= len(_SPECIAL) + _BYTES:
        raise ValueError(
            f"vocab_size is {vocab_size}: it needs more than {len(_SPECIAL) + _BYTES}, "
            "which the special tokens and the bytes take"
        )
    texts = texts[:: -(-len(texts) // _MOST_SENTENCES)]
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            model_type="bpe",
            byte_fallback=True,
            character_coverage=0.9999,
            normalization_rule_name="identity",
            max_sentence_length=1 << 16,
            num_threads=_THREADS,
            minloglevel=2,
            pad_id=PAD,
            eos_id=EOS,
            unk_id=UNK,
            bos_id=BOS,
        )
    except RuntimeError as error:
        if needed := re.search(r"required_chars\. \d+ vs (\d+)", str(error)):
            raise ValueError(
                f"vocab_size is {vocab_size}: the text's characters, the special tokens and the "
                f"bytes need at least {needed[1]}"
            ) from None
        raise DataError(f"sentences: sentencepiece cannot learn from them ({error})") from None
    size = Tokenizer(model.getvalue()).vocab_size
    if size < vocab_size:
        warnings.warn(
            f"vocab_size is lowered from {vocab_size} to {size}: the text has no more pieces",
            stacklevel=2,
        )
    return model.getvalue()


class Tokenizer:
    """Text to token ids and back, by a sentencepiece model with pad 0, eos 1, unk 2 and bos 3.

    Args:
        model: the bytes that `train_tokenizer` returned.

    Raises:
        ValueError: the bytes are no such model.
    """

    def __init__(self, model: bytes) -> None:
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        except RuntimeError:
            raise ValueError("model: the bytes are not a sentencepiece model") from None
        found = {name: getattr(self._processor, f"{name}_id")() for name in _SPECIAL}
        if found != _SPECIAL:
            raise ValueError(f"model: its special tokens are {found}, they need to be {_SPECIAL}")
        self.model = model

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        """Read a model that lies in a file.

        Raises:
            DataError: the file cannot be read, or is not a model of this kind.
        """
        with reading(path):
            model = Path(path).read_bytes()
        try:
            return cls(model)
        except ValueError as error:
            raise DataError(f"{path}: {error}") from None

    @property
    def vocab_size(self) -> int:
        """Number of tokens, special ones included."""
        return self._processor.get_piece_size()

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a sentence, without bos and eos; outer and repeated spaces go."""
        return self._processor.encode(text)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of many sentences, on all cores."""
        return self._processor.encode(list(texts))

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of token ids; pad, bos and eos are left out.

        A byte token may spell any character, a line break included.

        Raises:
            IndexError: an id lies outside the vocabulary.
        """
        return self._processor.decode([i for i in map(int, ids) if i not in (PAD, EOS, BOS)])

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Return the written form of each token, in which U+2581 marks the start of a word."""
        return [self._processor.id_to_piece(int(i)) for i in ids]
