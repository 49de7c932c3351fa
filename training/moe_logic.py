"""Small logic puzzles: orders, syllogisms, heads and legs."""

from __future__ import annotations

from training.moe_wording import NAMES, Draw, Problem
from training.moe_words import SYLLABLES

RELATIONS = (
    ("taller", "shorter", "tallest", "shortest"),
    ("older", "younger", "oldest", "youngest"),
    ("faster", "slower", "fastest", "slowest"),
    ("heavier", "lighter", "heaviest", "lightest"),
    ("richer", "poorer", "richest", "poorest"),
    ("stronger", "weaker", "strongest", "weakest"),
    ("bigger", "smaller", "biggest", "smallest"),
    ("wealthier", "poorer", "wealthiest", "poorest"),
    ("quicker", "slower", "quickest", "slowest"),
    ("smarter", "sillier", "smartest", "silliest"),
    ("louder", "quieter", "loudest", "quietest"),
    ("busier", "lazier", "busiest", "laziest"),
    ("kinder", "meaner", "kindest", "meanest"),
    ("happier", "sadder", "happiest", "saddest"),
    ("larger", "smaller", "largest", "smallest"),
)


def _teller(d: Draw) -> Draw:
    """Who tells the facts: in the first run they had one wording only, which was trained."""
    return d.trained() if d.split == "first" else d


def _told(d: Draw, facts: list[str]) -> str:
    """Facts as sentences, or as one."""
    joint = d.choose((". ", ". ", ". ", "; ", ", and "))
    if joint == ", and ":
        return ", ".join(facts[:-1]) + joint + facts[-1] + "."
    return joint.join(facts) + "."


def chain(d: Draw) -> Problem:
    """Three to five people in an order, told in pieces."""
    more, less, most, least = d.rng.choice(RELATIONS)
    people = d.some(NAMES, d.integer(3, 5))
    facts, teller = [], _teller(d)
    for a, b in zip(people, people[1:]):
        facts.append(
            teller.say("more_than", a=a, b=b, m=more)
            if d.rng.random() < 0.6
            else teller.say("more_than", a=b, b=a, m=less)
        )
    d.rng.shuffle(facts)
    story = _told(d, facts)
    order = " > ".join(people)
    form = d.integer(0, 2)
    if form == 2:
        a, b = d.some(people, 2)
        yes = people.index(a) < people.index(b)
        q = (
            story
            + " "
            + d.say(
                "chain_pair",
                a=a,
                b=b,
                m=more,
            )
        )
        plan = f"Put them in order, the {most} first: {order}. {a} comes {'before' if yes else 'after'} {b}."
        gold = f"{'Yes' if yes else 'No'}, {a} is {more if yes else less} than {b}."
        return Problem("logic", f"{order}{a}{b}", q, plan, None, lambda r: gold, gold, plan)
    word, who = (most, people[0]) if form == 0 else (least, people[-1])
    q = (
        story
        + " "
        + d.say(
            "chain_extreme",
            w=word,
        )
    )
    plan = f"Put them in order, the {most} first: {order}. The {word} is {who}."
    return Problem(
        "logic", f"{order}{word}", q, plan, None, lambda r: f"{who} is the {word}.", f"{who} is the {word}", plan
    )


CLASSES = tuple(
    "bloops razzies lazzies wugs zorps flims grubs tinks morps dax fleps cats dogs birds roses flowers poets bakers robots boxes "
    "trees tables teachers singers rivers stones spoons horses snakes cakes drums kings ships towers clouds dancers painters".split()
)


def _class(d: Draw) -> str:
    """A class of things that nobody knows."""
    return "".join(d.choose(SYLLABLES) for _ in range(d.integer(2, 3))) + d.choose(("s", "ns", "ks", "rs", "lings"))


def syllogism(d: Draw) -> Problem:
    a, b, c = (_class(d), _class(d), _class(d)) if d.rng.random() < 0.4 else d.some(CLASSES, 3)
    who = d.name()
    form = d.integer(0, 5)
    if form == 0:
        story, question = (
            _told(d, [_teller(d).say("all_are", a=a, b=b), _teller(d).say("all_are", a=b, b=c)]),
            d.say("syllogism_all", a=a, c=c),
        )
        plan, gold = f"{a} are inside {b}, and {b} are inside {c}, so {a} are inside {c}.", f"Yes, all {a} are {c}."
    elif form == 1:
        story, question = (
            _told(d, [_teller(d).say("all_are", a=a, b=b), _teller(d).say("some_are", a=b, b=c)]),
            d.say("syllogism_all", a=a, c=c),
        )
        plan, gold = (
            f"Only some {b} are {c}, and the {a} may be among the others.",
            f"No, it does not follow that all {a} are {c}.",
        )
    elif form == 2:
        story, question = (
            _told(d, [_teller(d).say("all_are", a=a, b=b), _teller(d).say("none_are", a=b, b=c)]),
            d.say("syllogism_all", a=a, c=c),
        )
        plan, gold = f"{a} are inside {b}, and nothing in {b} is in {c}.", f"No, no {a} are {c}."
    elif form == 3:
        story, question = (
            _told(d, [_teller(d).say("all_are", a=a, b=c), _teller(d).say("member", w=who, a=a)]),
            d.say("syllogism_one", w=who, c=c),
        )
        plan, gold = f"{who} is inside {a}, which are inside {c}.", f"Yes, {who} is one of the {c}."
    elif form == 4:
        story, question = (
            _told(d, [_teller(d).say("all_are", a=a, b=c), _teller(d).say("no_member", w=who, a=a)]),
            d.say("syllogism_one", w=who, c=c),
        )
        plan, gold = (
            f"Things that are not {a} may still be {c}, so nothing follows.",
            f"No, we cannot know whether {who} is one of the {c}.",
        )
    else:
        story, question = (
            _told(d, [_teller(d).say("none_are", a=a, b=c), _teller(d).say("member", w=who, a=a)]),
            d.say("syllogism_one", w=who, c=c),
        )
        plan, gold = f"{who} is inside {a}, and nothing in {a} is in {c}.", f"No, {who} is not one of the {c}."
    return Problem("logic", f"{form}{a},{b},{c},{who}", f"{story} {question}", plan, None, lambda r: gold, gold, plan)


def heads_and_legs(d: Draw) -> Problem:
    x, y, a, b = d.rng.choice(
        (
            ("chickens", "rabbits", 2, 4),
            ("ducks", "cows", 2, 4),
            ("bicycles", "cars", 2, 4),
            ("tricycles", "cars", 3, 4),
            ("stools with three legs", "chairs with four legs", 3, 4),
        )
    )
    m, n = d.integer(1, 40), d.integer(1, 40)
    total, legs = m + n, a * m + b * n
    part = "wheels" if "cycles" in x else "legs"
    q = d.say("heads_and_legs", t=d.n(total), l=d.n(legs), x=x, y=y, p=part)  # fmt: skip
    q = q[0].upper() + q[1:]
    plan = f"{total} in all, {legs} {part}. If all {total} were {x}, there would be {a} * {total} {part}. Each of the {y} adds {b} - {a}: ({legs} - {a} * {total}) / ({b} - {a})."
    return Problem(
        "logic",
        f"{x}{total}{legs}",
        q,
        plan,
        f"print(({legs} - {a} * {total}) // ({b} - {a}))",
        lambda r: f"There are {r} {y}.",
        f"are {n} ",
    )
