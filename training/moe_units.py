"""Units, temperatures and other ways to write numbers."""

from __future__ import annotations

from decimal import Decimal

from training.moe_wording import Draw, Problem, number_words

# One of the first in so many of the second.
UNITS = (
    ("kilometers", "meters", "1000"), ("meters", "centimeters", "100"), ("centimeters", "millimeters", "10"), ("meters", "millimeters", "1000"), ("kilograms", "grams", "1000"), ("tons", "kilograms", "1000"),
    ("grams", "milligrams", "1000"), ("liters", "milliliters", "1000"), ("hours", "minutes", "60"), ("minutes", "seconds", "60"), ("days", "hours", "24"), ("weeks", "days", "7"), ("hours", "seconds", "3600"),
    ("years", "months", "12"), ("miles", "kilometers", "1.609344"), ("inches", "centimeters", "2.54"), ("feet", "inches", "12"), ("yards", "feet", "3"), ("feet", "centimeters", "30.48"), ("pounds", "kilograms", "0.45359237"),
    ("ounces", "grams", "28.349523125"), ("gallons", "liters", "3.785411784"), ("dozens", "pieces", "12"), ("kilobytes", "bytes", "1024"), ("gigabytes", "megabytes", "1024"), ("hectares", "square meters", "10000"),
    ("feet", "meters", "0.3048"), ("yards", "meters", "0.9144"), ("miles", "feet", "5280"), ("miles", "meters", "1609.344"), ("inches", "millimeters", "25.4"), ("pounds", "ounces", "16"),
    ("pounds", "grams", "453.59237"), ("gallons", "pints", "8"), ("centuries", "years", "100"), ("decades", "years", "10"), ("days", "minutes", "1440"), ("weeks", "hours", "168"),
    ("megabytes", "kilobytes", "1024"), ("terabytes", "gigabytes", "1024"), ("bytes", "bits", "8"), ("square meters", "square centimeters", "10000"), ("square kilometers", "hectares", "100"),
    ("cubic meters", "liters", "1000"), ("liters", "centiliters", "100"), ("meters per second", "kilometers per hour", "3.6"), ("miles per hour", "kilometers per hour", "1.609344"),
    ("nautical miles", "kilometers", "1.852"), ("dollars", "cents", "100"), ("kilometers", "centimeters", "100000"), ("quarters of an hour", "minutes", "15"), ("acres", "square meters", "4046.8564224"),
)  # fmt: skip

SHORT = {
    "kilometers": "km",
    "meters": "m",
    "centimeters": "cm",
    "millimeters": "mm",
    "kilograms": "kg",
    "grams": "g",
    "liters": "l",
    "milliliters": "ml",
    "hours": "h",
    "minutes": "min",
    "miles": "mi",
    "inches": "in",
    "feet": "ft",
    "yards": "yd",
    "pounds": "lb",
    "ounces": "oz",
    "milligrams": "mg",
    "kilobytes": "kB",
    "megabytes": "MB",
    "gigabytes": "GB",
    "terabytes": "TB",
    "tons": "t",
    "centiliters": "cl",
    "hectares": "ha",
    "seconds": "s",
    "square meters": "m²",
    "square kilometers": "km²",
    "cubic meters": "m³",
    "meters per second": "m/s",
    "kilometers per hour": "km/h",
    "miles per hour": "mph",
}


def units(d: Draw) -> Problem:
    if d.rng.random() < 0.12:
        return _temperature(d)
    a, b, factor = d.rng.choice(UNITS)
    up = d.rng.random() < 0.6
    x, y = (SHORT.get(a, a), SHORT.get(b, b)) if d.rng.random() < 0.3 else (a, b)
    n = _amount(d, up, factor)
    q = d.say("convert", n=d.v(n), a=x if up else y, b=y if up else x)
    return _conversion(n, a, b, factor, up, q)


