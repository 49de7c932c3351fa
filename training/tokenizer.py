"""Learn omni-nano's tokenizer: byte-level BPE over the sentences it will hear, read and say.

    python -m training.tokenizer            writes training/tokenizer/tokenizer.json

The file is kept with the code, so that every training run and every checkpoint has the same ids. The merges follow
Qwen2's splitting rule, hence never cross a word's border and never join digits.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from multimodal.blueprint import SPECIAL_TOKENS, Blueprint
from multimodal.checkpoint_files import byte_level_tokenizer
from training.nano import NANO

TOKENIZER_FILE = Path(__file__).parent / "tokenizer" / "tokenizer.json"


def training_texts(seed: int, corpus_count: int, examples_per_kind: int) -> Iterator[str]:
    """Corpus sentences, each also in lower case now and then, and all text of generated examples of every kind."""
    from training.corpus import sentences

    for i, text in enumerate(sentences(seed, "train", corpus_count)):
        yield text
        if i % 10 == 0:
            yield text.lower()
    if examples_per_kind == 0:
        return
    from training.examples import KINDS, sample

    for kind in KINDS:
        for i in range(examples_per_kind):
            for turn in sample(kind, seed + i, "train", (112, 112)).turns:
                for part in turn.content:
                    if isinstance(part, str):
                        yield part


def learn(texts: Iterator[str], blueprint: Blueprint) -> Any:
    """A `tokenizers.Tokenizer` with vocab_size − len(SPECIAL_TOKENS) entries; the same texts give the same merges."""
    size = blueprint.vocab_size - len(SPECIAL_TOKENS)
    tokenizer = byte_level_tokenizer((texts, size))
    assert tokenizer.get_vocab_size() == size, f"too little text: {tokenizer.get_vocab_size()} of {size} entries"
    return tokenizer


def ordinary_tokenizer(path: Path = TOKENIZER_FILE) -> Any:
    """The kept `tokenizers.Tokenizer`, without special tokens, as `checkpoint_files.write_processor_files` wants it."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(path))


@lru_cache(maxsize=4)
def chat_tokenizer(path: Path = TOKENIZER_FILE, blueprint: Blueprint = NANO) -> Any:
    """transformers' fast tokenizer with special tokens at the ids of `blueprint.special_ids()`."""
    import transformers

    tokenizer = ordinary_tokenizer(path)
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    fast = transformers.Qwen2TokenizerFast(  # type: ignore[attr-defined]
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token=None,
        bos_token=None,
        clean_up_tokenization_spaces=False,
    )
    for name, token_id in blueprint.special_ids().items():
        assert fast.convert_tokens_to_ids(name) == token_id, f"{path} does not fit the sizes: {name}"
    return fast


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=TOKENIZER_FILE)
    parser.add_argument("--sentences", type=int, default=120_000)
    parser.add_argument("--examples", type=int, default=400, help="examples of each kind; 0: corpus only")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tokenizer = learn(training_texts(options.seed, options.sentences, options.examples), NANO)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(options.out))
    sample_texts = list(training_texts(options.seed + 1, 500, 0))
    tokens = sum(len(tokenizer.encode(text).ids) for text in sample_texts)
    words = sum(len(text.split()) for text in sample_texts)
    print(f"{options.out}: {tokenizer.get_vocab_size()} entries, {tokens / words:.2f} tokens a word")


if __name__ == "__main__":
    main()
