"""What a voice of the checkpoint learns to say: sentences of the corpus, and the assistant's own answers in talk, which are unlike
them and are what it says most."""

from __future__ import annotations

import random
from pathlib import Path

from training import corpus, examples

TALK = {kind: often for kind, often in examples.KINDS.items() if kind.startswith("talk_")} | {
    "talk_help": 3.0,
    "talk_beyond": 0.7,
}


def spoken_texts(seed: int, split: corpus.Split, count: int, replies: float, wordnet: Path) -> list[str]:
    """`count` texts, a share `replies` of them answers. The same arguments give the same list."""
    rng = random.Random(f"{seed}-{split}-replies")
    texts = corpus.sentences(seed, split, count, wordnet)
    for index in range(count):
        if rng.random() < replies:
            kind = rng.choices(tuple(TALK), tuple(TALK.values()))[0]
            (answer,) = examples.sample(kind, rng.randrange(1 << 60), split).turns[-1].content
            assert isinstance(answer, str)
            texts[index] = answer
    return texts
