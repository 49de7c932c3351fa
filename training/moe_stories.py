"""Word problems: things that change hands, prices, speeds, work, averages, ratios, ages, areas, chances."""

from __future__ import annotations

import math
from fractions import Fraction

from training.moe_wording import Draw, Problem


def _plain(value: float | Fraction) -> str:
    return str(float(value)).removesuffix(".0")


def having(d: Draw) -> Problem:
    """A number of things, changed one to three times."""
    p, o, t = d.name(), d.name(), d.thing()
    start = d.integer(8, 90)
    text = d.say(["{p} has {n} {t}.", "{p} starts with {n} {t}.", "There are {n} {t} in {p}'s box.", "{p} owns {n} {t}.", "In the morning {p} has {n} {t}.", "{p} collected {n} {t}.",
                  "{p} bought {n} {t}.", "A basket of {p} holds {n} {t}.", "At first {p} possesses {n} {t}."], p=p, n=d.n(start), t=t)  # fmt: skip
    expression, plan, value = str(start), [f"Start with {start}."], start
    for _ in range(d.integer(1, 3)):
        form = d.integer(0, 4)
        if form == 0:
            k = d.integer(1, 60)
            text += " " + d.say(["{p} gets {k} more.", "{o} gives {p} {k} more.", "Then {p} buys {k} more {t}.", "Later {p} finds {k} more.", "{p} receives another {k}.", "Then {k} more are added.",
                                 "{p} picks up {k} others.", "Afterwards {k} new ones come along."], p=p, o=o, k=d.n(k), t=t)  # fmt: skip
            expression, value = f"{expression} + {k}", value + k
            plan.append(f"{k} more: + {k}.")
        elif form == 1 and value > 3:
            k = d.integer(1, value - 1)
            text += " " + d.say(["{p} gives {k} to {o}.", "{p} loses {k}.", "Then {p} sells {k} of them.", "{o} takes {k} away.", "{k} of them break.", "{p} uses up {k}.", "Later {p} throws {k} away.",
                                 "Sadly {k} get lost.", "{p} hands {k} over to {o}."], p=p, o=o, k=d.n(k))  # fmt: skip
            expression, value = f"{expression} - {k}", value - k
            plan.append(f"{k} fewer: - {k}.")
        elif form == 2:
            m, k = d.integer(2, 9), d.integer(2, 12)
            text += " " + d.say(["{p} buys {m} boxes with {k} {t} each.", "Then {m} bags of {k} {t} each arrive.", "{o} brings {m} packs with {k} in each.", "{m} friends bring {k} {t} each.",
                                 "{p} adds {m} packets of {k}.", "Each of {m} neighbours gives {p} {k} more."], p=p, o=o, m=d.n(m), k=d.n(k), t=t)  # fmt: skip
            expression, value = f"{expression} + {m} * {k}", value + m * k
            plan.append(f"{m} times {k} more: + {m} * {k}.")
        elif form == 3:
            word, factor = d.rng.choice((("doubles", 2), ("triples", 3)))
            text += " " + d.say(
                [
                    "Then the number {w}.",
                    "Later {p}'s number of {t} {w}.",
                    "After a week the amount {w}.",
                    "Then {p} {w} the number of {t}.",
                    "Next, what {p} has {w}.",
                    "The count then {w}.",
                ],
                p=p,
                t=t,
                w=word,
            )
            expression, value = f"({expression}) * {factor}", value * factor
            plan.append(f"It {word}: * {factor}.")
        elif value % 2 == 0 and value > 2:
            text += " " + d.say(
                [
                    "{p} gives half of them to {o}.",
                    "Then half of them are sold.",
                    "Half of the {t} get lost.",
                    "{p} keeps only half.",
                    "{o} takes half of them.",
                    "One half is given away.",
                ],
                p=p,
                o=o,
                t=t,
            )
            expression, value = f"({expression}) // 2", value // 2
            plan.append("Half remains: // 2.")
    if expression == str(start):
        return having(d)
    q = text + " " + d.say(["How many {t} does {p} have now?", "How many {t} are there now?", "How many are left?", "How many {t} does {p} have in the end?", "What is the number of {t} now?", "How many {t} remain?",
                            "How many {t} is that in total?", "With how many {t} does {p} end up?", "Count the {t} at the end."], p=p, t=t)  # fmt: skip
    return Problem(
        "word problem",
        f"{expression}{t}",
        q,
        " ".join(plan) + f" Together: {expression}.",
        f"print({expression})",
        lambda r: f"{p} has {r} {t}.",
        f"has {value} ",
    )


