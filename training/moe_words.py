"""Problems about letters and words."""

from __future__ import annotations

from training.moe_wording import Draw, Problem

WORDS = tuple(
    "strawberry banana mississippi elephant computer keyboard butterfly chocolate window mountain river garden holiday umbrella raspberry "
    "pineapple tomorrow yesterday language sentence paragraph mathematics science history geography orchestra melody rhythm hospital doctor "
    "engineer architect balloon tennis football basketball volleyball swimming committee possession accommodation bookkeeper successful "
    "necessary parallel millennium occurrence referee coffee teapot cabbage cucumber tomato potato onion carrot spinach lettuce avocado "
    "blueberry cranberry watermelon coconut cinnamon vanilla pepper mustard vinegar sugar butter cheese yogurt sandwich biscuit pancake "
    "waffle noodle dumpling kangaroo giraffe hippopotamus rhinoceros crocodile alligator penguin dolphin octopus spider ladybug dragonfly "
    "grasshopper squirrel hedgehog rabbit chicken turkey pigeon sparrow eagle falcon parrot peacock flamingo letter number answer question "
    "example problem solution program function variable network internet website password message telephone television radio camera picture "
    "painting sculpture museum library theater cinema restaurant kitchen bathroom bedroom ceiling staircase elevator building apartment "
    "neighborhood village city country continent ocean island desert forest jungle valley canyon volcano earthquake thunderstorm lightning "
    "rainbow snowflake sunshine moonlight assassin tattoo balloonist level radar civic noon racecar madam kayak rotor refer "
    "apple pear cherry grape melon peach plum mango olive almond walnut peanut honey coffee bread pasta salad soup pizza burger sausage "
    "house street bridge tower castle church school office station airport harbor market park farm beach hotel cellar attic chimney "
    "bicycle motorcycle airplane helicopter submarine railway tractor ambulance rocket engine wheel mirror hammer scissors needle "
    "teacher student president scientist musician carpenter gardener plumber firefighter policeman astronaut detective magician "
    "summer winter autumn spring january february monday wednesday saturday weekend midnight birthday christmas holiday vacation "
    "happy beautiful dangerous different difficult important interesting wonderful terrible comfortable expensive intelligent "
    "running jumping reading writing thinking beginning stopping planning forgetting remembering understanding international "
    "communication information education organization government responsibility opportunity environment temperature electricity "
    "mushroom raccoon bamboo zoo moon noodle igloo cocoon vacuum skiing bookcase goddess buzz fizz jazz pizzazz puppy kitten muffin "
    "pepperoni spaghetti zucchini broccoli cappuccino macchiato tiramisu pistachio hazelnut marzipan licorice lollipop".split()
)

SYLLABLES = "ba be bi bo bu da de di do ka ke ki la le li lo ma me mi mo na ne ni no pa pe pi ra re ri ro sa se si so ta te ti to va ve vi za ze ss ll tt nn rr".split()


def word_for_letters(d: Draw) -> str:
    if d.rng.random() < 0.5:
        return d.choose(WORDS)
    return "".join(d.choose(SYLLABLES) for _ in range(d.integer(2, 5)))


def _shown(d: Draw, w: str) -> str:
    """The word as it stands in this question."""
    dice = d.rng.random()
    return f'"{w}"' if dice < 0.12 else f"'{w}'" if dice < 0.18 else w.capitalize() if dice < 0.25 else w


def _letter(d: Draw, c: str) -> str:
    dice = d.rng.random()
    return f'"{c}"' if dice < 0.06 else f"'{c}'" if dice < 0.1 else c.upper() if dice < 0.2 else c


