"""Words to fill sentences with: topics, places and people from WordNet, and names, known and invented."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from training.objects import debian_file
from training.wording import Split, choose, choose_in, in_split

# wndb(5): the second field of a line is the lexicographer file.
# Words of a definition that mark what nobody should be made to read or repeat.
_UNFIT = re.compile(
    r"offens|disparag|slur|obscen|vulgar|derogat|insult|sexual|\bsex\b|genital|rape|prostitut|erotic|porn|suicide|genocide|"
    r"nazi|terroris|castrat|masturbat|feces|excrement|homosexual|buttocks|brothel|slave|torture|drug abuse|\bpenis|vagina"
)
_TOPIC_FILES = {"04", "05", "06", "07", "08", "09", "10", "13", "14", "17", "19", "20", "26", "27"}
_PLACE_FILE, _PERSON_FILE = "15", "18"

FIRST_NAMES = (
    "Anna Ben Carla David Emma Frank Grace Henry Iris Jack Kate Liam Maria Nora Oscar Paula Quinn Rosa Sam Tina Victor Wendy "
    "Alice Bob Chloe Daniel Ella Felix George Hannah Ivan Julia Kevin Laura Martin Nina Oliver Peter Rachel Simon Thomas Zoe "
    "Adam Adele Ahmed Aisha Albert Amara Amir Andrea Angela Anton Aria Arthur Astrid Ava Bella Bruno Camila Carlos Cecilia "
    "Charles Clara Colin Daisy Darius Diana Diego Dmitri Dora Edgar Edith Elena Elias Elif Eric Esther Eva Fatima Fiona "
    "Florence Gabriel Gemma Greta Gustav Harry Hassan Hector Helena Hugo Ibrahim Ines Ingrid Isaac Isabel Jakob James Jamal "
    "Jasmine Javier Jenny Jonas Joseph Karim Katya Kenji Lars Leila Leo Lily Linda Lorenzo Louis Lucia Luke Magnus Marcus "
    "Mateo Maya Megan Mehmet Mia Mila Milo Mohammed Monica Naomi Natalie Nathan Neil Nicolas Noah Olga Olivia Omar Otto Pablo "
    "Patrick Pedro Petra Philip Priya Rafael Rania Ravi Rebecca Robert Robin Ruby Rupert Ruth Samuel Sandra Sara Sean Sofia "
    "Stefan Stella Sven Tara Theo Tom Uma Vera Viola Walter Will Yara Yusuf Yuki Zara"
).split()
PET_NAMES = (
    "Rex Luna Bella Max Milo Coco Rocky Daisy Buddy Molly Oreo Pepper Ginger Shadow Smokey Tiger Lucky Biscuit Pumpkin Cookie "
    "Socks Patch Fluffy Snowy Rusty Bandit Ziggy Nala Simba Felix Muffin Hazel Olive Peanut Scout Jasper Willow Poppy Ruby Otis"
).split()
_ONSETS = "b br c ch cl d dr f fl g gr h j k l m n p pr qu r s sh st t tr v w y z".split()
_VOWELS = "a a a e e i i o o u ai ee ia ou".split()
_CODAS = ["", "", "", "n", "r", "l", "s", "m", "x", "th", "nd", "ck"]


@dataclass(frozen=True)
class Lexicon:
    """topics: common nouns and noun phrases; rare: single lower-case nouns; places, people: proper names;
    definitions: short glosses of topics."""

    topics: tuple[str, ...]
    rare: tuple[str, ...]
    places: tuple[str, ...]
    people: tuple[str, ...]
    definitions: tuple[str, ...]


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    """Read from Debian's `wordnet-base`."""
    tagged = {
        line.partition("%")[0] for line in debian_file("usr/share/wordnet/cntlist.rev").read_text("ascii").splitlines()
    }
    topics, rare, places, people, definitions = ({} for _ in range(5))
    unfit: set[str] = set()
    for line in debian_file("usr/share/wordnet/data.noun").read_text("ascii", errors="ignore").splitlines():
        if line.startswith(" "):
            continue
        head, _, gloss = line.partition(" | ")
        _, file, _, count, *words = head.split(" ")
        lemmas = [word.replace("_", " ") for word in words[: 2 * int(count, 16) : 2]]
        if _UNFIT.search(gloss):
            unfit.update(lemmas)
            continue
        first = lemmas[0]
        if file == _PLACE_FILE:
            places.update((w, None) for w in lemmas if re.fullmatch(r"[A-Z][a-z]{2,11}( [A-Z][a-z]{2,9})?", w))
        elif file == _PERSON_FILE and " @i " in head:
            people.update((w, None) for w in lemmas if re.fullmatch(r"[A-Z][a-z]{2,10} [A-Z][a-z]{2,11}", w))
        if file in _TOPIC_FILES:
            if first.replace(" ", "_") in tagged and re.fullmatch(r"[a-z]{3,12}( [a-z]{3,10})?", first):
                topics[first] = None
                definition = re.sub(r"\([^)]*\)", "", gloss.split(";")[0]).strip()
                if re.fullmatch(r"[a-z ]{12,60}", definition):
                    definitions[definition] = None
            rare.update((w, None) for w in lemmas if re.fullmatch(r"[a-z]{4,11}", w))
    fit = [tuple(word for word in words if word not in unfit) for words in (topics, rare, places, people)]
    return Lexicon(fit[0], fit[1], fit[2], fit[3], tuple(definitions))


def topic(rng: np.random.Generator, split: Split) -> str:
    return choose_in(rng, lexicon().topics, split)


def word(rng: np.random.Generator, split: Split) -> str:
    return choose_in(rng, lexicon().rare, split)


def place(rng: np.random.Generator, split: Split) -> str:
    return choose_in(rng, lexicon().places, split)


def person(rng: np.random.Generator, split: Split) -> str:
    """A well-known person, first and last name."""
    return choose_in(rng, lexicon().people, split)


def invented(rng: np.random.Generator, split: Split) -> str:
    """A name that nobody has, such as "Tavira"."""
    while True:
        name = "".join(
            choose(rng, _ONSETS) + choose(rng, _VOWELS) + choose(rng, _CODAS) for _ in range(rng.integers(1, 4))
        )
        if 3 <= len(name) <= 10 and in_split(name, split):
            return name.capitalize()


def first_name(rng: np.random.Generator, split: Split) -> str:
    """Half are known names, the rest invented or family names, so that copying is learned and not a list."""
    dice = rng.random()
    if dice < 0.5:
        return choose_in(rng, FIRST_NAMES, split)
    if dice < 0.75:
        return invented(rng, split)
    while True:
        name = choose(rng, lexicon().people).split()[int(rng.integers(2))]
        if in_split(name, split):
            return name


def digits(rng: np.random.Generator, split: Split, least: int = 1, most: int = 6) -> str:
    while True:
        text = str(rng.integers(10 ** int(rng.integers(least, most + 1))))
        if in_split(f"number {text}", split):
            return text