def _amount(d: Draw, up: bool, factor: str) -> str:
    if not up and "." not in factor and d.rng.random() < 0.7:
        return str(int(factor) * d.size(2) // d.rng.choice((1, 1, 1, 2, 2)))
    return str(d.size(3)) if d.rng.random() < 0.7 else d.decimal(2)


def _conversion(n: str, one: str, many: str, factor: str, up: bool, question: str) -> Problem:
    """n of a unit in another: one of the first is `factor` of the second; up: from the first to the second."""
    a, b = (one, many) if up else (many, one)
    sign, word = ("*", "times") if up else ("/", "divided by")
    plan = f"One of the {one} has {factor} {many}: {n} {word} {factor}."
    value = Decimal(n) * Decimal(factor) if up else Decimal(n) / Decimal(factor)
    code = f"from decimal import Decimal as D; print(f\"{{round(D('{n}') {sign} D('{factor}'), 4).normalize():f}}\")"
    return Problem("units", f"{n}{a}{b}", question, plan, code, lambda r: f"{n} {a} are {r} {b}.", f"are {round(value, 4).normalize():f} ")  # fmt: skip


def conversion_pair(d: Draw, before: Draw) -> tuple[Problem, Problem]:
    """A conversion, and the same of another amount, whose question is that amount with its unit."""
    one, many, factor = d.rng.choice(UNITS)
    up = d.rng.random() < 0.6
    n, other = _amount(d, up, factor), _amount(d, up, factor)
    a, b = (one, many) if up else (many, one)
    first = _conversion(n, one, many, factor, up, before.say("convert", n=n, a=a, b=b))
    return first, _conversion(other, one, many, factor, up, f"{d.v(other)} {a}")


def _temperature(d: Draw) -> Problem:
    t, to_f = d.integer(-40, 120), d.rng.random() < 0.5
    a, b = ("Celsius", "Fahrenheit") if to_f else ("Fahrenheit", "Celsius")
    q = d.say(
        "temperature",
        t=t if t < 0 else d.n(t),
        a=a,
        b=b,
        a1=a[0],
        b1=b[0],
    )
    code, plan = (
        (f"{t} * 9 / 5 + 32", f"Fahrenheit is Celsius times 9 / 5 plus 32: {t} * 9 / 5 + 32.")
        if to_f
        else (f"({t} - 32) * 5 / 9", f"Celsius is Fahrenheit minus 32, times 5 / 9: ({t} - 32) * 5 / 9.")
    )
    value = str(round(t * 9 / 5 + 32 if to_f else (t - 32) * 5 / 9, 1)).removesuffix(".0")
    return Problem(
        "units",
        f"{t}{a}",
        q,
        plan,
        f"print(round({code}, 1))",
        lambda r: f"{t} degrees {a} are {r.removesuffix('.0')} degrees {b}.",
        f"are {value} ",
    )


ROMAN = (
    (1000, "M"),
    (900, "CM"),
    (500, "D"),
    (400, "CD"),
    (100, "C"),
    (90, "XC"),
    (50, "L"),
    (40, "XL"),
    (10, "X"),
    (9, "IX"),
    (5, "V"),
    (4, "IV"),
    (1, "I"),
)


def to_roman(n: int) -> str:
    roman = ""
    for value, letters in ROMAN:
        roman += letters * (n // value)
        n %= value
    return roman


def _from_hex(d: Draw, n: int) -> Problem:
    digits = f"{n:X}" if d.rng.random() < 0.7 else f"{n:x}"
    q = d.say("from_hex", n=digits)
    return Problem("notation", f"fromhex{n}", q, f"Read {digits} with base 16.", f"print(int('{digits}', 16))", lambda r: f"It is {r} in decimal.", f"is {n} ")  # fmt: skip


def _from_roman(d: Draw, n: int) -> Problem:
    roman = to_roman(n)
    q = d.say("from_roman", n=roman)
    plan = f"The letters of {roman} have values; one that stands before a larger one is subtracted."
    code = f"v = dict(zip('IVXLCDM', [1, 5, 10, 50, 100, 500, 1000])); s = '{roman}'; print(sum(-v[a] if v[a] < v[b] else v[a] for a, b in zip(s, s[1:] + s[-1])))"
    return Problem("notation", f"fromroman{n}", q, plan, code, lambda r: f"{roman} is {r}.", f"is {n}")  # fmt: skip


def _rounded(d: Draw, n: int) -> Problem:
    step, word = d.rng.choice(((10, "ten"), (100, "hundred"), (1000, "thousand")))
    n = n * d.integer(1, 20) + d.integer(1, 9)
    q = d.say("round_to", x=d.n(n), w=word if d.rng.random() < 0.7 else str(step))
    plan = f"Half of {step} added, then down to a multiple of {step}."
    code = f"print(({n} + {step // 2}) // {step} * {step})"
    return Problem("notation", f"round{n},{step}", q, plan, code, lambda r: f"Rounded, it is {r}.", f"is {(n + step // 2) // step * step}.")  # fmt: skip


def notation(d: Draw) -> Problem:
    """Binary, hexadecimal, Roman numerals, rounding."""
    n, form = d.integer(2, 4000), d.integer(0, 8)
    if form == 0:
        q = d.say(
            "to_binary",
            n=n,
        )
        return Problem(
            "notation",
            f"bin{n}",
            q,
            f"Python's format writes {n} in binary.",
            f"print(format({n}, 'b'))",
            lambda r: f"In binary, {n} is {r}.",
            f"is {n:b}",
        )
    if form == 1:
        q = d.say(
            "from_binary",
            n=f"{n:b}",
        )
        return Problem(
            "notation",
            f"frombin{n}",
            q,
            f"Read {n:b} with base 2.",
            f"print(int('{n:b}', 2))",
            lambda r: f"It is {r} in decimal.",
            f"is {n} ",
        )
    if form == 2:
        q = d.say(
            "to_hex",
            n=n,
        )
        return Problem(
            "notation",
            f"hex{n}",
            q,
            f"Python's format writes {n} in hexadecimal.",
            f"print(format({n}, 'X'))",
            lambda r: f"In hexadecimal, {n} is {r}.",
            f"is {n:X}",
        )
    if form == 3:
        roman = to_roman(n)
        q = d.say(
            "to_roman",
            n=n,
        )
        code = f"n, s = {n}, ''\nfor v, t in zip([1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1], 'M CM D CD C XC L XL X IX V IV I'.split()):\n    s += t * (n // v)\n    n %= v\nprint(s)"
        return Problem(
            "notation",
            f"roman{n}",
            q,
            f"Take the largest Roman values from {n}, one after the other.",
            code,
            lambda r: f"In Roman numerals, {n} is {r}.",
            f"is {roman}.",
        )
    if form in (5, 6, 7):
        return (_from_hex, _from_roman, _rounded)[form - 5](d, n)
    if form == 8:
        words = number_words(n)
        q, plan = d.say("in_words", n=n), f"{n} in words is {words}."
        return Problem("notation", f"words{n}", q, plan, None, lambda r: f"It is written {words}.", f"written {words}.", plan)  # fmt: skip
    x, places = f"{d.size(3)}.{d.integer(10000, 99999)}", d.integer(1, 3)
    where = d.form(("one_place", "two_places", "three_places")[places - 1])
    q = d.say(
        "round",
        x=x,
        w=where,
    )
    return Problem(
        "notation",
        f"round{x},{places}",
        q,
        f"Round {x} to {places} places.",
        f"print(round({x}, {places}))",
        lambda r: f"Rounded, it is {r}.",
        f"is {round(float(x), places)}.",
    )
