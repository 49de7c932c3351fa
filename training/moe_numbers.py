"""Problems about numbers: arithmetic, fractions, comparisons, percentages, equations, sequences, number facts."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

from training.moe_wording import Draw, Problem

OPERATIONS = {
    "+": (
        ["What is {a} plus {b}?", "{a} + {b} = ?", "Calculate {a} + {b}.", "Add {a} and {b}.", "What is the sum of {a} and {b}?", "How much is {a} plus {b}?",
         "{a}+{b}", "Compute {a} + {b}", "What do you get when you add {a} to {b}?", "If I add {b} to {a}, what do I get?", "Work out {a} plus {b}.",
         "Could you add up {a} and {b} for me?", "What's {a} + {b}?", "What does {a} and {b} make together?", "Find the total of {a} and {b}."],
        "plus", "addition"),
    "-": (
        ["What is {a} minus {b}?", "{a} - {b} = ?", "Calculate {a} - {b}.", "Subtract {b} from {a}.", "What is the difference between {a} and {b}?",
         "How much is {a} minus {b}?", "{a}-{b}", "Compute {a} - {b}", "Take {b} away from {a}.", "If I take {b} from {a}, how much is left?",
         "Work out {a} minus {b}.", "What's {a} - {b}?", "What remains of {a} after subtracting {b}?", "How much is left when {b} is taken off {a}?"],
        "minus", "subtraction"),
    "*": (
        ["What is {a} times {b}?", "{a} * {b} = ?", "Calculate {a} × {b}.", "Multiply {a} by {b}.", "What is the product of {a} and {b}?",
         "How much is {a} times {b}?", "{a}*{b}", "Compute {a} x {b}", "{a} multiplied by {b} is what?", "What do you get if you multiply {a} and {b}?",
         "Work out {a} times {b}.", "What's {a} × {b}?", "Find {a} multiplied by {b}.", "Give me the product of {a} and {b}."],
        "times", "multiplication"),
    "/": (
        ["What is {a} divided by {b}?", "{a} / {b} = ?", "Calculate {a} ÷ {b}.", "Divide {a} by {b}.", "What is the quotient of {a} and {b}?",
         "How much is {a} divided by {b}?", "{a}/{b}", "Compute {a} ÷ {b}", "How many times does {b} go into {a}?", "Work out {a} over {b}.",
         "What's {a} ÷ {b}?", "If I split {a} into {b} equal parts, how big is each?", "What do you get when dividing {a} by {b}?"],
        "divided by", "division"),
}  # fmt: skip


def arithmetic(d: Draw) -> Problem:
    sign = d.choose("++--**/")
    templates, word, noun = OPERATIONS[sign]
    if d.rng.random() < 0.3:
        return _decimals(d, sign)
    digits = 5 if sign in "+-" else 4
    a, b = d.size(digits), d.size(digits if sign in "+-" else 3)
    if sign == "/" and d.rng.random() < 0.75:
        a = a * b
    q = d.say(templates, a=d.n(a), b=d.n(b))
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
    templates, word, _ = OPERATIONS[sign]
    a, b = d.decimal(), d.decimal()
    if d.rng.random() < 0.3:
        b = str(d.integer(2, 99))
    d.in_words = False
    q = d.say(templates, a=a, b=b)
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
    q = d.say(["What is {e}?", "{e}", "Calculate {e}.", "Evaluate {e}.", "Compute {e}", "{e} = ?", "Solve {e}", "How much is {e}?", "Work out {e}.",
               "What does {e} equal?", "Find the value of {e}.", "What's the result of {e}?", "Can you evaluate the expression {e}?"], e=shown)  # fmt: skip
    gold = str(eval(tight))
    return Problem("expression", tight, q, f"The expression is {tight}. Python follows the order of operations.", f"print({tight})",
                   lambda r: f"The result is {r}.", gold)  # fmt: skip


def fractions(d: Draw) -> Problem:
    b, e = d.integer(2, 20), d.integer(2, 20)
    a, c = d.integer(1, b), d.integer(1, e)
    sign, word = d.rng.choice((("+", "plus"), ("-", "minus"), ("*", "times"), ("/", "divided by")))
    x, y = f"{a}/{b}", f"{c}/{e}"
    q = d.say(["What is {x} {w} {y}?", "{x} {s} {y} = ?", "Calculate {x} {w} {y}.", "Compute {x} {s} {y}.", "How much is {x} {w} {y}?", "{x} {s} {y}",
               "Work out the fractions {x} {w} {y}.", "What is {x} {w} {y} as a fraction?", "Give me {x} {s} {y} in lowest terms.", "Simplify {x} {s} {y}.",
               "Find {x} {w} {y}, as a simple fraction.", "What fraction is {x} {w} {y}?"], x=x, y=y, w=word, s=sign)  # fmt: skip
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
        q = d.say(["Simplify {x}.", "Reduce {x} to lowest terms.", "What is {x} in its simplest form?", "Simplify the fraction {x}.", "Write {x} as simply as possible.",
                   "Can {x} be simplified?", "Bring {x} into lowest terms."], x=x)  # fmt: skip
        return Problem("fractions", f"simplify{x}", q, f"Python's Fraction reduces {x}.", f"from fractions import Fraction as F; print(F({a * k}, {b * k}))",
                       lambda r: f"{x} in lowest terms is {r}.", str(Fraction(a, b)))  # fmt: skip
    if form == 1:
        x = f"{a}/{b}"
        q = d.say(["Write {x} as a decimal.", "What is {x} as a decimal?", "Convert {x} to a decimal number.", "{x} in decimal form?", "Turn {x} into a decimal.",
                   "Express the fraction {x} as a decimal."], x=x)  # fmt: skip
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
    q = d.say(["What is {x} of {n}?", "How much is {x} of {n}?", "Calculate {x} of {n}.", "Find {x} of {n}.", "{x} of {n} is what?", "I need {x} of {n}.",
               "Take {x} of {n}; what is that?"], x=x, n=d.n(n))  # fmt: skip
    return Problem(
        "fractions",
        f"{x}of{n}",
        q,
        f"{x} of {n} is {n} times {a} divided by {b}.",
        f"print({n} * {a} // {b})",
        lambda r: f"{x} of {n} is {r}.",
        str(n * a // b),
    )


LARGER = ["Which number is larger, {a} or {b}?", "Which is bigger: {a} or {b}?", "What is greater, {a} or {b}?", "Is {a} or {b} larger?", "Which one is bigger, {a} or {b}?",
          "Compare {a} and {b}: which is larger?", "{a} or {b}, which is greater?", "Tell me which number is bigger: {a} or {b}.", "Which is the larger number, {a} or {b}?",
          "Which of these is higher: {a} or {b}?", "Of {a} and {b}, which is larger?", "Between {a} and {b}, which one is the greater number?", "Who is bigger, {a} or {b}?"]  # fmt: skip
SMALLER = ["Which number is smaller, {a} or {b}?", "Which is smaller: {a} or {b}?", "What is less, {a} or {b}?", "Is {a} or {b} smaller?", "Which one is less, {a} or {b}?",
           "Compare {a} and {b}: which is smaller?", "Which of these is lower: {a} or {b}?", "Of {a} and {b}, which is the smaller one?"]  # fmt: skip


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
    q = d.say(LARGER if larger else SMALLER, a=a, b=b)
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


def ordering(d: Draw) -> Problem:
    count = d.integer(3, 6)
    values = [d.decimal(2) if d.rng.random() < 0.4 else str(d.size(3)) for _ in range(count)]
    if len({float(v) for v in values}) < count:
        return ordering(d)
    listed = ", ".join(values)
    form = d.integer(0, 3)
    if form < 2:
        word = "largest" if form == 0 else "smallest"
        q = d.say(["Which is the {w}: {l}?", "What is the {w} of {l}?", "Find the {w} number: {l}", "Which of these numbers is the {w}? {l}", "{l}: which one is the {w}?",
                   "Give me the {w} number among {l}.", "Pick the {w} number from {l}."], w=word, l=listed)  # fmt: skip
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
    word = d.choose(
        ("from smallest to largest", "in ascending order")
        if up
        else ("from largest to smallest", "in descending order")
    )
    q = d.say(
        [
            "Sort {l} {w}.",
            "Put these numbers {w}: {l}",
            "Order {l} {w}.",
            "Arrange {l} {w}.",
            "Please sort the list {l} {w}.",
            "Write {l} {w}.",
            "List {l} {w}.",
        ],
        w=word,
        l=listed,
    )
    gold = ", ".join(sorted(values, key=float, reverse=not up))
    code = f"print(*sorted([{listed}]{'' if up else ', reverse=True'}), sep=', ')"
    return Problem("ordering", f"{up}{listed}", q, f"Sort {listed} {word}.", code, lambda r: f"In order: {r}.", gold)


def percent(d: Draw) -> Problem:
    p, n = (
        d.choose(
            (
                "5",
                "10",
                "15",
                "20",
                "25",
                "30",
                "40",
                "50",
                "60",
                "75",
                "80",
                "90",
                str(d.integer(1, 99)),
                str(d.integer(1, 99)),
            )
        ),
        d.size(4),
    )
    form = d.integer(0, 4)
    mark = d.choose((f"{p}%", f"{p}%", f"{p} percent", f"{p} %"))
    if d.in_words:
        mark = f"{d.n(int(p))} percent"
    if form <= 1:
        value = Fraction(n * int(p), 100)
        q = d.say(["What is {p} of {n}?", "How much is {p} of {n}?", "Calculate {p} of {n}.", "{p} of {n}", "Find {p} of {n}.", "{p} of {n} is what?", "I need {p} of {n}.",
                   "What's {p} of {n}?", "Work out {p} of {n}.", "Can you tell me how much {p} of {n} is?", "How many is {p} out of {n}?", "Take {p} of {n}, what is it?"], p=mark, n=d.n(n))  # fmt: skip
        return Problem(
            "percent",
            f"{p}%{n}",
            q,
            f"{p} percent of {n} is {n} times {p} divided by 100.",
            f"print({n} * {p} / 100)",
            lambda r: f"{p} percent of {n} is {r.removesuffix('.0')}.",
            _plain(value),
        )
    if form == 2:
        b = d.choose(("20", "25", "40", "50", "80", "100", "200", "250", "400", "500"))
        a = d.integer(1, int(b))
        q = d.say(["What percent of {b} is {a}?", "{a} is what percent of {b}?", "What percentage of {b} is {a}?", "How many percent of {b} is {a}?", "{a} out of {b}: what percentage is that?",
                   "I got {a} out of {b} points. What percentage is that?", "Express {a} of {b} as a percentage."], a=a, b=b)  # fmt: skip
        return Problem(
            "percent",
            f"{a}of{b}%",
            q,
            f"{a} divided by {b}, times 100.",
            f"print({a} * 100 / {b})",
            lambda r: f"{a} is {r.removesuffix('.0')} percent of {b}.",
            _plain(Fraction(a * 100, int(b))),
        )
    more = form == 3
    thing, cost = d.article(), d.integer(1, 60) * 10
    p = d.choose(("5", "10", "15", "20", "25", "30", "40", "50", "60", "70"))
    mark = d.choose((f"{p}%", f"{p} percent"))
    value = Fraction(cost * (100 + int(p) if more else 100 - int(p)), 100)
    if more:
        q = d.say(["Increase {n} by {p}.", "What is {n} increased by {p}?", "A {t} costs {n} dollars and gets {p} more expensive. What is the new price?", "A price of {n} dollars goes up by {p}. What is it now?",
                   "What do you get when you raise {n} by {p}?", "My rent of {n} dollars goes up {p}. What will I pay?", "Add {p} tax to a price of {n} dollars. What is the total?",
                   "The bill is {n} dollars and I want to leave a {p} tip. How much do I pay in total?", "{n} grows by {p}. What is the result?", "The {t} was {n} dollars, then its price rose {p}. What does it cost now?"],
                  n=d.n(cost), p=mark, t=thing)  # fmt: skip
        plan = f"{p} percent more than {cost} means {cost} times {100 + int(p)} divided by 100."
        return Problem(
            "percent",
            f"{cost}+{p}%",
            q,
            plan,
            f"print({cost} * {100 + int(p)} / 100)",
            lambda r: f"After {p} percent more it is {r.removesuffix('.0')}.",
            _plain(value),
        )
    q = d.say(["Decrease {n} by {p}.", "What is {n} reduced by {p}?", "A {t} costs {n} dollars and is {p} off. What do I pay?", "A {t} for {n} dollars is discounted by {p}. What is the new price?",
               "What is the sale price of a {t} that costs {n} dollars with a {p} discount?", "Take {p} off {n}.", "There is a {p} discount on a {t} that costs {n} dollars. How much is it now?",
               "The {t} was {n} dollars and is now {p} cheaper. What does it cost?", "{n} dollars minus {p}: how much is that?", "In the sale everything is {p} off. What does a {n} dollar {t} cost?"],
              n=d.n(cost), p=mark, t=thing)  # fmt: skip
    plan = f"{p} percent less than {cost} means {cost} times {100 - int(p)} divided by 100."
    return Problem(
        "percent",
        f"{cost}-{p}%",
        q,
        plan,
        f"print({cost} * {100 - int(p)} / 100)",
        lambda r: f"After {p} percent off it is {r.removesuffix('.0')}.",
        _plain(value),
    )


def _plain(value: Fraction) -> str:
    """As Python prints the float, without `.0`."""
    return str(float(value)).removesuffix(".0")


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
    q = d.say(["Solve {e}.", "Solve for {v}: {e}", "What is {v} if {e}?", "Find {v}: {e}", "{e}, what is {v}?", "If {e}, what is {v}?", "Solve the equation {e}.", "{e}. Find {v}.",
               "Which value of {v} satisfies {e}?", "Given {e}, solve for {v}.", "What must {v} be so that {e}?", "Determine {v} from {e}.", "For which {v} is {e}?"], e=shown, v=v)  # fmt: skip
    return Problem(
        "equation",
        shown.replace(v, "x").replace(" ", ""),
        q,
        plan,
        f"print({code})",
        lambda r: f"{v} is {r.removesuffix('.0')}.",
        f"{v} is {x}",
    )


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
    q = d.say(["What comes next: {l}?", "Continue the sequence: {l}, ...", "What is the next number in {l}?", "{l}, what comes next?", "Find the next number: {l}, ?", "Complete the pattern: {l}, __",
               "Which number follows: {l}?", "The sequence is {l}. What is the next term?", "{l}, ... what number is next?", "What number should come after {l}?",
               "I see the numbers {l}. What is the next one?", "Which term continues {l}?"], l=listed)  # fmt: skip
    return Problem("sequence", listed, q, plan, code, lambda r: f"The next number is {r}.", str(terms[-1]))


def number_fact(d: Draw) -> Problem:
    form = d.integer(0, 12)
    n = d.integer(2, 400)
    if form == 0:
        prime = n > 1 and all(n % i for i in range(2, n))
        q = d.say(
            [
                "Is {n} a prime number?",
                "Is {n} prime?",
                "Check whether {n} is prime.",
                "Tell me if {n} is a prime.",
                "{n}: prime or not?",
                "Does {n} count as a prime number?",
            ],
            n=d.n(n),
        )
        code = f"print(all({n} % i for i in range(2, {n})))"
        return Problem("number fact", f"prime{n}", q, f"A prime has no divisor between 1 and itself. Test {n}.", code,
                       lambda r: f"Yes, {n} is a prime number." if r == "True" else f"No, {n} is not a prime number.", "Yes" if prime else "No")  # fmt: skip
    if form == 1:
        a, b = d.size(3) + 1, d.size(3) + 1
        q = d.say(["What is the greatest common divisor of {a} and {b}?", "Find the gcd of {a} and {b}.", "gcd({a}, {b})", "What is the largest number that divides both {a} and {b}?",
                   "Greatest common factor of {a} and {b}?", "Which is the biggest divisor that {a} and {b} share?"], a=d.n(a), b=d.n(b))  # fmt: skip
        return Problem("number fact", f"gcd{a},{b}", q, f"The greatest common divisor of {a} and {b}.", f"import math; print(math.gcd({a}, {b}))",
                       lambda r: f"The greatest common divisor of {a} and {b} is {r}.", f"is {math.gcd(a, b)}")  # fmt: skip
    if form == 2:
        a, b = d.integer(2, 60), d.integer(2, 60)
        q = d.say(["What is the least common multiple of {a} and {b}?", "Find the lcm of {a} and {b}.", "lcm({a}, {b})", "What is the smallest number that both {a} and {b} divide?",
                   "Smallest common multiple of {a} and {b}?", "Which is the lowest common multiple of {a} and {b}?"], a=d.n(a), b=d.n(b))  # fmt: skip
        return Problem("number fact", f"lcm{a},{b}", q, f"The least common multiple of {a} and {b}.", f"import math; print(math.lcm({a}, {b}))",
                       lambda r: f"The least common multiple of {a} and {b} is {r}.", f"is {math.lcm(a, b)}")  # fmt: skip
    if form in (3, 4):
        a, b = d.size(4) + 5, d.integer(2, 60)
        q = d.say(["What is the remainder of {a} divided by {b}?", "What is {a} mod {b}?", "What remains when {a} is divided by {b}?", "Find the remainder when dividing {a} by {b}.", "{a} % {b}",
                   "If I divide {a} by {b}, what is the remainder?"], a=d.n(a), b=d.n(b))  # fmt: skip
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
            [
                "What is the square root of {n}?",
                "Square root of {n}?",
                "√{n}",
                "Find the square root of {n}.",
                "What number squared gives {n}?",
                "Which number times itself is {n}?",
            ],
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
            [
                "What is {a} {p}?",
                "Calculate {a} {p}.",
                "{a}^{e}",
                "Compute {a}^{e}.",
                "How much is {a} {p}?",
                "{a} ** {e} = ?",
                "What does {a} {p} give?",
                "Raise {a} to the power {e}.",
            ],
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
            [
                "What is {k} factorial?",
                "Calculate {k}!",
                "{k}!",
                "What is the factorial of {k}?",
                "Compute the factorial of {k}.",
                "How much is {k} factorial?",
            ],
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
            [
                "What are the prime factors of {n}?",
                "Factor {n}.",
                "Find the prime factorization of {n}.",
                "Factorize {n} into primes.",
                "Which primes multiply to {n}?",
                "Break {n} into prime factors.",
            ],
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
            [
                "What are the divisors of {n}?",
                "List all divisors of {n}.",
                "Which numbers divide {n}?",
                "Find the factors of {n}.",
                "All numbers that divide {n} evenly?",
                "Name every divisor of {n}.",
            ],
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
        q = d.say(["What is the sum of all numbers from {a} to {b}?", "Add up all whole numbers from {a} to {b}.", "Sum of the integers {a} through {b}?", "What do you get when you add every number from {a} to {b}?",
                   "Compute {a} + ... + {b}.", "What is the total of the numbers between {a} and {b}, both included?"], a=d.n(a), b=d.n(b))  # fmt: skip
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
        [
            "Is {n} even or odd?",
            "Is {n} an even number?",
            "Is the number {n} odd or even?",
            "Tell me whether {n} is even or odd.",
            "{n}: even or odd?",
            "Would you call {n} even or odd?",
        ],
        n=d.n(n),
    )
    return Problem("number fact", f"even{n}", q, f"The remainder of {n} divided by 2 tells.", f"print({n} % 2)", lambda r: f"{n} is {'even' if r == '0' else 'odd'}.", "even" if even else "odd",
                   f"The last digit of {n} is {n % 10}, which is {'even' if even else 'odd'}.")  # fmt: skip