def letters(d: Draw) -> Problem:
    w, form = word_for_letters(d), d.integer(0, 7)
    shown = _shown(d, w)
    # Letters stand apart in the plan: the pieces of a word hide them.
    apart = " ".join(w)
    if form <= 2:
        c = d.choose(w) if d.rng.random() < 0.85 else d.choose("abcdefghijklmnoprstuvwy")
        q = d.say("count_letter", c=_letter(d, c), w=shown)  # fmt: skip
        n = w.count(c)
        marked = ", ".join(f"{x} {w[: i + 1].count(c)}" if x == c else x for i, x in enumerate(w))
        return Problem(
            "letters",
            f"{c}in{w}",
            q,
            f"Count the letter {c} in the word {w}.",
            f'print("{w}".count("{c}"))',
            lambda r: f"The letter {c} appears {r} time{'' if r == '1' else 's'} in {w}.",
            f"appears {n} ",
            f"Letter by letter: {marked}. That makes {n}.",
        )
    if form == 3:
        q = d.say(
            "length",
            w=shown,
        )
        return Problem(
            "letters",
            f"len{w}",
            q,
            f"The length of the word {w}.",
            f'print(len("{w}"))',
            lambda r: f"{w} has {r} letters.",
            f"has {len(w)} ",
            "Letter by letter: " + ", ".join(f"{x} {i + 1}" for i, x in enumerate(w)) + ".",
        )
    if form == 4:
        q = d.say(
            "reverse",
            w=shown,
        )
        return Problem(
            "letters",
            f"rev{w}",
            q,
            f"Reverse the word {w}.",
            f'print("{w}"[::-1])',
            lambda r: f"Backwards it is {r}.",
            f"is {w[::-1]}.",
            f"The letters are {apart}; from the end: {' '.join(reversed(w))}.",
        )
    if form == 5:
        n = sum(w.count(v) for v in "aeiou")
        q = d.say(
            "vowels",
            w=shown,
        )
        return Problem(
            "letters",
            f"vowels{w}",
            q,
            f"Count a, e, i, o and u in the word {w}.",
            f'print(sum(c in "aeiou" for c in "{w}"))',
            lambda r: f"{w} has {r} vowels.",
            f"has {n} ",
        )
    if form == 6:
        k = d.integer(1, len(w))
        place = d.choose(
            (
                f"letter number {k}",
                f"the {k}{'th' if 10 < k < 14 else {1: 'st', 2: 'nd', 3: 'rd'}.get(k % 10, 'th')} letter",
            )
        )
        q = d.say(
            "letter_at",
            p=place,
            w=shown,
        )
        return Problem(
            "letters",
            f"{k}of{w}",
            q,
            f"Letter number {k} of {w}; Python counts from 0.",
            f'print("{w}"[{k} - 1])',
            lambda r: f"Letter {k} of {w} is {r}.",
            f"is {w[k - 1]}.",
            "Letter by letter: " + ", ".join(f"{x} {i + 1}" for i, x in enumerate(w)) + ".",
        )
    if d.rng.random() < 0.5:
        w = w[: len(w) // 2 + 1] + w[: len(w) // 2 + 1][::-1][1:]
    yes = w == w[::-1]
    q = d.say(
        "palindrome",
        w=_shown(d, w),
    )
    return Problem(
        "letters",
        f"pal{w}",
        q,
        f"Compare {w} with its reverse.",
        f'print("{w}" == "{w}"[::-1])',
        lambda r: f"Yes, {w} is a palindrome." if r == "True" else f"No, {w} is not a palindrome.",
        "Yes" if yes else "No",
        f"{' '.join(w)} backwards is {' '.join(reversed(w))}: {'the same' if yes else 'not the same'}.",
    )


def word_lists(d: Draw) -> Problem:
    words = d.some(WORDS, d.integer(3, 6))
    form, listed = d.integer(0, 3), ", ".join(words)
    quoted = ", ".join(f'"{w}"' for w in words)
    if form == 0:
        q = d.say(
            "sort_words",
            l=d.listing(words),
        )
        return Problem(
            "letters",
            f"sort{listed}",
            q,
            f"Sort {listed}.",
            f"print(*sorted([{quoted}]), sep=', ')",
            lambda r: f"In order: {r}.",
            ", ".join(sorted(words)),
        )
    shown = d.listing(words)
    if form in (1, 3):
        if len({len(w) for w in words}) < len(words):
            return word_lists(d)
        if form == 3:
            q = d.say("shortest_word", l=shown)
            code = f"print(min([{quoted}], key=len))"
            return Problem("letters", f"short{listed}", q, f"The shortest of {listed}.", code, lambda r: f"The shortest word is {r}.", f"is {min(words, key=len)}.")  # fmt: skip
        q = d.say("longest_word", l=shown)
        return Problem(
            "letters",
            f"long{listed}",
            q,
            f"The longest of {listed}.",
            f"print(max([{quoted}], key=len))",
            lambda r: f"The longest word is {r}.",
            f"is {max(words, key=len)}.",
        )
    text = " ".join(d.some(WORDS, d.integer(3, 9)))
    q = d.say(
        "count_words",
        t=text,
    )
    return Problem(
        "letters",
        f"words{text}",
        q,
        "Split the text at its spaces and count.",
        f'print(len("{text}".split()))',
        lambda r: f"It has {r} words.",
        f"has {len(text.split())} ",
    )