def groups(d: Draw) -> Problem:
    """Equal groups and sharing."""
    p, t, a, b = d.name(), d.thing(), d.integer(2, 40), d.integer(2, 30)
    form = d.integer(0, 3)
    if form == 0:
        q = d.say(["There are {a} boxes with {b} {t} in each. How many {t} are there in total?", "{p} packs {a} bags with {b} {t} each. How many {t} is that?", "A shelf has {a} rows of {b} {t}. How many {t} are on it?",
                   "{p} buys {a} packs of {b} {t}. How many {t} does {p} have?", "Each of {a} children brings {b} {t}. How many {t} are there altogether?", "{a} shelves hold {b} {t} each. What is the total number of {t}?",
                   "If one crate holds {b} {t}, how many do {a} crates hold?", "{p} makes {b} {t} a day. How many in {a} days?", "Every week {p} sells {b} {t}. How many {t} are sold in {a} weeks?"],
                  a=d.n(a), b=d.n(b), t=t, p=p)  # fmt: skip
        return Problem(
            "word problem",
            f"{a}*{b}{t}",
            q,
            f"{a} groups of {b}: {a} * {b}.",
            f"print({a} * {b})",
            lambda r: f"There are {r} {t} in total.",
            f"are {a * b} ",
        )
    total = a * b + (d.integer(1, a - 1) if form == 3 else 0)
    if form == 3:
        q = d.say(["{n} {t} are shared equally by {a} children. How many are left over?", "{p} packs {n} {t} into boxes of {a}. How many {t} remain?", "{n} {t} are put into groups of {a}. How many are left over?",
                   "{p} divides {n} {t} evenly among {a} friends. What is left?", "With {n} {t} and {a} people, how many {t} are left after sharing fairly?", "Sharing {n} {t} equally among {a}, what remains?"], n=d.n(total), a=d.n(a), t=t, p=p)  # fmt: skip
        return Problem(
            "word problem",
            f"{total}%{a}{t}",
            q,
            f"What is left over is the remainder of {total} divided by {a}.",
            f"print({total} % {a})",
            lambda r: f"{r} {t} are left over.",
            f"{total % a} ",
        )
    q = d.say(["{n} {t} are shared equally by {a} children. How many does each get?", "{p} divides {n} {t} evenly among {a} friends. How many does each friend get?", "{n} {t} are packed into {a} boxes, equally many in each. How many are in one box?",
               "{p} puts {n} {t} into {a} equal piles. How many are in each pile?", "If {a} people share {n} {t} fairly, how many does each one receive?", "Split {n} {t} between {a} kids. How many per kid?",
               "{a} friends split {n} {t} equally. How many {t} for each?", "How many {t} does each of {a} pupils get out of {n}?"], n=d.n(total), a=d.n(a), t=t, p=p)  # fmt: skip
    return Problem(
        "word problem",
        f"{total}/{a}{t}",
        q,
        f"Share {total} by {a}: {total} // {a}.",
        f"print({total} // {a})",
        lambda r: f"Each gets {r} {t}.",
        f"{b} ",
    )


