"""English sentences to speak and to recognize, deterministic by seed, with disjoint train and held-out sets.

About half are WordNet definitions and examples, a quarter lists of random words, a quarter generated sentences:
numbers, times, colours, shapes, objects, short answers and replies as the app gives them.
"""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

Split = Literal["train", "test"]
WORDNET = Path("/usr/share/wordnet")
TEST_PERCENT = 2
MAX_WORDS = 25

COLORS = "red green blue yellow orange purple pink brown black white gray teal navy gold silver".split()
SHAPES = "circle square triangle rectangle star heart diamond pentagon hexagon oval cross arrow ring crescent".split()
OBJECTS = (
    "apple,banana,cherry,grape,lemon,orange,peach,pear,pineapple,strawberry,watermelon,tomato,carrot,corn,mushroom,bread,"
    "cheese,egg,pizza,hamburger,cookie,cake,candy,ice cream,cup,bottle,glass,fork,knife,spoon,plate,bowl,cat,dog,horse,cow,"
    "pig,sheep,goat,rabbit,mouse,elephant,lion,tiger,bear,monkey,panda,fox,wolf,deer,camel,giraffe,zebra,bird,chicken,duck,"
    "eagle,owl,penguin,parrot,fish,shark,whale,dolphin,octopus,crab,snail,butterfly,bee,ant,spider,frog,turtle,snake,tree,"
    "flower,rose,tulip,sunflower,leaf,cactus,sun,moon,star,cloud,rainbow,snowflake,umbrella,fire,mountain,volcano,island,"
    "car,bus,truck,taxi,train,tram,bicycle,motorcycle,airplane,helicopter,rocket,boat,ship,anchor,house,castle,church,"
    "hospital,school,bridge,tent,fountain,clock,watch,phone,computer,keyboard,printer,camera,television,radio,lamp,candle,"
    "book,newspaper,pencil,pen,scissors,ruler,key,lock,hammer,axe,wrench,screw,gear,magnet,ladder,bucket,broom,basket,chair,"
    "couch,bed,door,window,mirror,bathtub,toilet,shower,soap,toothbrush,hat,crown,shirt,dress,jacket,coat,scarf,glove,sock,"
    "shoe,boot,bag,backpack,purse,wallet,ring,necklace,glasses,ball,football,basketball,tennis racket,kite,drum,guitar,"
    "piano,violin,trumpet,bell,gift,balloon,doll,teddy bear,dice,puzzle,map,globe,compass,flag,trophy,medal,envelope,box,"
    "robot,ghost,alien,skull,heart,eye,ear,nose,hand,foot,tooth,bone,brain,baby,boy,girl,man,woman,farmer,doctor,teacher"
).split(",")
PLURALS = {"mouse": "mice", "sheep": "sheep", "fish": "fish", "deer": "deer", "foot": "feet", "tooth": "teeth", "man": "men",
           "woman": "women", "knife": "knives", "leaf": "leaves", "wolf": "wolves", "scissors": "scissors",
           "glasses": "glasses", "dice": "dice"}  # fmt: skip
NAMES = (
    "Anna Ben Carla David Emma Frank Grace Henry Iris Jack Kate Liam Maria Nora Oscar Paula Quinn Rosa Sam Tina Victor Wendy "
    "Alice Bob Chloe Daniel Ella Felix George Hannah Ivan Julia Kevin Laura Martin Nina Oliver Peter Rachel Simon Thomas Zoe"
).split()
PLACES = (
    "Paris London Berlin Madrid Rome Vienna Boston Chicago Denver Seattle Tokyo Sydney Dublin Oslo Toronto Cairo Delhi Lima "
    "Texas Canada Brazil France Italy Japan China India Spain Egypt Kenya Norway"
).split()
POSITIONS = "left,right,top,bottom,center,top left,top right,bottom left,bottom right".split(",")
RELATIONS = "to the left of,to the right of,above,below,inside,next to,behind,in front of".split(",")
MOTIONS = (
    "moves to the left,moves to the right,moves up,moves down,appears,disappears,flashes,stops,grows,shrinks".split(",")
)
MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()

# Closed answers: too few to hold any out, so they belong to training only.
SHORT_ANSWERS = (
    "Yes.|No.|Okay.|Sure.|Of course.|Thank you.|You are welcome.|Hello!|Hi!|Goodbye!|Good morning.|Good evening.|Maybe.|"
    "I think so.|I do not know.|Yes, there is.|No, there is not.|Yes, it is.|No, it is not.|Nothing.|That is right.|"
    "I am Tandem.|Hello! How can I help you?|You're welcome!|I see.|I am listening.|One moment, please.|Let me think.|"
    "I cannot hear anything.|There is no picture.|Please try again.|On the left.|On the right.|Above.|Below.|It is night."
).split("|")


def number_words(n: int) -> str:
    """n in English words, 0 ≤ n < 1,000,000."""
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10 - 2] + (f"-{ONES[n % 10]}" if n % 10 else "")
    if n < 1000:
        return f"{ONES[n // 100]} hundred" + (f" and {number_words(n % 100)}" if n % 100 else "")
    return f"{number_words(n // 1000)} thousand" + (f" {number_words(n % 1000)}" if n % 1000 else "")


