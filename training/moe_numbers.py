"""Problems about numbers: equations, sequences, number facts, statistics."""

from __future__ import annotations

import math

from training.moe_wording import Draw, Problem, plain


def equation(d: Draw) -> Problem:
    v = d.choose("xxxyzn")
    a, x, b = d.integer(2, 20), d.integer(-20, 40), d.integer(1, 60)
    form = d.integer(0, 4)
    if form == 0:
        c = a * x + b
        shown, code, plan = (
            f"{a}{v} + {b} = {c}",
            f"({c} - {b}) / {a}",
            f"Subtract {b} and divide by {a}: {v} = ({c} - {b}) / {a}.",
        )
    elif form == 1:
        c = a * x - b
        shown, code, plan = (
            f"{a}{v} - {b} = {c}",
            f"({c} + {b}) / {a}",
            f"Add {b} and divide by {a}: {v} = ({c} + {b}) / {a}.",
        )
    elif form == 2:
        e = d.integer(1, a - 1)
        c = (a - e) * x + b
        shown = f"{a}{v} + {b} = {e}{v} + {c}" if c >= 0 else f"{a}{v} + {b} = {e}{v} - {-c}"
        code, plan = f"({c} - {b}) / ({a} - {e})", f"Bring {v} to one side: ({a} - {e}){v} = {c} - {b}."
    elif form == 3:
        x = a * d.integer(1, 20)
        c = x // a + b
        shown, code, plan = (
            f"{v}/{a} + {b} = {c}",
            f"({c} - {b}) * {a}",
            f"Subtract {b} and multiply by {a}: {v} = ({c} - {b}) * {a}.",
        )
    else:
        c = a * (x + b)
        shown, code, plan = (
            f"{a}({v} + {b}) = {c}",
            f"{c} / {a} - {b}",
            f"Divide by {a} and subtract {b}: {v} = {c} / {a} - {b}.",
        )
    if d.rng.random() < 0.15:
        shown = shown.replace(" ", "")
    q = d.say("equation", e=shown, v=v)  # fmt: skip
    return Problem(
        "equation",
        shown.replace(v, "x").replace(" ", ""),
        q,
        plan,
        f"print({code})",
        lambda r: f"{v} is {r.removesuffix('.0')}.",
        f"{v} is {x}",
    )


def think_of_a_number(d: Draw) -> Problem:
    """An equation told in words."""
    form, a, x, b = d.integer(0, 3), d.integer(2, 20), d.integer(1, 60), d.integer(1, 80)
    if form == 0:
        c, code, plan = x + b, f"{x + b} - {b}", f"The number plus {b} is {x + b}. Subtract {b}: {x + b} - {b}."
        q, key = d.say("think_plus", b=d.n(b), c=d.n(c), x=d.choose((" I get", ", I get", ", it is", " gives", " makes"))), f"?+{b}={c}"  # fmt: skip
    elif form == 1:
        c, code, plan = x * a, f"{x * a} // {a}", f"{a} times the number is {x * a}. Divide by {a}: {x * a} / {a}."
        q, key = d.say("think_times", a=d.n(a), c=d.n(c)), f"{a}*?={c}"
    else:
        more = form == 2 or a * x <= b
        c = a * x + b if more else a * x - b
        sign, back = ("plus", "-") if more else ("minus", "+")
        words = {"o": d.choose(("add", "plus")) if more else d.choose(("subtract", "take away")), "s": sign, "u": "added" if more else "subtracted"}  # fmt: skip
        q = d.say("think_both", a=d.n(a), b=d.n(b), c=d.n(c), **words)
        plan = f"{a} times the number {sign} {b} is {c}. So it is ({c} {back} {b}) / {a}."
        code, key = f"({c} {back} {b}) // {a}", f"{a}*?{'+' if more else '-'}{b}={c}"
    return Problem("equation", key, q, plan, f"print({code})", lambda r: f"The number is {r}.", f"is {x}")


