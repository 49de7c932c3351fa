"""Problems about speed, work, areas and chances."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from training.moe_wording import Draw, Problem, plain


def _in_miles(question: str, miles: bool) -> str:
    """The question with miles for kilometers, if so wanted."""
    if not miles:
        return question
    question = re.sub(r"\bkm/h\b", "mph", re.sub(r"\bkm per hour\b", "miles per hour", question))
    return re.sub(r"\bkilometers\b|\bkm\b", "miles", question)


def motion(d: Draw) -> Problem:
    v, h = d.integer(2, 130), d.integer(2, 12)
    who = d.choose(("train", "car", "bus", "cyclist", "ship", "plane", "runner", "truck", "boat", "van", "tram", "horse", "motorbike", "taxi", "ferry", "rocket", "bird", "dog", "tractor"))  # fmt: skip
    miles = d.rng.random() < 0.25
    way = "miles" if miles else "kilometers"
    form = d.integer(0, 2)
    if form == 0:
        q = _in_miles(d.say("distance", w=who, v=d.n(v), h=d.n(h)), miles)
        return Problem(
            "rates",
            f"{v}*{h}",
            q,
            f"The speed is {v}, the time {h}. Distance is speed times time: {v} * {h}.",
            f"print({v} * {h})",
            lambda r: f"The distance is {r} {way}.",
            f"is {v * h} ",
        )
    if form == 1:
        q = _in_miles(d.say("speed", w=who, s=d.n(v * h), h=d.n(h)), miles)
        return Problem(
            "rates",
            f"{v * h}/{h}",
            q,
            f"The distance is {v * h}, the time {h}. Speed is distance by time: {v * h} / {h}.",
            f"print({v * h} / {h})",
            lambda r: f"The speed is {r.removesuffix('.0')} {way} per hour.",
            f"is {v} ",
        )
    q = _in_miles(d.say("duration", w=who, s=d.n(v * h), v=d.n(v)), miles)
    return Problem(
        "rates",
        f"{v * h}:{v}",
        q,
        f"The distance is {v * h}, the speed {v}. Time is distance by speed: {v * h} / {v}.",
        f"print({v * h} / {v})",
        lambda r: f"It takes {r.removesuffix('.0')} hours.",
        f"takes {h} ",
    )


def work(d: Draw) -> Problem:
    form = d.integer(0, 2)
    a, b, k = d.integer(2, 12), d.integer(2, 12), d.integer(2, 40)
    what = d.choose(("workers", "machines", "painters", "pumps", "printers", "gardeners", "cooks", "people", "robots", "builders", "students", "trucks", "cleaners"))  # fmt: skip
    if form == 0:
        m = d.integer(2, 24)
        days = Fraction(a * b, m)
        q = d.say("workers", a=d.n(a), b=d.n(b), m=d.n(m), w=what)  # fmt: skip
        return Problem(
            "rates",
            f"{a}*{b}/{m}",
            q,
            f"{a} {what} need {b} days: the work is {a} times {b}. Divide it by {m} {what}.",
            f"print(round({a} * {b} / {m}, 2))",
            lambda r: f"{m} {what} need {r.removesuffix('.0')} days.",
            f"need {plain(round(a * b / m, 2))} " if days else "",
        )
    if form == 1:
        n = d.integer(2, 20)
        q = d.say("output_rate", k=d.n(k * a), a=d.n(a), n=d.n(n))  # fmt: skip
        return Problem(
            "rates",
            f"{k * a}/{a}*{n}",
            q,
            f"{k * a} in {a} minutes, per minute {k * a} / {a}, times {n}.",
            f"print({k * a} / {a} * {n})",
            lambda r: f"In {n} minutes it is {r.removesuffix('.0')}.",
            f"is {k * n}",
        )
    q = d.say("sum_and_difference",
              t=2 * k + b, m=b)  # fmt: skip
    return Problem(
        "word problem",
        f"({2 * k + b}-{b})/2",
        q,
        f"The sum is {2 * k + b}. Without the difference of {b}, both would be equal: ({2 * k + b} - {b}) / 2.",
        f"print(({2 * k + b} - {b}) // 2)",
        lambda r: f"The smaller one is {r}.",
        f"is {k}",
    )


def geometry(d: Draw) -> Problem:
    a, b, c = d.integer(2, 60), d.integer(2, 60), d.integer(2, 30)
    unit = d.choose(
        ("cm", "m", "meters", "centimeters", "inches", "feet", "yards", "miles", "km", "millimeters", "mm", "units")
    )
    form = d.integer(0, 6)
    if form == 0:
        q = d.say("rectangle_area", a=d.n(a), b=d.n(b), u=unit)  # fmt: skip
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
        q = d.say("rectangle_perimeter", a=d.n(a), b=d.n(b), u=unit)  # fmt: skip
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
            "circle_area",
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
            "circumference",
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
        q = d.say("box_volume",
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
        q = d.say("hypotenuse", a=d.n(a), b=d.n(b), u=unit)  # fmt: skip
        return Problem(
            "geometry",
            f"hyp{a},{b}",
            q,
            f"Pythagoras: the root of {a} ** 2 + {b} ** 2.",
            f"import math; print(round(math.hypot({a}, {b}), 2))",
            lambda r: f"It is {r.removesuffix('.0')} {unit} long.",
            f"is {plain(round(math.hypot(a, b), 2))} ",
        )
    q = d.say("triangle_area",
              a=d.n(a), b=d.n(b), u=unit)  # fmt: skip
    return Problem(
        "geometry",
        f"tri{a},{b}",
        q,
        f"Area of a triangle: {a} * {b} / 2.",
        f"print({a} * {b} / 2)",
        lambda r: f"The area is {r.removesuffix('.0')} square {unit}.",
        f"is {plain(a * b / 2)} ",
    )


def chance(d: Draw) -> Problem:
    form = d.integer(0, 5)
    a, b = d.integer(1, 12), d.integer(1, 12)
    if form == 0:
        x, y = d.some(("red", "blue", "green", "white", "black", "yellow"), 2)
        q = d.say("draw_ball", a=d.n(a), b=d.n(b), x=x, y=y)  # fmt: skip
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
            "choose",
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
            "arrangements",
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
    if form == 4:
        return _coins(d) if d.rng.random() < 0.5 else _one_die(d)
    s, n = d.integer(2, 12), 2
    q = d.say(
        "two_dice",
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


def _one_die(d: Draw) -> Problem:
    k = d.integer(1, 6)
    event, test = d.rng.choice((
        (f"a {d.n(k)}", f"x == {k}"), (f"at least {d.n(k)}", f"x >= {k}"), (f"at least a {d.n(k)}", f"x >= {k}"), (f"more than {d.n(k)}", f"x > {k}"), (f"at most {d.n(k)}", f"x <= {k}"),
        (f"less than {d.n(k)}", f"x < {k}"), ("an even number", "x % 2 == 0"), ("an odd number", "x % 2 == 1"), (f"a number greater than {d.n(k)}", f"x > {k}"),
        (f"no {d.n(k)}", f"x != {k}"), ("a prime number", "x in (2, 3, 5)"), (f"a number below {d.n(k)}", f"x < {k}"),
    ))  # fmt: skip
    right = sum(1 for x in range(1, 7) if eval(test, {"x": x}))
    code = f"from fractions import Fraction as F; print(F(sum({test} for x in range(1, 7)), 6))"
    plan = f"Count the faces x from 1 to 6 with {test}, and divide by 6."
    q = d.say("one_die", e=event)
    return Problem("chance", f"die{test}{d.integer(0, 30)}", q, plan, code, lambda r: f"The probability is {r}.", f"is {Fraction(right, 6)}.")  # fmt: skip


def _coins(d: Draw) -> Problem:
    n, side = d.integer(2, 6), d.choose(("heads", "tails"))
    k = d.integer(0, n)
    count = f"{d.n(k)} {side if k != 1 else side.rstrip('s')}" if k else f"no {side}"
    form = d.integer(0, 3)
    event, ways, test = (
        (f"exactly {count}", math.comb(n, k), f"k == {k}"),
        (d.choose((f"only {side}", f"all {side}", f"nothing but {side}")), 1, f"k == {n}"),
        (d.choose((f"at least one {side.rstrip('s')}", f"one {side.rstrip('s')} or more")), 2**n - 1, "k >= 1"),
        (f"at least {count}", sum(math.comb(n, i) for i in range(k, n + 1)), f"k >= {k}"),
    )[form]
    code = f"import math; from fractions import Fraction as F; print(F(sum(math.comb({n}, k) for k in range({n + 1}) if {test}), 2 ** {n}))"
    plan = f"With k {side} of {n} coins there are comb({n}, k) ways; {test} is asked for, of 2 ** {n} outcomes."
    q = d.say("coins", n=d.n(n), e=event)
    return Problem("chance", f"coins{n}{side}{test}", q, plan, code, lambda r: f"The probability is {r}.", f"is {Fraction(ways, 2**n)}.")  # fmt: skip