def plural(noun: str) -> str:
    head, _, last = noun.rpartition(" ")
    if last not in PLURALS:
        if re.search(r"(s|sh|ch|x)$", last):
            last += "es"
        else:
            last = last[:-1] + "ies" if re.search(r"[^aeiou]y$", last) else last + "s"
    return f"{head} {PLURALS.get(last, last)}".strip()


def article(noun: str) -> str:
    return f"{'an' if noun[0].lower() in 'aeiou' and not noun.startswith('uni') else 'a'} {noun}"


def in_split(text: str, split: Split) -> bool:
    """Whether `text` (up to case and punctuation) belongs to `split`, decided by its hash."""
    plain = re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()
    held_out = int.from_bytes(hashlib.blake2b(plain.encode(), digest_size=4).digest(), "big") % 100 < TEST_PERCENT
    return held_out == (split == "test")


@dataclass(frozen=True)
class WordNet:
    """phrases: cleaned definitions and examples; words: single lower-case words; common: those that tagged texts use."""

    phrases: tuple[str, ...]
    words: tuple[str, ...]
    common: tuple[str, ...]


def _as_sentence(phrase: str) -> str | None:
    """`phrase` as one plain sentence, or None where it cannot be read aloud as it stands."""
    text = re.sub(r"\s+", " ", re.sub(r"\([^)]*\)", " ", phrase)).strip(" ,:-`'\"")
    text = re.sub(r"\s+([,.!?])", r"\1", text)
    words = text.count(" ") + 1
    if (
        not (2 <= words <= MAX_WORDS)
        or not re.fullmatch(r"[A-Za-z0-9 ,.'!?-]+", text)
        or re.search(r"\be\.?g\b|\bi\.e\b", text)
    ):
        return None
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?" else text + "."


@lru_cache(maxsize=2)
def read_wordnet(folder: Path = WORDNET) -> WordNet:
    """Debian's `wordnet-base` files: data.* (glosses, see wndb(5)), index.* (words), cntlist.rev (frequencies)."""
    phrases: dict[str, None] = {}
    words: dict[str, None] = {}
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text("ascii", errors="ignore").splitlines():
            gloss = line.partition(" | ")[2]
            if line.startswith(" ") or not gloss:
                continue
            definition, *quoted = re.split(r'"', gloss)
            for phrase in (*definition.split(";"), *quoted[::2]):
                sentence = _as_sentence(phrase)
                if sentence:
                    phrases[sentence] = None
        for line in (folder / f"index.{part}").read_text("ascii", errors="ignore").splitlines():
            lemma = line.partition(" ")[0]
            if re.fullmatch(r"[a-z]{2,14}", lemma):
                words[lemma] = None
    counts = (folder / "cntlist.rev").read_text("ascii", errors="ignore").splitlines()
    common = {line.partition("%")[0] for line in counts if int(line.rsplit(" ", 1)[1]) >= 2} & words.keys()
    return WordNet(tuple(phrases), tuple(words), tuple(sorted(common)))


def _word_list(rng: random.Random, wordnet: WordNet) -> str:
    count = rng.choice((1, 2, 3, 4, 5, 6, 8, 10))
    words = [rng.choice(wordnet.common if rng.random() < 0.6 else wordnet.words) for _ in range(count)]
    separator = rng.choice((" ", " ", ", "))
    text = separator.join(words)
    return text[0].upper() + text[1:] + "."


def _number(rng: random.Random) -> str:
    n = rng.choice((rng.randrange(13), rng.randrange(100), rng.randrange(1000), rng.randrange(20_000)))
    return str(n) if rng.random() < 0.5 else number_words(n)


def _time(rng: random.Random) -> str:
    hour, minute = rng.randrange(1, 13), rng.randrange(60)
    return rng.choice(
        (
            f"{hour}:{minute:02}",
            f"{number_words(hour)} o'clock",
            f"half past {number_words(hour)}",
            f"a quarter to {number_words(hour)}",
            f"{hour} {rng.choice(('AM', 'PM'))}",
            f"{number_words(hour)} {number_words(max(minute, 10))}",
        )
    )


def _thing(rng: random.Random) -> str:
    noun = rng.choice(OBJECTS + SHAPES * 4)
    size = rng.choice(("", "", "", "small ", "large "))
    color = f"{rng.choice(COLORS)} " if rng.random() < 0.6 else ""
    return f"{size}{color}{noun}"


def _things(rng: random.Random) -> str:
    n = rng.randrange(2, 13)
    count = number_words(n) if rng.random() < 0.7 else str(n)
    color = f"{rng.choice(COLORS)} " if rng.random() < 0.5 else ""
    return f"{count} {color}{plural(rng.choice(OBJECTS + SHAPES * 4))}"