def sequence(d: Draw) -> Problem:
    form, n = d.integer(0, 5), d.integer(4, 6)
    start, step = d.integer(1, 40), d.integer(2, 15)
    if form <= 1:
        step = step if form == 0 or d.rng.random() < 0.5 else -step
        start = start if step > 0 else start + 100
        terms = [start + step * i for i in range(n + 1)]
        plan = f"Each number is {abs(step)} {'more' if step > 0 else 'less'} than the one before: the difference is {step}."
        code = f"print({terms[-2]} + {step})" if step > 0 else f"print({terms[-2]} - {-step})"
    elif form == 2:
        start, step = d.integer(1, 6), d.integer(2, 5)
        terms = [start * step**i for i in range(n + 1)]
        plan, code = f"Each number is {step} times the one before.", f"print({terms[-2]} * {step})"
    elif form == 3:
        k = d.integer(1, 12)
        terms = [(k + i) ** 2 for i in range(n + 1)]
        plan, code = (
            f"These are the squares of {k}, {k + 1}, {k + 2} and so on. The next is the square of {k + n}.",
            f"print({k + n} ** 2)",
        )
    elif form == 4:
        terms = [d.integer(1, 9), d.integer(1, 12)]
        while len(terms) <= n:
            terms.append(terms[-1] + terms[-2])
        plan, code = "Each number is the sum of the two before it.", f"print({terms[-3]} + {terms[-2]})"
    else:
        terms, grow = [start], d.integer(1, 4)
        for i in range(n):
            terms.append(terms[-1] + grow * (i + 1))
        plan, code = (
            f"The differences grow by {grow} each time; the next difference is {grow * n}.",
            f"print({terms[-2]} + {grow * n})",
        )
    listed = ", ".join(map(str, terms[:-1]))
    differences = ", ".join(str(b - a) for a, b in zip(terms, terms[1:-1]))
    plan = f"The differences are {differences}. {plan}"
    q = d.say("sequence", l=", ".join(d.n(term).replace(",", "") for term in terms[:-1]))
    return Problem("sequence", listed, q, plan, code, lambda r: f"The next number is {r}.", str(terms[-1]))


