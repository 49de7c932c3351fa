"""Greetings, questions about the model, and what is beyond it."""

from __future__ import annotations

from training.moe_wording import Draw, Problem

TALK = (
    ("hello", "Hello! Give me a calculation or a puzzle, and I will work it out."),
    ("who", "I am Tandem's small reasoning model. I calculate, count and solve small puzzles step by step."),
    (
        "abilities",
        "I can calculate, compare numbers, convert units, work with dates, count letters, continue sequences, solve equations and word problems, and write small Python functions.",
    ),
    ("thanks", "You are welcome!"),
    ("bye", "Goodbye!"),
)
# What is asked for, and the answer: each says plainly that a small model has its limits.
BEYOND = (
    ("beyond_know", "I do not know that. I am a small model for calculating, counting and step-by-step puzzles."),
    (
        "beyond_do",
        "I cannot do that. I am a small model for arithmetic, dates, units and puzzles. A larger model can be connected in the settings.",
    ),
    ("beyond_feel", "That is beyond me. I am a small model for numbers, dates, units, letters and small puzzles."),
)
LIMIT = "I am a small model for"


def talk(d: Draw) -> Problem:
    """What no reasoning is needed for, or none would help."""
    if d.rng.random() < 0.35:
        section, answer = d.rng.choice(TALK)
        q = d.say(section)
        q += d.choose(("", "!", "?", ".")) if d.rng.random() < 0.7 else ""
        q = q[0].upper() + q[1:] if d.rng.random() < 0.7 else q
        return Problem("talk", f"{q}{d.integer(0, 99)}", q, "", None, lambda r: answer, answer)
    section, answer = d.rng.choices(BEYOND, (5, 3, 2))[0]
    q = d.say(section)
    q = q[0].upper() + q[1:] if d.rng.random() < 0.85 else q
    plan = "This is not something that I can work out."
    return Problem("talk", f"{q}{d.integer(0, 99)}", q, plan, None, lambda r: answer, LIMIT, plan)
