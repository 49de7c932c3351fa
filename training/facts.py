"""Facts that the user tells in one turn and asks for in a later one, with values that must be copied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.beyond import out_of_world
from training.lexicon import PET_NAMES, digits, first_name, place, topic, word
from training.objects import COLORS, things
from training.talk import app_help, small_talk
from training.wording import Question, Split, article, choose, choose_in, inside, phrase, plural

Rng = np.random.Generator
NUMBER_WORDS = (
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen twenty thirty fifty".split()
)
MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()


@dataclass(frozen=True)
class Fact:
    """One thing the user tells. tell and ask: wordings; about: what later facts would replace."""

    about: str
    tell: tuple[str, ...]
    reply: str
    ask: tuple[str, ...]
    answer: str
    unknown: str
    check: tuple[str, str] | None = None  # a yes/no question and the statement that answers it
    value: str = ""


def _color(rng: Rng, split: Split) -> str:
    return choose(rng, tuple(COLORS))


def _thing(rng: Rng, split: Split) -> str:
    return choose(rng, things()).name


def _pet(rng: Rng, split: Split) -> str:
    return choose_in(rng, PET_NAMES, split) if rng.random() < 0.5 else first_name(rng, split)


def _number(rng: Rng, split: Split) -> str:
    return choose(rng, NUMBER_WORDS) if rng.random() < 0.3 else digits(rng, split, 1, 5)


def _code(rng: Rng, split: Split) -> str:
    return digits(rng, split, 3, 6)


def _date(rng: Rng, split: Split) -> str:
    return f"{choose(rng, MONTHS)} {rng.integers(1, 29)}"


def _time(rng: Rng, split: Split) -> str:
    hour = int(rng.integers(1, 13))
    return choose(rng, (f"on {choose(rng, DAYS)}", f"at {hour} o'clock", f"on {_date(rng, split)}", f"at {hour}:{choose(rng, (15, 30, 45))}",
                        f"on {choose(rng, DAYS)} at {hour} o'clock", "tomorrow", "tonight", f"in {choose(rng, MONTHS)}"))  # fmt: skip


Value = Callable[[Rng, Split], str]
OWN: tuple[tuple[str, Value], ...] = (
    ("favorite color", _color), ("favorite animal", _thing), ("favorite food", _thing), ("favorite city", place), ("favorite country", place),
    ("favorite number", _number), ("lucky number", _number), ("favorite word", word), ("favorite day", lambda rng, split: choose(rng, DAYS)),
    ("favorite month", lambda rng, split: choose(rng, MONTHS)), ("favorite name", first_name), ("favorite game", topic), ("favorite subject", topic),
    ("phone number", _code), ("door code", _code), ("room number", _code), ("locker number", _code), ("bus number", _number), ("pin", _code),
    ("ticket number", _code), ("house number", _number), ("seat number", _number), ("flight number", _code), ("account number", _code),
    ("password", word), ("code word", word), ("secret word", word), ("user name", word), ("hobby", topic), ("hometown", place),
    ("home city", place), ("holiday destination", place), ("birthplace", place), ("last name", first_name), ("first name", first_name), ("nickname", first_name),
    ("dog's name", _pet), ("cat's name", _pet), ("horse's name", _pet), ("rabbit's name", _pet), ("brother's name", first_name),
    ("sister's name", first_name), ("mother's name", first_name), ("father's name", first_name), ("son's name", first_name),
    ("daughter's name", first_name), ("wife's name", first_name), ("husband's name", first_name), ("teacher's name", first_name),
    ("boss", first_name), ("best friend", first_name), ("neighbor", first_name), ("doctor", first_name), ("cousin", first_name), ("roommate", first_name),
    ("birthday", _date), ("wedding day", _date), ("car's color", _color), ("street", first_name), ("school", place), ("company", first_name),
    ("team", word), ("project", word), ("boat's name", _pet), ("task", topic), ("topic", topic),
)  # fmt: skip
SPOTS = "in the drawer,on the table,under the bed,in the kitchen,in the car,behind the door,on the shelf,in the garage,in the bag,on the roof,next to the lamp,in the garden,under the chair,in the box,at the office,in the basement".split(
    ","
)
JOBS = "nurse,teacher,pilot,farmer,doctor,baker,lawyer,painter,driver,cook,singer,writer,engineer,gardener,plumber,dentist,student,carpenter,librarian,sailor,tailor,actor,butcher,waiter,clerk,judge,chemist,editor".split(
    ","
)
EVENTS = "meeting,party,exam,concert,train,flight,appointment,wedding,lesson,game,interview,delivery,dinner,show,trip,class,call".split(
    ","
)


def a_fact(rng: Rng, split: Split) -> Fact:
    """Something to remember, its value drawn from wide lists so that it must be copied and cannot be guessed."""
    kind = int(rng.choice(12, p=(0.16, 0.36, 0.06, 0.05, 0.06, 0.05, 0.04, 0.07, 0.05, 0.04, 0.03, 0.03)))
    if kind == 0:
        v = first_name(rng, split)
        return Fact("name", (f"My name is {v}.", f"I am {v}.", f"I'm {v}.", f"Call me {v}.", f"You can call me {v}.", f"Hi, I am {v}.",
                             f"Hello, my name is {v}.", f"People call me {v}.", f"This is {v} speaking.", f"Hello, I'm {v}."),
                    f"Nice to meet you, {v}.",
                    ("What is my name?", "What's my name?", "Do you remember my name?", "Who am I?", "What did I say my name was?", "Tell me my name.",
                     "Do you know my name?", "How am I called?", "Can you remember my name?"),
                    f"Your name is {v}.", "You have not told me your name.", ("Is my name {}?", "your name is {}"), v)  # fmt: skip
    if kind == 1:
        key, value = choose(rng, OWN)
        v = value(rng, split)
        return _of_mine(key, v)
    if kind == 2:
        thing = choose_in(rng, [t.name for t in things() if t.paintable], "train")
        return _of_mine(thing, _color(rng, split), f"What color is my {thing}?")
    if kind == 3:
        v = place(rng, split)
        return Fact("home", (f"I live in {v}.", f"My home is in {v}.", f"I am living in {v}.", f"I moved to {v}.", f"I live in {v} now."), f"Okay, you live in {v}.",
                    ("Where do I live?", "In which place do I live?", "Do you remember where I live?", "Which city do I live in?", "Where is my home?"),
                    f"You live in {v}.", "You have not told me where you live.", ("Do I live in {}?", "you live in {}"), v)  # fmt: skip
    if kind == 4:
        thing, count = plural(_thing(rng, split)), choose(rng, NUMBER_WORDS)
        return Fact(f"{thing}", (f"I have {count} {thing}.", f"I own {count} {thing}.", f"I bought {count} {thing}.", f"There are {count} {thing} in my house."),
                    f"Okay, you have {count} {thing}.",
                    (f"How many {thing} do I have?", f"How many {thing} did I mention?", f"Do you remember how many {thing} I have?", f"What number of {thing} do I have?"),
                    f"You have {count} {thing}.", f"You have not told me how many {thing} you have.")  # fmt: skip
    if kind == 5:
        v = plural(topic(rng, split)) if rng.random() < 0.5 else plural(_thing(rng, split))
        return Fact("liking", (f"I like {v}.", f"I love {v}.", f"I really like {v}.", f"I am a fan of {v}.", f"I enjoy {v}."), f"Okay, you like {v}.",
                    ("What do I like?", "What did I say I like?", "Do you remember what I like?", "Which things do I like?"), f"You like {v}.",
                    "You have not told me what you like.", ("Do I like {}?", "you like {}"), v)  # fmt: skip
    if kind == 6:
        v = str(int(rng.integers(5, 100)))
        return Fact("age", (f"I am {v} years old.", f"My age is {v}.", f"I am {v}.", f"I turned {v} this year."), f"Okay, you are {v} years old.",
                    ("How old am I?", "What is my age?", "Do you remember my age?", "Do you know how old I am?"), f"You are {v} years old.",
                    "You have not told me your age.", ("Am I {} years old?", "you are {} years old"), v)  # fmt: skip
    if kind == 7:
        thing, v = _thing(rng, split), choose(rng, SPOTS)
        return Fact(f"place of {thing}", (f"The {thing} is {v}.", f"I put the {thing} {v}.", f"I left the {thing} {v}.", f"You will find the {thing} {v}.",
                                          f"Remember that the {thing} is {v}."), f"Okay, the {thing} is {v}.",
                    (f"Where did I put the {thing}?", f"Do you remember where the {thing} is?", f"Where did I leave the {thing}?", f"Where did I say the {thing} is?"),
                    f"The {thing} is {v}.", f"You have not told me where the {thing} is.")  # fmt: skip
    if kind == 8:
        event, v = choose(rng, EVENTS), _time(rng, split)
        return Fact(f"time of {event}", (f"The {event} is {v}.", f"My {event} is {v}.", f"Remember that the {event} is {v}.", f"I have {article(event)} {v}."),
                    f"Okay, the {event} is {v}.",
                    (f"When is the {event}?", f"When is my {event}?", f"Do you remember when the {event} is?", f"At what time is the {event}?"),
                    f"The {event} is {v}.", f"You have not told me when the {event} is.")  # fmt: skip
    if kind == 9:
        v = choose(rng, JOBS)
        return Fact("job", (f"I am {article(v)}.", f"I work as {article(v)}.", f"My job is {v}.", f"I'm {article(v)}.", f"I earn my money as {article(v)}."),
                    f"Okay, you work as {article(v)}.", ("What is my job?", "What do I work as?", "Do you remember my job?", "What do I do for a living?"),
                    f"You work as {article(v)}.", "You have not told me your job.", ("Do I work as {}?", "you work as {}"), article(v))  # fmt: skip
    if kind == 10:
        what, v = ("word", word(rng, split)) if rng.random() < 0.5 else ("number", digits(rng, split, 1, 6))
        return Fact(what, (f"Remember the {what} {v}.", f"Keep the {what} {v} in mind.", f"The {what} is {v}.", f"Please remember the {what} {v}."),
                    f"Okay, the {what} is {v}.",
                    (f"What was the {what}?", f"Which {what} should you remember?", f"What is the {what}?", f"Tell me the {what}.", f"Do you remember the {what}?"),
                    f"The {what} is {v}.", f"You have not told me {article(what)}.", (f"Is the {what} {{}}?", f"the {what} is {{}}"), v)  # fmt: skip
    who = first_name(rng, split)
    if rng.random() < 0.5:
        v = place(rng, split)
        return Fact(f"home of {who}", (f"{who} lives in {v}.", f"My friend {who} lives in {v}."), f"Okay, {who} lives in {v}.",
                    (f"Where does {who} live?", f"Do you remember where {who} lives?", f"Where is {who} living?"), f"{who} lives in {v}.",
                    f"You have not told me where {who} lives.", (f"Does {who} live in {{}}?", f"{who} lives in {{}}"), v)  # fmt: skip
    v = article(_thing(rng, split))
    return Fact(f"thing of {who}", (f"{who} has {v}.", f"My friend {who} has {v}.", f"{who} bought {v}."), f"Okay, {who} has {v}.",
                (f"What does {who} have?", f"Do you remember what {who} has?"), f"{who} has {v}.", f"You have not told me what {who} has.",
                (f"Does {who} have {{}}?", f"{who} has {{}}"), v)  # fmt: skip


def _of_mine(key: str, v: str, question: str | None = None) -> Fact:
    tell = [f"My {key} is {v}.", f"Remember that my {key} is {v}.", f"Please remember: my {key} is {v}.", f"Note that my {key} is {v}.",
            f"You should know that my {key} is {v}.", f"By the way, my {key} is {v}."]  # fmt: skip
    ask = (
        question, f"What is the color of my {key}?", f"Which color does my {key} have?", f"Do you remember the color of my {key}?",
        f"Which color is my {key}?",
    ) if question else (
        f"What is my {key}?", f"What's my {key}?", f"Do you remember my {key}?", f"Tell me my {key}.", f"What did I say my {key} was?",
        f"Do you know my {key}?", f"What was my {key} again?", f"Can you tell me my {key}?",
    )  # fmt: skip
    unknown = f"You have not told me {f'what color your {key} is' if question else f'your {key}'}."
    return Fact(
        key,
        tuple(tell),
        f"Okay, your {key} is {v}.",
        ask,
        f"Your {key} is {v}.",
        unknown,
        (f"Is my {key} {{}}?", f"your {key} is {{}}"),
        v,
    )


def _told(rng: Rng, split: Split, fact: Fact) -> Question:
    return Question(phrase(rng, split, fact.tell), fact.reply)


def _asked(rng: Rng, split: Split, fact: Fact, known: bool = True, other: str | None = None) -> Question:
    """Ask for the fact, now and then as a yes/no question; `other` is a wrong value to ask about."""
    details = {"fact": fact.about, "value": fact.value, "known": known}
    if known and fact.check and other is not None:
        question, statement = fact.check
        asked = fact.value if rng.random() < 0.5 else other
        yes = "Yes" if asked == fact.value else "No"
        return Question(question.format(asked), f"{yes}, {statement.format(fact.value)}.", details=details)
    return Question(phrase(rng, split, fact.ask), fact.answer if known else fact.unknown, details=details)


def _another(rng: Rng, split: Split, fact: Fact) -> Fact | None:
    """The same fact with another value, or None where none was drawn."""
    drawn = (a_fact(rng, split) for _ in range(40))
    return next((f for f in drawn if f.about == fact.about and f.answer != fact.answer), None)


def _another_value(rng: Rng, split: Split, fact: Fact) -> str | None:
    other = _another(rng, split, fact)
    return other.value if other else None


def told_facts(rng: Rng, split: Split) -> list[Question]:
    """One to three facts told, other talk between them, and a question about one of them: two to six exchanges."""
    talk: list[Question] = []
    facts: dict[str, Fact] = {}
    length = int(rng.choice((2, 2, 3, 3, 4, 5, 6)))
    wanted = min(length - 1, int(rng.choice((1, 1, 2, 2, 3))))
    spare = length - 1 - wanted
    while len(facts) < wanted:
        fact = a_fact(rng, split)
        if fact.about not in facts:
            facts[fact.about] = fact
    told = list(facts.values())
    for fact in told:
        talk.append(_told(rng, split, fact))
    if spare and rng.random() < 0.2:  # a fact that changes its mind
        old = choose(rng, told)
        new = _another(rng, split, old)
        if new:
            start = choose(rng, ("Actually, ", "No, wait, ", "Sorry, ", "Correction: "))
            told_again = [text for text in new.tell if not text.startswith(("Hi", "Hello", "By the way"))]
            talk.append(Question(start + inside(phrase(rng, split, told_again)), new.reply))
            facts[new.about] = new
            spare -= 1
    for _ in range(spare):
        filler = choose(rng, (small_talk, small_talk, out_of_world, app_help))(rng, split)
        if rng.random() < 0.3:
            filler = (
                _asked(rng, split, choose(rng, told)) if len(talk) > wanted and told == list(facts.values()) else filler
            )
        at = len(talk) if "fact" in filler.details else int(rng.integers(len(talk) + 1))
        if "I have not said anything" not in filler.answer:
            talk.insert(at, filler)
    if rng.random() < 0.12:
        strange = a_fact(rng, split)
        if strange.about not in facts:
            return [*talk, _asked(rng, split, strange, known=False)]
    fact = choose(rng, list(facts.values()))
    return [*talk, _asked(rng, split, fact, other=_another_value(rng, split, fact) if rng.random() < 0.15 else None)]