def generated_sentence(rng: random.Random, wordnet: WordNet) -> str:
    """One sentence as the app's users and its built-in model say it."""
    a, b, color, name, place = _thing(rng), _thing(rng), rng.choice(COLORS), rng.choice(NAMES), rng.choice(PLACES)
    noun, position, relation, seconds = rng.choice(OBJECTS), rng.choice(POSITIONS), rng.choice(RELATIONS), _number(rng)
    word, month, day, year = rng.choice(wordnet.common), rng.choice(MONTHS), rng.choice(DAYS), rng.randrange(1900, 2031)
    family = rng.randrange(4)
    if family == 0:  # answers about pictures and clips
        options = (
            f"It is {color}.", f"The {noun} is {color}.", f"There is {article(a)}.", f"There are {_things(rng)}.",
            f"I see {article(a)} and {article(b)}.", f"The {a} is {relation} the {b}.", f"It is {article(a)}.",
            f"The {a} is in the {position} of the picture.", f"I can see {_things(rng)} and {_things(rng)}.",
            f"The word says {word}.", f"It reads {word} {rng.choice(wordnet.common)}.", f"The {noun} {rng.choice(MOTIONS)}.",
            f"The {a} {rng.choice(MOTIONS)} after {seconds} seconds.", f"First the {a}, then the {b}.",
            f"The picture shows {article(a)} {relation} {article(b)}.", f"No, it is {article(a)}.", f"Yes, it is {color}.",
            f"The tallest bar is {word}, with a value of {_number(rng)}.", f"Yes, there are {_things(rng)}.",
        )  # fmt: skip
    elif family == 1:  # questions
        options = (
            f"What color is the {noun}?", f"How many {plural(noun)} are there?", f"Where is the {a}?",
            f"Is there {article(a)} in the picture?", f"What is {relation} the {b}?", f"Which one is larger, the {a} or the {b}?",
            f"When does the {noun} appear?", f"What did {name} say about the {noun}?", "What do you see in this picture?",
            f"Is the {noun} {color}?", f"Can you read the {rng.choice(('sign', 'word', 'text', 'label'))} on the {noun}?",
            f"What happens after {seconds} seconds?", f"Do you remember my {rng.choice(('name', 'favorite color', 'number'))}?",
            f"What is {_number(rng)} plus {_number(rng)}?", f"How do I {rng.choice(('load', 'open', 'save', 'find'))} the {word}?",
        )  # fmt: skip
    elif family == 2:  # talk
        options = (
            f"My name is {name}.", f"Your name is {name}, and you live in {place}.", f"I live in {place}.",
            f"My favorite color is {color}.", f"Your favorite number is {_number(rng)}.", f"Nice to meet you, {name}!",
            f"The meeting is on {day} at {_time(rng)}.", f"It is {_time(rng)}.", f"Please call {name} at {_time(rng)}.",
            f"{name} was born in {month} {year}.", f"The {noun} costs {_number(rng)} dollars.", f"Remember the number {_number(rng)}.",
            f"On {day}, {month} {rng.randrange(1, 29)}, {name} went to {place}.", f"{name} has {_things(rng)}.",
            f"{name} gave {rng.choice(NAMES)} {article(a)}.", f"You told me that your {noun} is {color}.",
            f"The train from {place} to {rng.choice(PLACES)} leaves at {_time(rng)}.", f"Wait {seconds} minutes.",
        )  # fmt: skip
    else:  # replies of the assistant, one to three sentences
        options = (
            f"Hello, {name}! I can see pictures, hear speech and talk with you.",
            f"That is beyond the built-in model. Load a larger model to ask about {plural(noun)}.",
            f"I am sorry, I do not know anything about {word}. You can load a bigger model for that.",
            f"I am Tandem, a small assistant that runs on your own computer. Ask me about the {noun}.",
            f"To load a larger model, start the app with the model option. Then ask me again about {word}.",
            f"In this picture there are {_things(rng)}. The largest one is {color}.",
            f"The clip shows {article(a)}. After {seconds} seconds it {rng.choice(MOTIONS)}.",
            f"I heard the word {word}. At that moment the picture showed {article(a)}.",
            f"You said that your name is {name}. You also told me that you like {plural(noun)}.",
            f"I cannot answer that. I can name colors, shapes and objects such as {article(noun)}.",
            f"Yes, I can see it. It is {article(a)}, and it is {relation} the {b}.",
            f"No, there is no {noun} in the picture. I see {article(a)} instead.",
        )  # fmt: skip
    return rng.choice(options)


def sentences(seed: int, split: Split, count: int, wordnet: Path = WORDNET) -> list[str]:
    """`count` plain ASCII English sentences of 1–25 words. The same arguments give the same list; a sentence of
    one split never occurs in the other (SHORT_ANSWERS occur in training only)."""
    source = read_wordnet(wordnet)
    rng = random.Random(f"{seed}-{split}")
    result: list[str] = []
    while len(result) < count:
        kind = rng.random()
        if kind < 0.02 and split == "train":
            result.append(rng.choice(SHORT_ANSWERS))
            continue
        if kind < 0.5:
            text = rng.choice(source.phrases)
        elif kind < 0.75:
            text = _word_list(rng, source)
        else:
            text = generated_sentence(rng, source)
        if text not in SHORT_ANSWERS and len(text.split()) <= MAX_WORDS and in_split(text, split):
            result.append(text)
    return result
