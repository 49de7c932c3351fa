"""Arithmetic with whole numbers, decimals and fractions."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from training.moe_wording import Draw, Problem

# The section of wordings, the word in an answer, the name.
OPERATIONS = {
    "+": ("plus", "plus", "addition"),
    "-": ("minus", "minus", "subtraction"),
    "*": ("times", "times", "multiplication"),
    "/": ("divided", "divided by", "division"),
}


def arithmetic(d: Draw) -> Problem:
    sign = d.choose("++--**/")
    section, word, noun = OPERATIONS[sign]
    if d.rng.random() < 0.3:
        return _decimals(d, sign)
    digits = 5 if sign in "+-" else 4
    a, b = d.size(digits), d.size(digits if sign in "+-" else 3)
    if sign == "/" and d.rng.random() < 0.75:
        a = a * b
    q = d.say(section, a=d.n(a), b=d.n(b))
    if sign == "/":
        exact = a % b == 0
        code = f"print({a} // {b})" if exact else f"print(round({a} / {b}, 4))"
        gold = str(a // b) if exact else str(round(a / b, 4))
        plan = f"This is a division: {a} divided by {b}. Let me compute it."
        return Problem(
            "arithmetic",
            f"{a}/{b}",
            q,
            plan,
            code,
            lambda r: f"{a} divided by {b} is {'' if exact else 'about '}{r}.",
            gold,
        )
    value = {"+": a + b, "-": a - b, "*": a * b}[sign]
    plan = f"This is {'an' if sign == '+' else 'a'} {noun}: {a} {word} {b}. Let me compute it."
    direct = ""
    if sign in "+-" and max(a, b) < 10_000 and value >= 0:
        direct = columns(a, b, sign)
    elif sign == "*" and min(a, b) < 10 and max(a, b) < 1000:
        direct = partial_products(max(a, b), min(a, b))
    return Problem(
        "arithmetic",
        f"{a}{sign}{b}",
        q,
        plan,
        f"print({a} {sign} {b})",
        lambda r: f"{a} {word} {b} is {r}.",
        str(value),
        direct,
    )


def columns(a: int, b: int, sign: str) -> str:
    """Addition or subtraction digit by digit, from the ones on."""
    lines, carry, digits = [], 0, ""
    for i in range(max(len(str(a)), len(str(b)))):
        x, y = a // 10**i % 10, b // 10**i % 10
        if sign == "+":
            total = x + y + carry
            lines.append(f"{x} + {y}" + (" + 1" if carry else "") + f" = {total}")
            carry, digit = total // 10, total % 10
        else:
            total = x - y - carry
            lines.append(
                f"{x} - {y}"
                + (" - 1" if carry else "")
                + f" = {total}"
                + (f", borrow: {total + 10}" if total < 0 else "")
            )
            carry, digit = int(total < 0), total % 10
        digits = f"{digit}{digits}"
        lines[-1] += f", write {digit}"
    if carry:
        digits = f"1{digits}"
        lines.append("carry 1 in front")
    return (
        f"{a} {sign} {b}, from the ones on. "
        + "; ".join(lines)
        + f". The digits are {digits}, so the result is {int(digits)}."
    )


def partial_products(a: int, b: int) -> str:
    parts = [(int(c) * 10**i) for i, c in enumerate(reversed(str(a))) if c != "0"][::-1]
    total, steps = 0, []
    for part in parts:
        steps.append(f"{part} * {b} = {part * b}" + (f", {total} + {part * b} = {total + part * b}" if total else ""))
        total += part * b
    return f"Split {a}. " + "; ".join(steps) + f". The result is {total}."


def _decimals(d: Draw, sign: str) -> Problem:
    section, word, _ = OPERATIONS[sign]
    a, b = d.decimal(), d.decimal()
    if d.rng.random() < 0.3:
        b = str(d.integer(2, 99))
    q = d.say(section, a=d.v(a), b=d.v(b))
    plan = f"These are decimals: {a} {word} {b}. Decimal keeps them exact."
    head = "from decimal import Decimal as D; "
    x, y = Decimal(a), Decimal(b)
    if sign == "/":
        gold = f"{round(x / y, 4).normalize():f}"
        return Problem("decimals", f"{a}/{b}", q, plan, f"{head}print(f\"{{round(D('{a}') / D('{b}'), 4).normalize():f}}\")",
                       lambda r: f"{a} divided by {b} is about {r}.", gold)  # fmt: skip
    value = {"+": x + y, "-": x - y, "*": x * y}[sign]
    return Problem(
        "decimals",
        f"{a}{sign}{b}",
        q,
        plan,
        f'{head}print(D("{a}") {sign} D("{b}"))',
        lambda r: f"{a} {word} {b} is {r}.",
        str(value),
    )


def expression(d: Draw) -> Problem:
    """Two to four operations with brackets and powers."""
    count = d.integer(3, 5)
    numbers = [str(d.size(2)) for _ in range(count)]
    signs = [d.choose("++-**") for _ in range(count - 1)]
    if d.rng.random() < 0.6:
        at = d.integer(0, count - 2)
        numbers[at], numbers[at + 1] = f"({numbers[at]}", f"{numbers[at + 1]})"
    if d.rng.random() < 0.15:
        numbers[-1] += " ** 2"
    tight = "".join(n + (f" {s} " if s else "") for n, s in zip(numbers, [*signs, ""]))
    shown = tight.replace(" ** 2", d.choose(("²", "^2", " squared")))
    shown = shown.replace("*", d.choose(("*", "×", "x")))
    if d.rng.random() < 0.3:
        shown = shown.replace(" ", "") if "squared" not in shown else shown
    q = d.say("expression", e=shown)  # fmt: skip
    gold = str(eval(tight))
    return Problem("expression", tight, q, f"The expression is {tight}. Python follows the order of operations.", f"print({tight})",
                   lambda r: f"The result is {r}.", gold)  # fmt: skip


def fractions(d: Draw) -> Problem:
    b, e = d.integer(2, 20), d.integer(2, 20)
    a, c = d.integer(1, b), d.integer(1, e)
    sign, word = d.rng.choice((("+", "plus"), ("-", "minus"), ("*", "times"), ("/", "divided by")))
    x, y = f"{a}/{b}", f"{c}/{e}"
    q = d.say("fractions", x=d.v(x), y=d.v(y), w=word, s=sign)  # fmt: skip
    value = {
        "+": Fraction(a, b) + Fraction(c, e),
        "-": Fraction(a, b) - Fraction(c, e),
        "*": Fraction(a, b) * Fraction(c, e),
        "/": Fraction(a, b) / Fraction(c, e),
    }[sign]
    code = f"from fractions import Fraction as F; print(F({a}, {b}) {sign} F({c}, {e}))"
    return Problem(
        "fractions",
        f"{x}{sign}{y}",
        q,
        f"Fractions stay exact in Python: {x} {word} {y}.",
        code,
        lambda r: f"{x} {word} {y} is {r}.",
        str(value),
    )


def fraction_facts(d: Draw) -> Problem:
    b = d.integer(2, 40)
    a = d.integer(1, b * 2)
    form = d.integer(0, 2)
    if form == 0:
        k = d.integer(2, 12)
        x = f"{a * k}/{b * k}"
        q = d.say("simplify", x=x)  # fmt: skip
        return Problem("fractions", f"simplify{x}", q, f"Python's Fraction reduces {x}.", f"from fractions import Fraction as F; print(F({a * k}, {b * k}))",
                       lambda r: f"{x} in lowest terms is {r}.", str(Fraction(a, b)))  # fmt: skip
    if form == 1:
        x = f"{a}/{b}"
        q = d.say("as_decimal", x=x)  # fmt: skip
        return Problem(
            "fractions",
            f"decimal{x}",
            q,
            f"Divide {a} by {b}.",
            f"print(round({a} / {b}, 4))",
            lambda r: f"{x} is about {r}.",
            str(round(a / b, 4)),
        )
    n = b * d.integer(1, 40)
    a = d.integer(1, b - 1)
    x = f"{a}/{b}"
    q = d.say("fraction_of", x=d.v(x), n=d.n(n))  # fmt: skip
    return Problem(
        "fractions",
        f"{x}of{n}",
        q,
        f"{x} of {n} is {n} times {a} divided by {b}.",
        f"print({n} * {a} // {b})",
        lambda r: f"{x} of {n} is {r}.",
        str(n * a // b),
    )
