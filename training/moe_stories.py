"""Word problems: things that change hands, equal groups, sums and differences, ages."""

from __future__ import annotations

from training.moe_wording import NAMES, Draw, Problem


def having(d: Draw) -> Problem:
    """A number of things, changed one to three times."""
    p, o, t = d.name(), d.name(), d.thing()
    start = d.integer(8, 90)
    text = d.say("start", p=p, n=d.n(start), t=t)  # fmt: skip
    expression, plan, value = str(start), [f"Start with {start}."], start
    for _ in range(d.integer(1, 3)):
        form = d.integer(0, 4)
        if form == 0:
            k = d.integer(1, 60)
            text += " " + d.say("gain", p=p, o=o, k=d.n(k), t=t)  # fmt: skip
            expression, value = f"{expression} + {k}", value + k
            plan.append(f"{k} more: + {k}.")
        elif form == 1 and value > 3:
            k = d.integer(1, value - 1)
            text += " " + d.say("loss", p=p, o=o, k=d.n(k), t=t)  # fmt: skip
            expression, value = f"{expression} - {k}", value - k
            plan.append(f"{k} fewer: - {k}.")
        elif form == 2:
            m, k = d.integer(2, 9), d.integer(2, 12)
            text += " " + d.say("packs", p=p, o=o, m=d.n(m), k=d.n(k), t=t)  # fmt: skip
            expression, value = f"{expression} + {m} * {k}", value + m * k
            plan.append(f"{m} times {k} more: + {m} * {k}.")
        elif form == 3:
            word, factor = d.rng.choice((("doubles", 2), ("triples", 3)))
            text += " " + d.say(
                "multiplied",
                p=p,
                o=o,
                t=t,
                w=word,
            )
            expression, value = f"({expression}) * {factor}", value * factor
            plan.append(f"It {word}: * {factor}.")
        elif value % 2 == 0 and value > 2:
            text += " " + d.say(
                "halved",
                p=p,
                o=o,
                t=t,
            )
            expression, value = f"({expression}) // 2", value // 2
            plan.append("Half remains: // 2.")
    if expression == str(start):
        return having(d)
    q = text + " " + d.say("how_many_now", p=p, t=t)  # fmt: skip
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
        q = d.say("groups_total",
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
        q = d.say("left_over", n=d.n(total), a=d.n(a), t=t, p=p)  # fmt: skip
        return Problem(
            "word problem",
            f"{total}%{a}{t}",
            q,
            f"What is left over is the remainder of {total} divided by {a}.",
            f"print({total} % {a})",
            lambda r: f"{r} {t} are left over.",
            f"{total % a} ",
        )
    q = d.say("each_gets", n=d.n(total), a=d.n(a), t=t, p=p)  # fmt: skip
    return Problem(
        "word problem",
        f"{total}/{a}{t}",
        q,
        f"Share {total} by {a}: {total} // {a}.",
        f"print({total} // {a})",
        lambda r: f"Each gets {r} {t}.",
        f"{b} ",
    )


def ages(d: Draw) -> Problem:
    p, o = d.some(NAMES, 2)
    x, k, m = d.integer(4, 40), d.integer(2, 20), d.integer(2, 5)
    form = d.integer(0, 4)
    if form == 0:
        q = d.say("older_by", p=p, o=o, x=d.n(x), k=d.n(k))  # fmt: skip
        return Problem(
            "word problem",
            f"age{x}+{k}",
            q,
            f"{p} is {x}; {o} is {k} years older: {x} + {k}.",
            f"print({x} + {k})",
            lambda r: f"{o} is {r} years old.",
            f"is {x + k} ",
        )
    if form == 1:
        q = d.say("times_as_old", p=p, o=o, x=d.n(x), m=d.n(m))  # fmt: skip
        return Problem(
            "word problem",
            f"age{x}*{m}",
            q,
            f"{p} is {x}; {o} is {m} times that: {x} * {m}.",
            f"print({x} * {m})",
            lambda r: f"{o} is {r} years old.",
            f"is {x * m} ",
        )
    if form == 2:
        q = d.say("age_in", p=p, x=d.n(x), k=d.n(k))  # fmt: skip
        return Problem(
            "word problem",
            f"age{x}in{k}",
            q,
            f"{p} is {x} now; in {k} years {x} + {k}.",
            f"print({x} + {k})",
            lambda r: f"{p} will be {r} years old.",
            f"be {x + k} ",
        )
    if form == 4:
        x += k
        q = d.say("age_ago", p=p, x=d.n(x), k=d.n(k))
        return Problem("word problem", f"age{x}-{k}", q, f"{p} is {x} now; {k} years ago {x} - {k}.", f"print({x} - {k})", lambda r: f"{p} was {r} years old.", f"was {x - k} ")  # fmt: skip
    total = x * (m + 1)
    q = d.say("ages_together",
              p=p, o=o, m=d.n(m), t=d.n(total))  # fmt: skip
    return Problem(
        "word problem",
        f"age{total}/{m}+1",
        q,
        f"{p} has 1 part and {o} {m}, together {m} + 1 parts of {total}: {total} / ({m} + 1).",
        f"print({total} // ({m} + 1))",
        lambda r: f"{p} is {r} years old.",
        f"is {x} ",
    )
