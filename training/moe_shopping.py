"""Word problems about money: prices, change, shares, tips, interest."""

from __future__ import annotations

from training.moe_wording import NAMES, Draw, Problem, plain

GOODS = tuple(
    "apples pens cakes tickets books sandwiches candles cups notebooks lemons pencils muffins bananas postcards plants toys balls socks "
    "hats shirts chairs lamps plates bottles magazines melons pizzas coffees bagels erasers batteries towels flowers roses balloons "
    "tomatoes donuts pies stickers stamps".split()
)


def shopping(d: Draw) -> Problem:
    p, form = d.name(), d.integer(0, 3)
    s, t = d.some(GOODS, 2)
    a, b = d.integer(2, 12), d.integer(2, 9)
    x, y = d.integer(1, 20), d.integer(1, 20)
    coins = d.coin[2]
    if form == 0:
        q = d.say("two_items", p=p, a=d.n(a), b=d.n(b), s=s, t=t, x=d.money(x), y=d.money(y))
        plan = f"{a} {s} at {x} cost {a} * {x}, {b} {t} at {y} cost {b} * {y}. Add them."
        return Problem("word problem", f"{a}*{x}+{b}*{y}", q, plan, f"print({a} * {x} + {b} * {y})", lambda r: f"The total is {r} {coins}.", f"is {a * x + b * y} ")  # fmt: skip
    if form == 1:
        paid = -(-(a * x) // 10) * 10 + d.rng.choice((0, 10, 20))
        q = d.say("change", p=p, a=d.n(a), s=s, x=d.money(x), m=d.money(paid))
        plan = f"{a} {s} at {x} cost {a} * {x}. Take that from {paid}."
        return Problem("word problem", f"{paid}-{a}*{x}", q, plan, f"print({paid} - {a} * {x})", lambda r: f"{r} {coins} are left.", f"{paid - a * x} ")  # fmt: skip
    if form == 2:
        n = d.integer(2, 12)
        q = d.say("proportion_price", p=p, a=d.n(a), s=s, c=d.money(a * x), n=d.n(n))
        plan = f"{a} cost {a * x}, so one costs {a * x} / {a}; {n} cost that times {n}."
        return Problem("word problem", f"{a * x}/{a}*{n}", q, plan, f"print({a * x} // {a} * {n})", lambda r: f"{n} {s} cost {r} {coins}.", f"cost {x * n} ")  # fmt: skip
    cents = d.integer(1, 40) * 5 + d.integer(0, 9) * 100
    price = f"{cents / 100:.2f}"
    q = d.say("price_times", p=p, a=d.n(a), s=s, c=d.money(price))
    code = f'from decimal import Decimal as D; print({a} * D("{price}"))'
    return Problem("word problem", f"{a}*{price}", q, f"{a} times {price}. Decimal keeps cents exact.", code, lambda r: f"{a} {s} cost {r} {coins}.", f"cost {a * cents / 100:.2f} ")  # fmt: skip


def ratio(d: Draw) -> Problem:
    a, b, k = d.integer(1, 9), d.integer(1, 9), d.integer(2, 30)
    p, o = d.some(NAMES, 2)
    total, coins = (a + b) * k, d.coin[2]
    q = d.say("ratio", p=p, o=o, a=a, b=b, t=d.money(total))
    plan = f"{p} has {a} parts and {o} {b}, in all {a} + {b} parts of {total}; {p} gets {total} * {a} / ({a} + {b})."
    code = f"print({total} * {a} // ({a} + {b}))"
    return Problem("word problem", f"{total}:{a}:{b}", q, plan, code, lambda r: f"{p} gets {r} {coins}.", f"{p} gets {a * k} ")  # fmt: skip


def bank_and_bill(d: Draw) -> Problem:
    """A bill with a tip that some people share, or simple interest."""
    p, coins = d.choose(("5", "10", "15", "20", "25", "2", "3", "4", "8", "12")), d.coin[2]
    mark = f"{d.n(int(p))} percent" if d.in_words else d.choose((f"{p}%", f"{p} percent"))
    if d.rng.random() < 0.5:
        n, bill = d.integer(2, 8), d.integer(2, 40) * 5
        q = d.say("tip_split", m=d.money(bill), p=mark, n=d.n(n))
        plan = f"{bill} plus {p} percent is {bill} times {100 + int(p)} divided by 100; divide that by {n}."
        code = f"print(round({bill} * {100 + int(p)} / 100 / {n}, 2))"
        value = plain(round(bill * (100 + int(p)) / 100 / n, 2))
        return Problem("word problem", f"tip{bill},{p},{n}", q, plan, code, lambda r: f"Each pays {r.removesuffix('.0')} {coins}.", f"pays {value} ")  # fmt: skip
    m, k = d.integer(1, 90) * 100, d.integer(2, 12)
    q = d.say("interest", m=d.money(m), p=mark, k=d.n(k))
    plan = f"A year brings {m} times {p} divided by 100; {k} years bring {k} times that."
    value = plain(m * int(p) * k / 100)
    return Problem("word problem", f"interest{m},{p},{k}", q, plan, f"print({m} * {p} / 100 * {k})", lambda r: f"The interest is {r.removesuffix('.0')} {coins}.", f"is {value} ")  # fmt: skip
