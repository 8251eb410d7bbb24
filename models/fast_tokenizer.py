"""The tokens of a model as a tokenizer of transformers, for tools that want one (lm-evaluation-harness's `hf`, pipelines)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .continuation import ByteCodec, Codec, SubwordCodec, WordCodec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Bytes that UTF-8 never has stand for what is no text.
_END_BYTE, _PAD_BYTE = 0xFF, 0xFE
END, PADDING = "<|endoftext|>", "<|padding|>"


def fast_tokenizer(codec: Codec) -> PreTrainedTokenizerFast:
    """A `PreTrainedTokenizerFast` with the same numbers as `codec` for every text.

    Of bytes, 255 and 254 are end of text and padding; of words, ``<eos>`` (or ``<unk>`` without it) and ``<pad>``; of GPT-2's
    byte pairs both are its end of text.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    if isinstance(codec, SubwordCodec):
        inner = codec.tokenizer.library_tokenizer()
        end = inner.id_to_token(codec.tokenizer.end_of_text)
        padding = inner.id_to_token(1) if codec.tokenizer.end_of_text == 0 else end
        return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=end, bos_token=end, pad_token=padding)
    if isinstance(codec, WordCodec):
        from .data.plain_text import END_OF_LINE
        from .data.vocabulary import PAD, UNKNOWN

        words = {word: number for number, word in enumerate(codec.vocabulary.words)}
        inner = Tokenizer(models.WordLevel(words, unk_token=UNKNOWN))
        inner.normalizer = normalizers.Replace("\n", f" {END_OF_LINE} ")
        inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        end = END_OF_LINE if END_OF_LINE in words else UNKNOWN
        return PreTrainedTokenizerFast(
            tokenizer_object=inner, eos_token=end, bos_token=end, unk_token=UNKNOWN, pad_token=PAD
        )
    assert isinstance(codec, ByteCodec)
    symbols = _byte_symbols()
    vocabulary = {symbol: byte for byte, symbol in enumerate(symbols)}
    vocabulary = {{_END_BYTE: END, _PAD_BYTE: PADDING}.get(byte, symbol): byte for symbol, byte in vocabulary.items()}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=END, bos_token=END, pad_token=PADDING)


def _byte_symbols() -> list[str]:
    """The character that the byte-level encodings of GPT-2 write for each byte: itself if it can be seen, else from 256 on."""
    seen = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    hidden = iter(range(256, 512))
    return [chr(byte) if byte in seen else chr(next(hidden)) for byte in range(256)]