def shopping(d: Draw) -> Problem:
    p, form = d.name(), d.integer(0, 3)
    s, t = d.some(
        ("apples", "pens", "cakes", "tickets", "books", "sandwiches", "candles", "cups", "notebooks", "lemons"), 2
    )
    a, b = d.integer(2, 12), d.integer(2, 9)
    x, y = d.integer(1, 20), d.integer(1, 20)
    if form == 0:
        q = d.say(["{p} buys {a} {s} for {x} dollars each and {b} {t} for {y} dollars each. How much does {p} pay?", "A shop sells {s} at {x} dollars and {t} at {y} dollars. What do {a} {s} and {b} {t} cost?",
                   "How much are {a} {s} at {x} dollars each plus {b} {t} at {y} dollars each?", "{a} {s} cost {x} dollars apiece, and {b} {t} cost {y} dollars apiece. What is the total?",
                   "{p} wants {a} {s} and {b} {t}. One of the {s} costs {x} dollars, one of the {t} {y} dollars. How much money does {p} need?", "What is the bill for {a} {s} ({x} dollars each) and {b} {t} ({y} dollars each)?",
                   "If {s} are {x} dollars each and {t} are {y} dollars each, how much will {p} spend on {a} {s} and {b} {t}?"], p=p, a=d.n(a), b=d.n(b), s=s, t=t, x=d.n(x), y=d.n(y))  # fmt: skip
        return Problem(
            "word problem",
            f"{a}*{x}+{b}*{y}",
            q,
            f"{a} {s} cost {a} * {x}, {b} {t} cost {b} * {y}. Add them.",
            f"print({a} * {x} + {b} * {y})",
            lambda r: f"The total is {r} dollars.",
            f"is {a * x + b * y} ",
        )
    if form == 1:
        paid = -(-(a * x) // 10) * 10 + d.rng.choice((0, 10, 20))
        q = d.say(["{p} buys {a} {s} for {x} dollars each and pays with {m} dollars. How much change does {p} get?", "{a} {s} cost {x} dollars each. What is the change from {m} dollars?", "{p} has {m} dollars and buys {a} {s} at {x} dollars. How much money is left?",
                   "From {m} dollars, {p} spends {x} dollars on each of {a} {s}. What remains?", "How much change do I get from {m} dollars for {a} {s} at {x} dollars each?", "I pay {m} dollars for {a} {s} that cost {x} dollars each. What do I get back?",
                   "With {m} dollars in the pocket, {p} gets {a} {s} at {x} dollars each. How many dollars remain?"], p=p, a=d.n(a), s=s, x=d.n(x), m=d.n(paid))  # fmt: skip
        return Problem(
            "word problem",
            f"{paid}-{a}*{x}",
            q,
            f"The {s} cost {a} * {x}. Take that from {paid}.",
            f"print({paid} - {a} * {x})",
            lambda r: f"{r} dollars are left.",
            f"{paid - a * x} ",
        )
    if form == 2:
        n = d.integer(2, 12)
        q = d.say(["{a} {s} cost {c} dollars. How much do {n} {s} cost?", "If {a} {s} cost {c} dollars, what do {n} cost?", "{p} pays {c} dollars for {a} {s}. What would {n} {s} cost?", "When {a} {s} are {c} dollars, how much are {n} {s}?",
                   "You get {a} {s} for {c} dollars. What is the price of {n}?", "The price of {a} {s} is {c} dollars. Find the price of {n} {s}.", "For {c} dollars there are {a} {s}. How many dollars for {n} of them?"], p=p, a=d.n(a), s=s, c=d.n(a * x), n=d.n(n))  # fmt: skip
        return Problem(
            "word problem",
            f"{a * x}/{a}*{n}",
            q,
            f"One costs {a * x} / {a}; {n} cost that times {n}.",
            f"print({a * x} // {a} * {n})",
            lambda r: f"{n} {s} cost {r} dollars.",
            f"cost {x * n} ",
        )
    cents = d.integer(1, 40) * 5 + d.integer(0, 9) * 100
    price = f"{cents / 100:.2f}"
    q = d.say(["What do {a} {s} cost at {c} dollars each?", "One of the {s} costs {c} dollars. What do {a} cost?", "{p} buys {a} {s} at {c} dollars each. How much is that?", "How much are {a} {s} if each costs {c} dollars?",
               "{a} {s}, {c} dollars apiece: what is the total?", "A single one is {c} dollars. How much for {a} {s}?"], p=p, a=d.n(a), s=s, c=price)  # fmt: skip
    return Problem(
        "word problem",
        f"{a}*{price}",
        q,
        f"{a} times {price}. Decimal keeps cents exact.",
        f'from decimal import Decimal as D; print({a} * D("{price}"))',
        lambda r: f"{a} {s} cost {r} dollars.",
        f"cost {a * cents / 100:.2f} ",
    )


def motion(d: Draw) -> Problem:
    v, h = d.integer(2, 130), d.integer(2, 12)
    who = d.choose(("train", "car", "bus", "cyclist", "ship", "plane", "runner", "truck", "boat"))
    form = d.integer(0, 2)
    if form == 0:
        q = d.say(["A {w} travels at {v} kilometers per hour for {h} hours. How far does it go?", "How far does a {w} get in {h} hours at {v} km/h?", "A {w} moves at {v} km/h. What distance does it cover in {h} hours?",
                   "If a {w} goes {v} km every hour, how many km does it make in {h} hours?", "At {v} kilometers per hour, how far is a {w} after {h} hours?", "A {w} drives {h} hours at a speed of {v} km/h. How long is the way?",
                   "What distance is covered by a {w} at {v} km/h within {h} hours?"], w=who, v=d.n(v), h=d.n(h))  # fmt: skip
        return Problem(
            "rates",
            f"{v}*{h}",
            q,
            f"Distance is speed times time: {v} * {h}.",
            f"print({v} * {h})",
            lambda r: f"The distance is {r} kilometers.",
            f"is {v * h} ",
        )
    if form == 1:
        q = d.say(["A {w} covers {s} kilometers in {h} hours. What is its speed?", "How fast is a {w} that goes {s} km in {h} hours?", "A {w} needs {h} hours for {s} km. What is the average speed?", "What speed does a {w} have if it travels {s} km in {h} hours?",
                   "In {h} hours a {w} makes {s} kilometers. How many km per hour is that?", "Find the average speed of a {w}: {s} km in {h} hours."], w=who, s=d.n(v * h), h=d.n(h))  # fmt: skip
        return Problem(
            "rates",
            f"{v * h}/{h}",
            q,
            f"Speed is distance by time: {v * h} / {h}.",
            f"print({v * h} / {h})",
            lambda r: f"The speed is {r.removesuffix('.0')} kilometers per hour.",
            f"is {v} ",
        )
    q = d.say(["A {w} travels {s} kilometers at {v} km/h. How long does it take?", "How many hours does a {w} need for {s} km at {v} km/h?", "At {v} kilometers per hour, how long does a {w} take for {s} kilometers?", "A {w} goes {v} km per hour. When has it covered {s} km?",
               "How much time does it take a {w} to go {s} km at {v} km/h?", "With a speed of {v} km/h, what time does a {w} need for {s} km?"], w=who, s=d.n(v * h), v=d.n(v))  # fmt: skip
    return Problem(
        "rates",
        f"{v * h}:{v}",
        q,
        f"Time is distance by speed: {v * h} / {v}.",
        f"print({v * h} / {v})",
        lambda r: f"It takes {r.removesuffix('.0')} hours.",
        f"takes {h} ",
    )


def work(d: Draw) -> Problem:
    form = d.integer(0, 2)
    a, b, k = d.integer(2, 12), d.integer(2, 12), d.integer(2, 40)
    what = d.choose(("workers", "machines", "painters", "pumps", "printers"))
    if form == 0:
        m = d.integer(2, 24)
        days = Fraction(a * b, m)
        q = d.say(["{a} {w} need {b} days for a job. How many days do {m} {w} need?", "If {a} {w} finish in {b} days, how long do {m} {w} take?", "A job takes {a} {w} {b} days. How long does it take {m}?", "{a} {w} take {b} days. How many days for {m} {w} at the same pace?",
                   "It takes {b} days with {a} {w}. And with {m} {w}?", "How many days would {m} {w} need for what {a} {w} do in {b} days?"], a=d.n(a), b=d.n(b), m=d.n(m), w=what)  # fmt: skip
        return Problem(
            "rates",
            f"{a}*{b}/{m}",
            q,
            f"The work is {a} times {b}. Divide it by {m}.",
            f"print(round({a} * {b} / {m}, 2))",
            lambda r: f"{m} {what} need {r.removesuffix('.0')} days.",
            f"need {_plain(round(a * b / m, 2))} " if days else "",
        )
    if form == 1:
        n = d.integer(2, 20)
        q = d.say(["A machine makes {k} parts in {a} minutes. How many does it make in {n} minutes?", "{k} pages are printed in {a} minutes. How many in {n} minutes?", "In {a} minutes a press makes {k} parts. How many in {n} minutes?", "If {k} parts take {a} minutes, how many parts are made in {n} minutes?",
                   "A tap fills {k} buckets in {a} minutes. How many buckets in {n} minutes?", "At {k} pieces per {a} minutes, what comes out after {n} minutes?"], k=d.n(k * a), a=d.n(a), n=d.n(n))  # fmt: skip
        return Problem(
            "rates",
            f"{k * a}/{a}*{n}",
            q,
            f"Per minute {k * a} / {a}, times {n}.",
            f"print({k * a} / {a} * {n})",
            lambda r: f"In {n} minutes it is {r.removesuffix('.0')}.",
            f"is {k * n}",
        )
    q = d.say(["A bat and a ball cost {t} cents together. The bat costs {m} cents more than the ball. What does the ball cost?", "Two numbers add up to {t} and differ by {m}. What is the smaller one?", "The sum of two numbers is {t}, their difference is {m}. What is the smaller number?",
               "Together a pen and a cap cost {t} cents; the pen costs {m} cents more than the cap. How much is the cap?", "A rope of {t} cm is cut in two. One piece is {m} cm longer. How long is the shorter piece?", "Split {t} into two parts, one {m} larger than the other. How big is the smaller part?"],
              t=2 * k + b, m=b)  # fmt: skip
    return Problem(
        "word problem",
        f"({2 * k + b}-{b})/2",
        q,
        f"Without the difference of {b}, both would be equal: ({2 * k + b} - {b}) / 2.",
        f"print(({2 * k + b} - {b}) // 2)",
        lambda r: f"The smaller one is {r}.",
        f"is {k}",
    )


def statistics(d: Draw) -> Problem:
    values = [d.integer(1, 99) for _ in range(d.integer(3, 7))]
    listed = ", ".join(map(str, values))
    form = d.integer(0, 3)
    word, code, value = (
        (d.choose(("average", "mean")), f"from statistics import mean; print(round(mean([{listed}]), 2))", round(sum(values) / len(values), 2)),
        ("median", f"from statistics import median; print(median([{listed}]))", sorted(values)[len(values) // 2] if len(values) % 2 else sum(sorted(values)[len(values) // 2 - 1 : len(values) // 2 + 1]) / 2),
        (d.choose(("sum", "total")), f"print(sum([{listed}]))", sum(values)),
        ("range", f"print(max({listed}) - min({listed}))", max(values) - min(values)),
    )[form]  # fmt: skip
    q = d.say(["What is the {w} of {l}?", "Find the {w} of {l}.", "Calculate the {w}: {l}", "{w} of {l}", "My scores are {l}. What is the {w}?", "Compute the {w} of the numbers {l}.", "Give me the {w} of this list: {l}",
               "The temperatures were {l}. What is their {w}?", "For the data {l}, what is the {w}?", "I measured {l}. Tell me the {w}."], w=word, l=listed)  # fmt: skip
    return Problem(
        "statistics",
        f"{word}{listed}",
        q,
        f"The {word} of the numbers {listed}.",
        code,
        lambda r: f"The {word} is {r.removesuffix('.0')}.",
        f"is {_plain(value)}",
    )


def ratio(d: Draw) -> Problem:
    a, b, k = d.integer(1, 9), d.integer(1, 9), d.integer(2, 30)
    p, o = d.some(("Anna", "Ben", "Carla", "David", "Emma", "Felix", "Grace", "Hugo", "Ida", "Leo"), 2)
    total = (a + b) * k
    q = d.say(["{p} and {o} share {t} dollars in the ratio {a} to {b}. How much does {p} get?", "Divide {t} dollars between {p} and {o} in the ratio {a}:{b}. What is {p}'s part?", "{t} dollars are split {a} to {b} between {p} and {o}. How many dollars does {p} get?",
               "{p} and {o} divide {t} dollars {a}:{b}. How much is for {p}?", "If {p} and {o} share {t} dollars as {a} to {b}, what does {p} receive?", "In the ratio {a} to {b}, {p} and {o} split {t} dollars. Find the share of {p}."], p=p, o=o, a=a, b=b, t=d.n(total))  # fmt: skip
    return Problem(
        "word problem",
        f"{total}:{a}:{b}",
        q,
        f"There are {a} + {b} parts; {p} gets {a} of them: {total} * {a} / ({a} + {b}).",
        f"print({total} * {a} // ({a} + {b}))",
        lambda r: f"{p} gets {r} dollars.",
        f"{p} gets {a * k} ",
    )


def ages(d: Draw) -> Problem:
    p, o = d.some(("Anna", "Ben", "Carla", "David", "Emma", "Felix", "Grace", "Hugo", "Ida", "Leo", "Tom", "Lily"), 2)
    x, k, m = d.integer(4, 40), d.integer(2, 20), d.integer(2, 5)
    form = d.integer(0, 3)
    if form == 0:
        q = d.say(["{p} is {x} years old. {o} is {k} years older. How old is {o}?", "{o} is {k} years older than {p}, who is {x}. How old is {o}?", "{p} is {x}, and {o} is {k} years older. What is {o}'s age?", "If {p} is {x} and {o} is older by {k} years, how old is {o}?",
                   "How old is {o}, who is {k} years older than the {x} year old {p}?", "{p}'s age is {x}. {o} has {k} years more. What age is {o}?"], p=p, o=o, x=d.n(x), k=d.n(k))  # fmt: skip
        return Problem(
            "word problem",
            f"age{x}+{k}",
            q,
            f"{k} years older than {x}: {x} + {k}.",
            f"print({x} + {k})",
            lambda r: f"{o} is {r} years old.",
            f"is {x + k} ",
        )
    if form == 1:
        q = d.say(["{p} is {x} years old. {o} is {m} times as old. How old is {o}?", "{o} is {m} times as old as {p}, who is {x}. How old is {o}?", "{p} is {x}. How old is {o}, who is {m} times older?", "If {o} is {m} times as old as the {x} year old {p}, what is {o}'s age?",
                   "{p} is {x} and {o}'s age is {m} times that. How old is {o}?", "With {p} at {x}, {o} has {m} times the age. How old is {o}?"], p=p, o=o, x=d.n(x), m=d.n(m))  # fmt: skip
        return Problem(
            "word problem",
            f"age{x}*{m}",
            q,
            f"{m} times {x}.",
            f"print({x} * {m})",
            lambda r: f"{o} is {r} years old.",
            f"is {x * m} ",
        )
    if form == 2:
        q = d.say(["{p} is {x} years old. How old will {p} be in {k} years?", "In {k} years, how old is {p}, who is {x} now?", "{p} is {x} today. What age will {p} have in {k} years?", "How old will {p} be {k} years from now if {p} is {x}?", "{p} is now {x}. And {k} years later?",
                   "What will {p}'s age be after {k} years, starting from {x}?"], p=p, x=d.n(x), k=d.n(k))  # fmt: skip
        return Problem(
            "word problem",
            f"age{x}in{k}",
            q,
            f"{x} plus {k} years.",
            f"print({x} + {k})",
            lambda r: f"{p} will be {r} years old.",
            f"be {x + k} ",
        )
    total = x * (m + 1)
    q = d.say(["{o} is {m} times as old as {p}. Together they are {t} years old. How old is {p}?", "Together {p} and {o} are {t} years old, and {o} is {m} times as old as {p}. How old is {p}?", "The ages of {p} and {o} add up to {t}. {o} is {m} times as old. How old is {p}?",
               "{p} and {o} are {t} years old together. {o} has {m} times {p}'s age. What is {p}'s age?", "If {o} is {m} times as old as {p} and the sum of their ages is {t}, how old is {p}?", "Adding their ages gives {t}; {o} is {m} times as old as {p}. Find {p}'s age."],
              p=p, o=o, m=d.n(m), t=d.n(total))  # fmt: skip
    return Problem(
        "word problem",
        f"age{total}/{m}+1",
        q,
        f"Together they have {m} + 1 parts: {total} / ({m} + 1).",
        f"print({total} // ({m} + 1))",
        lambda r: f"{p} is {r} years old.",
        f"is {x} ",
    )


def geometry(d: Draw) -> Problem:
    a, b, c = d.integer(2, 60), d.integer(2, 60), d.integer(2, 30)
    unit = d.choose(("cm", "m", "meters", "centimeters", "inches", "feet"))
    form = d.integer(0, 6)
    if form == 0:
        q = d.say(["What is the area of a rectangle of {a} by {b} {u}?", "A rectangle is {a} {u} long and {b} {u} wide. What is its area?", "Find the area of a rectangle with sides {a} and {b} {u}.", "How big is a room of {a} times {b} {u}?", "Area of a {a} by {b} {u} rectangle?",
                   "A garden measures {a} {u} by {b} {u}. What area does it have?"], a=d.n(a), b=d.n(b), u=unit)  # fmt: skip
        return Problem(
            "geometry",
            f"rect{a},{b}",
            q,
            f"Area of a rectangle: {a} * {b}.",
            f"print({a} * {b})",
            lambda r: f"The area is {r} square {unit}.",
            f"is {a * b} ",
        )
    if form == 1:
        q = d.say(["What is the perimeter of a rectangle of {a} by {b} {u}?", "A rectangle is {a} {u} long and {b} {u} wide. What is its perimeter?", "Find the perimeter of a rectangle with sides {a} and {b} {u}.", "How long is a fence around a field of {a} by {b} {u}?", "Perimeter of a {a} by {b} {u} rectangle?",
                   "A garden measures {a} {u} by {b} {u}. How long is the way around it?"], a=d.n(a), b=d.n(b), u=unit)  # fmt: skip
        return Problem(
            "geometry",
            f"peri{a},{b}",
            q,
            f"Perimeter of a rectangle: 2 * ({a} + {b}).",
            f"print(2 * ({a} + {b}))",
            lambda r: f"The perimeter is {r} {unit}.",
            f"is {2 * (a + b)} ",
        )
    if form == 2:
        q = d.say(
            [
                "What is the area of a circle with radius {a} {u}?",
                "A circle has a radius of {a} {u}. What is its area?",
                "Find the area of a circle of radius {a} {u}.",
                "How large is a circle with a radius of {a} {u}?",
                "Area of a circle, radius {a} {u}?",
                "What area does a disc with radius {a} {u} have?",
            ],
            a=d.n(a),
            u=unit,
        )
        return Problem(
            "geometry",
            f"circle{a}",
            q,
            f"Area of a circle: pi * {a} ** 2.",
            f"import math; print(round(math.pi * {a} ** 2, 2))",
            lambda r: f"The area is about {r} square {unit}.",
            f"{round(math.pi * a**2, 2)} ",
        )
    if form == 3:
        q = d.say(
            [
                "What is the circumference of a circle with radius {a} {u}?",
                "A circle has a radius of {a} {u}. What is its circumference?",
                "How long is the edge of a circle with radius {a} {u}?",
                "Find the circumference for radius {a} {u}.",
                "Circumference of a circle, radius {a} {u}?",
                "How far is it around a circle of radius {a} {u}?",
            ],
            a=d.n(a),
            u=unit,
        )
        return Problem(
            "geometry",
            f"circum{a}",
            q,
            f"Circumference: 2 * pi * {a}.",
            f"import math; print(round(2 * math.pi * {a}, 2))",
            lambda r: f"The circumference is about {r} {unit}.",
            f"{round(2 * math.pi * a, 2)} ",
        )
    if form == 4:
        q = d.say(["What is the volume of a box of {a} by {b} by {c} {u}?", "A box is {a} {u} long, {b} {u} wide and {c} {u} high. What is its volume?", "Find the volume of a {a} x {b} x {c} {u} box.", "How much fits into a box with sides {a}, {b} and {c} {u}?", "Volume of a cuboid with edges {a}, {b}, {c} {u}?", "A tank measures {a} by {b} by {c} {u}. Which volume has it?"],
                  a=d.n(a), b=d.n(b), c=d.n(c), u=unit)  # fmt: skip
        return Problem(
            "geometry",
            f"box{a},{b},{c}",
            q,
            f"Volume of a box: {a} * {b} * {c}.",
            f"print({a} * {b} * {c})",
            lambda r: f"The volume is {r} cubic {unit}.",
            f"is {a * b * c} ",
        )
    if form == 5:
        q = d.say(["A right triangle has legs of {a} and {b} {u}. How long is the hypotenuse?", "What is the hypotenuse of a right triangle with legs {a} and {b} {u}?", "Find the hypotenuse for legs {a} {u} and {b} {u}.", "The legs of a right triangle are {a} and {b} {u}. What is the longest side?", "Hypotenuse for legs {a} and {b} {u}?",
                   "How long is the diagonal of a rectangle with sides {a} and {b} {u}?"], a=d.n(a), b=d.n(b), u=unit)  # fmt: skip
        return Problem(
            "geometry",
            f"hyp{a},{b}",
            q,
            f"Pythagoras: the root of {a} ** 2 + {b} ** 2.",
            f"import math; print(round(math.hypot({a}, {b}), 2))",
            lambda r: f"It is {r.removesuffix('.0')} {unit} long.",
            f"is {_plain(round(math.hypot(a, b), 2))} ",
        )
    q = d.say(["What is the area of a triangle with base {a} and height {b} {u}?", "A triangle has a base of {a} {u} and a height of {b} {u}. What is its area?", "Find the area of a triangle, base {a} {u}, height {b} {u}.", "How big is a triangle with base {a} {u} and height {b} {u}?", "Triangle area for base {a} and height {b} {u}?", "Which area has a triangle of base {a} {u} and height {b} {u}?"],
              a=d.n(a), b=d.n(b), u=unit)  # fmt: skip
    return Problem(
        "geometry",
        f"tri{a},{b}",
        q,
        f"Area of a triangle: {a} * {b} / 2.",
        f"print({a} * {b} / 2)",
        lambda r: f"The area is {r.removesuffix('.0')} square {unit}.",
        f"is {_plain(a * b / 2)} ",
    )


def chance(d: Draw) -> Problem:
    form = d.integer(0, 3)
    a, b = d.integer(1, 12), d.integer(1, 12)
    if form == 0:
        x, y = d.some(("red", "blue", "green", "white", "black", "yellow"), 2)
        q = d.say(["A bag has {a} {x} and {b} {y} balls. What is the probability of drawing a {x} one?", "There are {a} {x} and {b} {y} balls in a bag. How likely is a {x} ball?", "From {a} {x} and {b} {y} marbles one is drawn. What is the chance that it is {x}?", "What is the probability to pick a {x} ball from {a} {x} and {b} {y} balls?",
                   "An urn holds {a} {x} and {b} {y} balls. Find the probability of {x}.", "With {a} {x} and {b} {y} marbles in a jar, what are the odds as a fraction of getting {x}?"], a=d.n(a), b=d.n(b), x=x, y=y)  # fmt: skip
        return Problem(
            "chance",
            f"{a}/{a}+{b}",
            q,
            f"{a} of {a} + {b} balls are {x}.",
            f"from fractions import Fraction as F; print(F({a}, {a} + {b}))",
            lambda r: f"The probability is {r}.",
            f"is {Fraction(a, a + b)}.",
        )
    if form == 1:
        n, k = a + 4, min(b, a + 3)
        q = d.say(
            [
                "How many ways are there to choose {k} out of {n}?",
                "In how many ways can {k} people be chosen from {n}?",
                "How many groups of {k} can be made from {n} people?",
                "What is {n} choose {k}?",
                "How many combinations of {k} from {n} are there?",
                "From {n} players, how many teams of {k} are possible?",
            ],
            k=d.n(k),
            n=d.n(n),
        )
        return Problem(
            "chance",
            f"C{n},{k}",
            q,
            f"Choose {k} of {n}, without order.",
            f"import math; print(math.comb({n}, {k}))",
            lambda r: f"There are {r} ways.",
            f"are {math.comb(n, k)} ",
        )
    if form == 2:
        n = d.integer(3, 9)
        q = d.say(
            [
                "In how many ways can {n} books be arranged on a shelf?",
                "How many ways are there to order {n} people in a line?",
                "How many orders of {n} different cards are there?",
                "In how many ways can {n} children stand in a row?",
                "How many permutations do {n} things have?",
                "How many different queues can {n} people form?",
            ],
            n=d.n(n),
        )
        return Problem(
            "chance",
            f"P{n}",
            q,
            f"Orders of {n} things: {n} factorial.",
            f"import math; print(math.factorial({n}))",
            lambda r: f"There are {r} ways.",
            f"are {math.factorial(n)} ",
        )
    s, n = d.integer(2, 12), 2
    q = d.say(
        [
            "What is the probability that two dice add up to {s}?",
            "Two dice are rolled. What is the chance of a sum of {s}?",
            "How likely is a total of {s} with two dice?",
            "Find the probability of rolling {s} with two dice.",
            "With two dice, what is the probability of {s}?",
            "I throw {n} dice. What is the chance that they show {s} together?",
        ],
        s=d.n(s),
        n=n,
    )
    code = f"from fractions import Fraction as F; print(F(sum(a + b == {s} for a in range(1, 7) for b in range(1, 7)), 36))"
    return Problem(
        "chance",
        f"dice{s}",
        q,
        f"Count the pairs of 36 that add up to {s}.",
        code,
        lambda r: f"The probability is {r}.",
        f"is {Fraction(6 - abs(s - 7), 36)}.",
    )
