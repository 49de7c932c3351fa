"""Which number is larger, closest, first; percentages."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from training.moe_wording import Draw, Problem, plain

SHARES = ("5", "10", "15", "20", "25", "30", "40", "50", "60", "75", "80", "90")


def comparison(d: Draw) -> Problem:
    kind = d.integer(0, 5)
    if kind <= 3:
        whole = d.integer(0, 20)
        a, b = d.decimal(2), d.decimal(2)
        if d.rng.random() < 0.7:  # the same whole part, other lengths: where "9.11" looks larger than "9.8"
            a, b = f"{whole}.{a.split('.')[1]}", f"{whole}.{b.split('.')[1]}"
        if kind == 3:
            a, b = str(d.size(5)), str(d.size(5))
    else:
        a, b = f"{d.integer(1, 12)}/{d.integer(2, 15)}", f"{d.integer(1, 12)}/{d.integer(2, 15)}"
    x, y = Fraction(a), Fraction(b)
    if x == y:
        return comparison(d)
    larger = d.rng.random() < 0.7
    word = "larger" if larger else "smaller"
    q = d.say(word, a=d.v(a), b=d.v(b))
    first = (x > y) == larger
    gold = a if first else b
    call = "max" if larger else "min"
    if "/" in a:
        code = (
            f"from fractions import Fraction as F; print({call}(F({a.replace('/', ', ')}), F({b.replace('/', ', ')})))"
        )
        plan = f"Compare the fractions {a} and {b} exactly. The {word} one is asked for."
        return Problem("comparison", f"{word}{a},{b}", q, plan, f"from fractions import Fraction as F; print(F({a.replace('/', ', ')}) > F({b.replace('/', ', ')}))",
                       lambda r: f"{a if (r == 'True') == larger else b} is {word} than {b if (r == 'True') == larger else a}.", f"{gold} is {word}")  # fmt: skip
    code = f"print({call}({a}, {b}))"
    direct = ""
    plan = f"The {word} of {a} and {b} is asked for."
    if "." in a and "." in b:
        (p, s), (u, v) = a.split("."), b.split(".")
        n = max(len(s), len(v))
        direct = f"With equally many decimals: {p}.{s.ljust(n, '0')} and {u}.{v.ljust(n, '0')}. "
        direct += (
            f"The whole parts are {p} and {u}. "
            if p != u
            else f"The whole parts are equal; {s.ljust(n, '0')} against {v.ljust(n, '0')}. "
        )
        direct += f"So {gold} is {word}."
        if p == u:
            plan += f" With equally many decimals they are {p}.{s.ljust(n, '0')} and {u}.{v.ljust(n, '0')}."
    return Problem(
        "comparison",
        f"{word}{a},{b}",
        q,
        plan,
        code,
        lambda r: f"{r} is {word} than {b if r == a else a}.",
        f"{gold} is {word}",
        direct,
    )


def difference(d: Draw) -> Problem:
    """By how much one number is larger than another."""
    a, b = (d.decimal(2), d.decimal(2)) if d.rng.random() < 0.5 else (str(d.size(4)), str(d.size(4)))
    if Decimal(a) <= Decimal(b):
        return difference(d)
    q = d.say("how_much_larger", a=d.v(a), b=d.v(b))
    code = f'from decimal import Decimal as D; print(D("{a}") - D("{b}"))' if "." in a else f"print({a} - {b})"
    return Problem("comparison", f"diff{a},{b}", q, f"The difference is {a} minus {b}.", code, lambda r: f"The difference is {r}.", f"is {Decimal(a) - Decimal(b)}")  # fmt: skip


def closest(d: Draw) -> Problem:
    target, values = d.integer(2, 300), [d.integer(1, 300) for _ in range(d.integer(3, 5))]
    apart = sorted(abs(value - target) for value in values)
    if apart[0] == apart[1] or len(set(values)) < len(values):
        return closest(d)
    listed = ", ".join(map(str, values))
    q = d.say("closest", t=d.n(target), l=d.listing([d.n(value) for value in values]))
    plan = f"The number with the smallest distance to {target} among {listed}."
    code = f"print(min([{listed}], key=lambda x: abs(x - {target})))"
    nearest = min(values, key=lambda value: abs(value - target))
    return Problem("comparison", f"closest{target}:{listed}", q, plan, code, lambda r: f"The closest number is {r}.", f"is {nearest}")  # fmt: skip


def ordering(d: Draw) -> Problem:
    count = d.integer(3, 6)
    values = [d.decimal(2) if d.rng.random() < 0.4 else str(d.size(3)) for _ in range(count)]
    if len({float(v) for v in values}) < count:
        return ordering(d)
    listed, shown = ", ".join(values), d.listing([d.v(v) for v in values])
    form = d.integer(0, 3)
    if form < 2:
        word = "largest" if form == 0 else "smallest"
        q = d.say("extreme", w=d.form(f"{word}_word"), l=shown)  # fmt: skip
        call = "max" if form == 0 else "min"
        gold = str(max(values, key=float) if form == 0 else min(values, key=float))
        return Problem(
            "ordering",
            f"{word}{listed}",
            q,
            f"The numbers are {listed}. The {word} is asked for.",
            f"print({call}({listed}))",
            lambda r: f"The {word} number is {r}.",
            gold,
        )
    up = form == 2
    word = "from smallest to largest" if up else "from largest to smallest"
    q = d.say("sort", w=d.form("ascending" if up else "descending"), l=shown)
    gold = ", ".join(sorted(values, key=float, reverse=not up))
    code = f"print(*sorted([{listed}]{'' if up else ', reverse=True'}), sep=', ')"
    return Problem("ordering", f"{up}{listed}", q, f"Sort {listed} {word}.", code, lambda r: f"In order: {r}.", gold)


def percent(d: Draw) -> Problem:
    p, n = (
        d.choose((*SHARES, *[str(d.integer(1, 99))] * len(SHARES))),
        d.size(4),
    )
    form = d.integer(0, 4)
    mark = d.choose((f"{p}%", f"{p}%", f"{p} percent", f"{p} %"))
    if d.in_words:
        mark = f"{d.n(int(p))} percent"
    if form <= 1:
        value = Fraction(n * int(p), 100)
        q = d.say("percent_of", p=mark, n=d.n(n))  # fmt: skip
        return Problem(
            "percent",
            f"{p}%{n}",
            q,
            f"{p} percent of {n} is {n} times {p} divided by 100.",
            f"print({n} * {p} / 100)",
            lambda r: f"{p} percent of {n} is {r.removesuffix('.0')}.",
            plain(value),
        )
    if form == 2:
        b = d.choose(("20", "25", "40", "50", "80", "100", "200", "250", "400", "500"))
        a = d.integer(1, int(b))
        q = d.say("what_percent", a=d.n(a), b=d.v(b))  # fmt: skip
        return Problem(
            "percent",
            f"{a}of{b}%",
            q,
            f"{a} divided by {b}, times 100.",
            f"print({a} * 100 / {b})",
            lambda r: f"{a} is {r.removesuffix('.0')} percent of {b}.",
            plain(Fraction(a * 100, int(b))),
        )
    more = form == 3
    thing, cost = d.article(), d.integer(1, 60) * 10
    p = d.choose(("5", "10", "15", "20", "25", "30", "40", "50", "60", "70"))
    mark = f"{d.n(int(p))} percent" if d.in_words else d.choose((f"{p}%", f"{p} percent"))
    value = Fraction(cost * (100 + int(p) if more else 100 - int(p)), 100)
    if more:
        q = d.say("percent_more",
                  n=d.n(cost), p=mark, t=thing)  # fmt: skip
        plan = f"{p} percent more than {cost} means {cost} times {100 + int(p)} divided by 100."
        return Problem(
            "percent",
            f"{cost}+{p}%",
            q,
            plan,
            f"print({cost} * {100 + int(p)} / 100)",
            lambda r: f"After {p} percent more it is {r.removesuffix('.0')}.",
            plain(value),
        )
    q = d.say("percent_less",
              n=d.n(cost), p=mark, t=thing)  # fmt: skip
    plan = f"{p} percent less than {cost} means {cost} times {100 - int(p)} divided by 100."
    return Problem(
        "percent",
        f"{cost}-{p}%",
        q,
        plan,
        f"print({cost} * {100 - int(p)} / 100)",
        lambda r: f"After {p} percent off it is {r.removesuffix('.0')}.",
        plain(value),
    )


def percent_backwards(d: Draw) -> Problem:
    """The change from one value to another in percent, and the whole of which a part is known."""
    if d.rng.random() < 0.55:
        a, b = d.integer(1, 40) * d.rng.choice((5, 10, 20)), 0
        b = a + a * d.integer(-19, 30) * 5 // 100 if d.rng.random() < 0.7 else d.size(3)
        if a == b:
            return percent_backwards(d)
        q = d.say("percent_change", a=d.n(a), b=d.n(b))
        plan = f"From {a} to {b} it is {b} - {a}; divided by {a}, times 100."
        code = f"print(round(({b} - {a}) * 100 / {a}, 2))"
        value = plain(round((b - a) * 100 / a, 2))
        return Problem("percent", f"{a}to{b}%", q, plan, code, lambda r: f"It is a change of {r.removesuffix('.0')} percent.", f"of {value} percent")  # fmt: skip
    p, whole = int(d.choose(SHARES)), d.integer(1, 60) * 20
    a = whole * p // 100
    mark = f"{d.n(p)} percent" if d.in_words else d.choose((f"{p}%", f"{p} percent"))
    q = d.say("whole_from_percent", a=d.n(a), p=mark)
    plan = f"{a} is {p} percent; the whole is {a} times 100 divided by {p}."
    return Problem("percent", f"{a}is{p}%", q, plan, f"print({a} * 100 / {p})", lambda r: f"The whole is {r.removesuffix('.0')}.", f"is {plain(whole)}")  # fmt: skip
