"""Questions that the built-in model cannot answer, of all kinds, so that it learns to say so instead of inventing."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from training.lexicon import digits, first_name, lexicon, person, place, topic, word
from training.wording import Question, Split, article, choose, choose_in, phrase, plural

REFUSAL = "That is beyond the built-in model. Load a bigger model or connect a backend to ask about it."

LANGUAGES = (
    "French German Spanish Italian Chinese Japanese Russian Arabic Latin Dutch Polish Turkish Greek Hindi".split()
)
CODE = "Python Java JavaScript Rust C SQL Bash Go HTML Haskell".split()
ADJECTIVES = (
    "big old fast expensive dangerous important good bad popular heavy deep tall rare healthy loud cheap strong famous "
    "poisonous common useful true difficult interesting safe hot cold bright long"
).split()
# {n} {o} a topic, {p} {q} topics, {a} {b} a topic with its article, {w} a rare word, {d} a definition, {l} {m} a place,
# {h} a well-known person, {f} a first name, {x} {z} numbers, {y} a year, {g} a language, {c} a programming language,
# {j} an adjective, {t} a thing in the picture
TEMPLATES = """
What is {a}?|What exactly is {n}?|What does {w} mean?|What does the word {w} mean?|Define {w}.|Define {n}.
Explain {n}.|Explain {n} to me.|What is the meaning of {n}?|What is the definition of {w}?|Tell me about {n}.
Tell me about {p}.|Tell me something about {n}.|What do you know about {n}?|What do you know about {l}?
What do you know about {h}?|How does {a} work?|How do {p} work?|How is {a} made?|How do you make {a}?
How can I build {a}?|How do I fix {a}?|How do I repair my {n}?|How do I clean {a}?|How do I choose {a}?
Why do people need {p}?|Why is {n} important?|Why are {p} {j}?|Why is {a} {j}?|Why is {n} so {j}?|Why do we have {p}?
Why did {h} leave {l}?|Who invented {n}?|Who invented the {n}?|Who discovered {n}?|Who was {h}?|Who is {h}?
When was {h} born?|Where was {h} born?|When did {h} die?|What did {h} do?|What is {h} famous for?|How old is {h}?
Who was married to {h}?|Did {h} ever visit {l}?|What books did {h} write?|Where is {l}?|Where is {l} located?
What is the capital of {l}?|How many people live in {l}?|What language do they speak in {l}?
What is the population of {l}?|How far is it from {l} to {m}?|How do I get from {l} to {m}?
What is the weather in {l}?|Is it raining in {l}?|Which country is {l} in?|Who is the president of {l}?
Who is the mayor of {l}?|What is the best hotel in {l}?|What can I visit in {l}?|Is {l} bigger than {m}?
What time is it in {l}?|When was {l} founded?|What is {l} known for?|Plan a trip to {l}.|Book a flight to {l}.
What is the history of {n}?|What is the history of {l}?|Tell me the history of {p}.|What happened in {y}?
What happened in {l} in {y}?|Who won the war of {y}?|Who won the world cup in {y}?|Who was king in {y}?
Who won the election in {y}?|What were people wearing in {y}?|What is {x} times {z}?|What is {x} plus {z}?
What is {x} minus {z}?|What is {x} divided by {z}?|Calculate {x} times {z}.|How much is {x} plus {z}?
What is the square root of {x}?|Is {x} a prime number?|What is {x} percent of {z}?|Solve x plus {x} equals {z}.
Multiply {x} by {z}.|How many minutes are {x} hours?|Convert {x} miles to kilometers.|How many grams are {x} ounces?
What is {x} squared?|Add {x} and {z}.|What is the integral of x squared?|Prove that there are infinitely many primes.
What is the derivative of x to the {x}?|What is the weather like today?|Will it rain tomorrow?|How is the weather?
Will it be {j} tomorrow?|What is the temperature outside?|What is in the news today?
What are the latest news about {n}?|What is the news about {h}?|Who won the game yesterday?|What is the score?
What time is it?|What day is it today?|What is the date?|Which year is it?|What time is it now?
When is the next full moon?|Translate {n} into {g}.|How do you say {n} in {g}?|What is {n} in {g}?
Translate this sentence into {g}.|Say something in {g}.|Do you know the {g} word for {n}?|Write a poem about {n}.
Write a story about {a}.|Write an essay about {n}.|Tell me a story about {a}.|Write a song about {p}.|Tell me a joke.
Tell me a joke about {p}.|Write an email to {f} about {n}.|Write a letter to my {n}.
Make up a story about {f} and {a}.|Sing a song about {n}.|Write a {c} program about {n}.|Write a function in {c}.
How do I sort a list in {c}?|What is {n} in {c}?|Debug my {c} code.|How do I install {c}?|What do you think about {n}?
What is your opinion on {n}?|Do you like {n}?|Do you like {p}?|Do you believe in {n}?|Is {n} good or bad?
Which is better, {n} or {o}?|What is better: {n} or {o}?|What is the difference between {n} and {o}?
Compare {n} and {o}.|Is {a} the same as {b}?|Is {a} more {j} than {b}?|Are {p} {j}?|Is {n} {j}?|Can {p} be {j}?
Do {p} have {q}?|Can {a} become {b}?|How are {n} and {o} related?|Should I buy {a}?|Should I sell my {n}?
Where can I buy {a}?|How much does {a} cost?|How much is {a} in {l}?|What is the price of {n}?|How {j} is {a}?
How {j} is {l}?|How long does {a} live?|How much does {a} weigh?|What do {p} eat?|What are {p} made of?
What is {n} made of?|What causes {n}?|How can I prevent {n}?|What are the symptoms of {n}?|Is {n} {j} for my health?
What should I do about {n}?|How do I get rid of {n}?|I have {a}, what should I do?|My {n} hurts, what can I do?
Which doctor treats {n}?|What is the treatment for {n}?|Can you cure {n}?|Is {n} legal in {l}?
How do I pay taxes on {n}?|Should I invest in {n}?|What is the law about {p}?|Can I be fined for {n}?
Give me a recipe for {n}.|How do I cook {n}?|What can I cook with {n}?|Recommend a book about {n}.
Recommend a movie with {h}.|What movie should I watch?|Give me some advice on {n}.|How do I learn {g}?
How do I become {a}?|Teach me {n}.|Help me with my homework about {n}.|Help me understand {n}.
Summarize the history of {l}.|Summarize the book about {n}.|What is the plot of the movie {n}?
Who wrote the book about {n}?|Who sang the song about {n}?|Set a timer for {x} minutes.|Set an alarm for {x} o'clock.
Send a message to {f}.|Call {f}.|Play some music by {h}.|Turn on the {n}.|Open the {n}.|Order {a} for me.
Search the internet for {n}.|Look up {n}.|Find out who {f} is.|Remind me to buy {a}.|Buy {a} for {f}.|Delete my {n}.
What is the chemical formula of {n}?|How fast does light travel?|What is the speed of sound?|How big is the universe?
What are atoms made of?|What is the theory of {n}?|How does {n} affect {o}?|What is the role of {n} in {o}?
What is the relation between {n} and {o}?|What is the opposite of {n}?|Give me a synonym for {n}.
What rhymes with {n}?|How do you spell {w}?|Use {w} in a sentence.|Where does the word {w} come from?
What do you call {d}?|What is the word for {d}?|What is {d} called?|Which word means {d}?
What would happen without {d}?|What if there were no {p}?|What would happen if {p} were {j}?
Imagine you are {a}. What do you do?|What is the purpose of {n}?|What is the use of {a}?
Who is the best {n} in the world?|What is the biggest {n} in {l}?|Where do {p} come from?|Where can you find {p}?
When was the {n} invented?|When was the first {n} built?|How many {p} are there in the world?
How many {p} are there in {l}?|Are there {p} in {l}?|What kinds of {p} exist?|Name three {p}.|List five kinds of {n}.
Give me an example of {n}.|What are the advantages of {n}?|What are the risks of {n}?|Is there life on other planets?
What is the meaning of life?|Are you in love?|Do you have dreams?|What will happen tomorrow?
Who will win the next election?|Can you predict {n}?|What is the phone number of {h}?
What is the email address of {f}?|What does {f} think of {n}?|How is {f} doing?|What is the opinion of {h} on {n}?
Do you know a good {n}?|Can you explain how {p} work?|Could you tell me more about {n}?|I want to know more about {n}.
I need information about {n}.|Can you help me with {n}?|I would like to learn about {p}.|Let us talk about {n}.
Let's discuss {n}.|Tell me a fact about {n}.|What should I know about {p}?|What makes {a} {j}?
How did {h} become famous?|What is the secret of {n}?|Why does {n} exist?|Is it true that {p} are {j}?
Do you agree that {n} is {j}?|How do airplanes fly?|Why is the sky blue?|How does a computer work?
What is a black hole?|Who wrote Hamlet?|How deep is the ocean?|What is gravity?
"""
ABOUT_PICTURES = """
Who painted this?|Who took this picture?|When was this picture taken?|Where was this picture taken?
Who is this person?|How much does the {t} cost?|How old is the {t}?|Who owns the {t}?|What brand is the {t}?
What is the {t} thinking?|What is the {t} made of?|Is the {t} happy?|Where did the {t} come from?
Which company made the {t}?|How heavy is the {t}?|What does the {t} eat?|What is the name of the {t}?
How does the {t} work?|What is the {t} used for?|Write a poem about the {t}.|Tell me a story about the {t}.
Why is the {t} there?|What will the {t} do next?|Is the {t} dangerous?|What is the history of the {t}?
How fast is the {t}?|Where can I buy the {t}?|How do I draw the {t}?|What is the meaning of this picture?
Is this picture good?|What does the {t} mean in {g}?|How do you say {t} in {g}?|Can I eat the {t}?
Who invented the {t}?|What is the scientific name of the {t}?|What does the {t} smell like?|Do you like the {t}?
Write a story about this picture.|What is the mood of this picture?|What happened before this picture was taken?
Is this a famous picture?|Who drew this?
"""


def _templates(block: str) -> tuple[str, ...]:
    return tuple(template for line in block.strip().splitlines() for template in line.split("|"))


def out_of_world(rng: np.random.Generator, split: Split, thing: str | None = None) -> Question:
    """A question that deserves REFUSAL; with `thing`, one about a picture that shows that thing."""
    template = phrase(rng, split, _templates(ABOUT_PICTURES if thing else TEMPLATES))

    def noun() -> str:
        return topic(rng, split)

    fill: dict[str, Callable[[], str]] = {
        "n": noun, "o": noun, "p": lambda: plural(noun()), "q": lambda: plural(noun()), "a": lambda: article(noun()),
        "b": lambda: article(noun()), "w": lambda: word(rng, split), "d": lambda: choose_in(rng, lexicon().definitions, split),
        "l": lambda: place(rng, split), "m": lambda: place(rng, split), "h": lambda: person(rng, split),
        "f": lambda: first_name(rng, split), "x": lambda: digits(rng, split, 1, 3), "z": lambda: digits(rng, split, 1, 4),
        "y": lambda: str(rng.integers(1000, 2031)), "g": lambda: choose(rng, LANGUAGES), "c": lambda: choose(rng, CODE),
        "j": lambda: choose(rng, ADJECTIVES), "t": lambda: thing or "",
    }  # fmt: skip
    text = re.sub(r"\{(\w)\}", lambda match: fill[match[1]](), template)
    return Question(text, REFUSAL, details={"template": template})
