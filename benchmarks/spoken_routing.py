"""Whether spoken questions go where typed ones go: questions in synthetic voices are written down by the model and
routed by its words. Prints one JSON line: how many light ones would have left the Thinker, with and without
`app.answering.SURE`, and how many heavy ones went to the backend.

    python -m benchmarks.spoken_routing [--model NAME|FOLDER] [--voices awb,slt,kal16,rms]

awb is a voice that no training of the built-in model heard. Needs flite's library (Debian: libflite1).
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np
import torch

from app.answering import SURE
from benchmarks.report import hardware, print_line
from multimodal.checkpoint import BUILT_IN, load
from reasoning.router import THINKER, Available, Request, route
from streaming.listening import Listening
from streaming.session import Conversation
from streaming.transcription import Transcription

LIGHT = (
    "What is my name?", "What is my favorite color?", "What is your name?", "My name is Lucy.", "I have a red car.",
    "What did I say my name was?", "How are you?", "What color is the circle?", "What do you see?", "What is this?",
    "How many objects are there?", "What is on the left?", "Is the circle red?", "Where is the square?", "Thank you.",
    "Tell me what you see.",
)  # fmt: skip
HEAVY = (
    "What is seven times eight?", "What is twelve plus nine?", "How much is six times seven?",
    "A train travels sixty miles in two hours. How fast does it go?", "What is fifteen minus eight?",
    "There are ten birds on a tree. Three fly away. How many birds are left?", "What is one hundred minus forty?",
    "What is twenty divided by four?", "Which number is larger, nine point eleven or nine point eight?",
    "A farmer has twelve cows and sells five. How many cows are left?",
)  # fmt: skip
RATE_HZ = 16_000


def main() -> None:
    from training import synthesis

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(BUILT_IN / "omni-nano"))
    parser.add_argument("--voices", default="awb,slt,kal16,rms")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load(options.model)
    available = (Available("backend", frozenset({"reasoning"})),)
    counts: Counter[str] = Counter()
    for voice in options.voices.split(","):
        for kind, questions in (("light", LIGHT), ("heavy", HEAVY)):
            for question in questions:
                speech = synthesis.teacher(voice).speak(question).samples.astype(np.float32) / 32768
                words = Transcription(model)
                listening = Listening(Conversation(model), words)
                listening.hear(np.concatenate([np.zeros(4800, np.float32), speech, np.zeros(4000, np.float32)]))
                listening.commit()
                written = words.write(lambda: True)
                leaves = route(Request(written.text, available=available)).backend != THINKER
                counts[kind] += 1
                counts[f"{kind}_by_words"] += leaves
                counts[f"{kind}_by_sure_words"] += leaves and written.sureness >= SURE
    print_line("spoken routing", {"voices": options.voices, "sure": SURE, **counts}, hardware())


if __name__ == "__main__":
    main()