def number_fact(d: Draw) -> Problem:
    form = d.integer(0, 12)
    n = d.integer(2, 400)
    if form == 0:
        prime = n > 1 and all(n % i for i in range(2, n))
        q = d.say(
            "prime",
            n=d.n(n),
        )
        code = f"print(all({n} % i for i in range(2, {n})))"
        return Problem("number fact", f"prime{n}", q, f"A prime has no divisor between 1 and itself. Test {n}.", code,
                       lambda r: f"Yes, {n} is a prime number." if r == "True" else f"No, {n} is not a prime number.", "Yes" if prime else "No")  # fmt: skip
    if form == 1:
        a, b = d.size(3) + 1, d.size(3) + 1
        q = d.say("gcd", a=d.n(a), b=d.n(b))  # fmt: skip
        return Problem("number fact", f"gcd{a},{b}", q, f"The greatest common divisor of {a} and {b}.", f"import math; print(math.gcd({a}, {b}))",
                       lambda r: f"The greatest common divisor of {a} and {b} is {r}.", f"is {math.gcd(a, b)}")  # fmt: skip
    if form == 2:
        a, b = d.integer(2, 60), d.integer(2, 60)
        q = d.say("lcm", a=d.n(a), b=d.n(b))  # fmt: skip
        return Problem("number fact", f"lcm{a},{b}", q, f"The least common multiple of {a} and {b}.", f"import math; print(math.lcm({a}, {b}))",
                       lambda r: f"The least common multiple of {a} and {b} is {r}.", f"is {math.lcm(a, b)}")  # fmt: skip
    if form in (3, 4):
        a, b = d.size(4) + 5, d.integer(2, 60)
        q = d.say("remainder", a=d.n(a), b=d.n(b))  # fmt: skip
        return Problem(
            "number fact",
            f"mod{a},{b}",
            q,
            f"The remainder of {a} divided by {b}.",
            f"print({a} % {b})",
            lambda r: f"The remainder is {r}.",
            str(a % b),
        )
    if form == 5:
        k = d.integer(2, 99)
        q = d.say(
            "root",
            n=d.n(k * k),
        )
        return Problem(
            "number fact",
            f"root{k}",
            q,
            f"The square root of {k * k}.",
            f"import math; print(math.isqrt({k * k}))",
            lambda r: f"The square root of {k * k} is {r}.",
            f"is {k}",
        )
    if form in (6, 7):
        a, e = d.integer(2, 30), d.integer(2, 6)
        power = (
            {2: "squared", 3: "cubed"}.get(e, f"to the power of {e}")
            if d.rng.random() < 0.6
            else f"to the power of {e}"
        )
        q = d.say(
            "power",
            a=a,
            e=e,
            p=power,
        )
        return Problem(
            "number fact",
            f"{a}**{e}",
            q,
            f"A power: {a} ** {e}.",
            f"print({a} ** {e})",
            lambda r: f"{a} {power} is {r}.",
            f"is {a**e}",
        )
    if form == 8:
        k = d.integer(3, 15)
        q = d.say(
            "factorial",
            k=k,
        )
        return Problem(
            "number fact",
            f"fact{k}",
            q,
            f"{k} factorial is 1 times 2 and so on up to {k}.",
            f"import math; print(math.factorial({k}))",
            lambda r: f"{k} factorial is {r}.",
            f"is {math.factorial(k)}",
        )
    if form == 9:
        q = d.say(
            "factors",
            n=d.n(n),
        )
        factors, m, p = [], n, 2
        while m > 1:
            while m % p == 0:
                factors.append(p)
                m //= p
            p += 1
        code = f"n, p, f = {n}, 2, []\nwhile n > 1:\n    while n % p == 0:\n        f.append(p)\n        n //= p\n    p += 1\nprint(*f, sep=' × ')"
        return Problem(
            "number fact",
            f"factor{n}",
            q,
            f"Factor {n} into primes.",
            code,
            lambda r: f"The prime factors of {n} are {r}.",
            " × ".join(map(str, factors)),
        )
    if form == 10:
        q = d.say(
            "divisors",
            n=d.n(n),
        )
        divisors = ", ".join(str(i) for i in range(1, n + 1) if n % i == 0)
        return Problem(
            "number fact",
            f"divisors{n}",
            q,
            f"Test every number from 1 to {n}.",
            f"print(*[i for i in range(1, {n + 1}) if {n} % i == 0], sep=', ')",
            lambda r: f"The divisors of {n} are {r}.",
            divisors,
        )
    a, b = sorted((d.size(3), d.size(3) + 3))
    if form == 11:
        q = d.say("sum_range", a=d.n(a), b=d.n(b))  # fmt: skip
        return Problem(
            "number fact",
            f"sum{a}..{b}",
            q,
            f"Add the numbers from {a} to {b}.",
            f"print(sum(range({a}, {b + 1})))",
            lambda r: f"The sum from {a} to {b} is {r}.",
            f"is {sum(range(a, b + 1))}",
        )
    even = n % 2 == 0
    n = n * 37 + d.integer(0, 1)
    even = n % 2 == 0
    q = d.say(
        "even",
        n=d.n(n),
    )
    return Problem("number fact", f"even{n}", q, f"The remainder of {n} divided by 2 tells.", f"print({n} % 2)", lambda r: f"{n} is {'even' if r == '0' else 'odd'}.", "even" if even else "odd",
                   f"The last digit of {n} is {n % 10}, which is {'even' if even else 'odd'}.")  # fmt: skip


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
    q = d.say("statistics", w=word, l=d.listing([d.n(value) for value in values]))  # fmt: skip
    return Problem(
        "statistics",
        f"{word}{listed}",
        q,
        f"The {word} of the numbers {listed}.",
        code,
        lambda r: f"The {word} is {r.removesuffix('.0')}.",
        f"is {plain(value)}",
    )
