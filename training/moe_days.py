"""Problems about days, times, units and other ways to write numbers."""

from __future__ import annotations

import datetime
from decimal import Decimal

from training.moe_wording import Draw, Problem

MONTHS = "January February March April May June July August September October November December".split()
HEAD = "from datetime import date, timedelta as T; "


def _date(d: Draw) -> datetime.date:
    return datetime.date(d.integer(1950, 2040), 1, 1) + datetime.timedelta(days=d.integer(0, 364))


def _shown(d: Draw, day: datetime.date) -> str:
    month = MONTHS[day.month - 1]
    return d.choose(
        (
            f"{month} {day.day}, {day.year}",
            f"{day.day} {month} {day.year}",
            day.isoformat(),
            f"{month} {day.day} {day.year}",
            f"the {day.day}{_th(day.day)} of {month} {day.year}",
        )
    )


def _th(n: int) -> str:
    return "th" if 10 < n < 14 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")


def _made(day: datetime.date) -> str:
    return f"date({day.year}, {day.month}, {day.day})"


def dates(d: Draw) -> Problem:
    day, form = _date(d), d.integer(0, 4)
    shown = _shown(d, day)
    if form <= 1:
        q = d.say(["What day of the week is {x}?", "Which weekday is {x}?", "What weekday was {x}?", "On what day of the week does {x} fall?", "{x}: what day of the week is that?", "Is {x} a Monday, a Tuesday or what?", "Tell me the weekday of {x}.", "Which day of the week was {x}?",
                   "I was born on {x}. Which weekday was it?", "Find out which weekday {x} is."], x=shown)  # fmt: skip
        return Problem(
            "dates",
            f"week{day}",
            q,
            f"The weekday of {day.isoformat()}.",
            f"{HEAD}print({_made(day)}.strftime('%A'))",
            lambda r: f"It is a {r}.",
            day.strftime("%A"),
        )
    if form == 2:
        other = day + datetime.timedelta(days=d.integer(1, 900))
        q = d.say(["How many days are there between {x} and {y}?", "How many days is it from {x} to {y}?", "Days from {x} until {y}?", "Count the days between {x} and {y}.", "From {x} to {y}, how many days pass?", "What is the difference in days between {x} and {y}?", "How many days lie between {x} and {y}?"],
                  x=shown, y=_shown(d, other))  # fmt: skip
        return Problem(
            "dates",
            f"{day}..{other}",
            q,
            f"From {day.isoformat()} to {other.isoformat()}.",
            f"{HEAD}print(({_made(other)} - {_made(day)}).days)",
            lambda r: f"It is {r} days.",
            f"is {(other - day).days} ",
        )
    if form == 3:
        k, back = d.integer(2, 400), d.rng.random() < 0.3
        sign = "-" if back else "+"
        other = day + datetime.timedelta(days=-k if back else k)
        templates = (["What date is {k} days before {x}?", "Which date was {k} days before {x}?", "Go back {k} days from {x}. What is the date?", "Subtract {k} days from {x}.", "What was the date {k} days earlier than {x}?"] if back else
                     ["What date is {k} days after {x}?", "Which date is {k} days from {x}?", "Add {k} days to {x}.", "What will the date be {k} days after {x}?", "If today is {x}, what is the date in {k} days?", "Starting on {x}, what date comes {k} days later?"])  # fmt: skip
        q = d.say(templates, k=d.n(k), x=shown)
        code = f"{HEAD}print(({_made(day)} {sign} T(days={k})).strftime('%B %-d, %Y'))"
        return Problem(
            "dates",
            f"{day}{sign}{k}",
            q,
            f"{day.isoformat()} {'minus' if back else 'plus'} {k} days.",
            code,
            lambda r: f"It is {r}.",
            f"{MONTHS[other.month - 1]} {other.day}, {other.year}",
        )
    year = d.integer(1800, 2200)
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    q = d.say(
        [
            "Is {y} a leap year?",
            "Was {y} a leap year?",
            "Does {y} have 366 days?",
            "Check if {y} is a leap year.",
            "Is the year {y} a leap year?",
            "Has {y} got a February 29th?",
        ],
        y=year,
    )
    return Problem("dates", f"leap{year}", q, f"Python's calendar knows whether {year} is a leap year.", f"import calendar; print(calendar.isleap({year}))",
                   lambda r: f"Yes, {year} is a leap year." if r == "True" else f"No, {year} is not a leap year.", "Yes" if leap else "No")  # fmt: skip


def weekdays(d: Draw) -> Problem:
    """A weekday some days from another one."""
    days = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
    at, k, back = d.integer(0, 6), d.integer(2, 200), d.rng.random() < 0.25
    templates = (["Today is {x}. Which weekday was it {k} days ago?", "If today is {x}, what day was {k} days ago?", "It is {x}. What weekday was {k} days before?", "What day was {k} days before a {x}?"] if back else
                 ["Today is {x}. Which weekday is it in {k} days?", "If today is {x}, what day is it in {k} days?", "It is {x}. What day of the week comes {k} days later?", "What weekday is {k} days after {x}?", "In {k} days from {x}, what day is it?", "Counting {k} days on from {x}, which weekday is it?"])  # fmt: skip
    q = d.say(templates, x=days[at], k=d.n(k))
    sign = "-" if back else "+"
    code = f"days = 'Monday Tuesday Wednesday Thursday Friday Saturday Sunday'.split(); print(days[(days.index('{days[at]}') {sign} {k}) % 7])"
    return Problem(
        "dates",
        f"{days[at]}{sign}{k}",
        q,
        f"Weeks have 7 days: {days[at]} {'minus' if back else 'plus'} {k} days, modulo 7.",
        code,
        lambda r: f"It is a {r}." if not back else f"It was a {r}.",
        days[(at + (-k if back else k)) % 7],
    )


def clock(d: Draw) -> Problem:
    h, m = d.integer(0, 23), d.integer(0, 59)
    form = d.integer(0, 3)
    start = f"{h}:{m:02d}"
    if form == 0:
        k = d.integer(5, 600)
        x, y = divmod(k, 60)
        length = d.choose((f"{k} minutes", f"{x} hours and {y} minutes" if x > 1 and y else f"{k} minutes"))
        q = d.say(["It is {s}. What time is it in {k}?", "What time is it {k} after {s}?", "A film starts at {s} and lasts {k}. When does it end?", "A train leaves at {s} and travels for {k}. When does it arrive?", "Add {k} to {s}.", "The meeting begins at {s} and takes {k}. When is it over?",
                   "If I leave at {s} and need {k}, when do I arrive?", "Starting at {s}, what does the clock show {k} later?"], s=start, k=length)  # fmt: skip
        end = (h * 60 + m + k) % 1440
        plan = f"{start} is {h} * 60 + {m} minutes after midnight. Add {k} minutes."
        if "hours" in length:
            plan = f"{x} hours and {y} minutes are {k} minutes. " + plan
        code = f"t = ({h} * 60 + {m} + {k}) % 1440; print(f'{{t // 60}}:{{t % 60:02}}')"
        return Problem(
            "clock", f"{start}+{k}", q, plan, code, lambda r: f"It is {r}.", f"is {end // 60}:{end % 60:02d}."
        )
    if form == 1:
        k = d.integer(5, 1000)
        end = (h * 60 + m + k) % 1440
        stop = f"{end // 60}:{end % 60:02d}"
        q = d.say(
            [
                "How many minutes are there from {s} to {e}?",
                "How many minutes is it from {s} until {e}?",
                "A class begins at {s} and ends at {e}. How many minutes does it last?",
                "From {s} to {e}, how many minutes is that?",
                "Minutes between {s} and {e}?",
                "I slept from {s} until {e}. How many minutes was that?",
            ],
            s=start,
            e=stop,
        )
        code = f"print(({end // 60} * 60 + {end % 60} - {h} * 60 - {m}) % 1440)"
        return Problem(
            "clock",
            f"{start}..{stop}",
            q,
            f"{stop} is {end // 60} * 60 + {end % 60} minutes, {start} is {h} * 60 + {m}.",
            code,
            lambda r: f"It is {r} minutes.",
            f"is {k} ",
        )
    k = d.integer(61, 20_000)
    if form == 2:
        q = d.say(
            [
                "How many hours and minutes are {k} minutes?",
                "Convert {k} minutes to hours and minutes.",
                "{k} minutes: how many hours and minutes?",
                "What are {k} minutes in hours and minutes?",
                "Write {k} minutes as hours and minutes.",
                "Express {k} minutes in hours and minutes.",
            ],
            k=d.n(k),
        )
        return Problem(
            "clock",
            f"{k}min",
            q,
            f"Divide {k} by 60; the remainder is minutes.",
            f"print(*divmod({k}, 60))",
            lambda r: "{} hours and {} minutes.".format(*(r.split() + ["", ""])[:2]),
            f"{k // 60} hours and {k % 60} ",
        )
    x, y, z = d.integer(1, 12), d.integer(0, 59), d.integer(0, 59)
    q = d.say(
        [
            "How many seconds are {x} hours, {y} minutes and {z} seconds?",
            "Convert {x} hours {y} minutes {z} seconds to seconds.",
            "{x} hours, {y} minutes and {z} seconds in seconds?",
            "What is {x} h {y} min {z} s in seconds?",
            "Turn {x} hours, {y} minutes, {z} seconds into seconds.",
            "In seconds, how long are {x} hours {y} minutes and {z} seconds?",
        ],
        x=d.n(x),
        y=d.n(y),
        z=d.n(z),
    )
    return Problem(
        "clock",
        f"{x}h{y}m{z}s",
        q,
        f"{x} * 3600 + {y} * 60 + {z} seconds.",
        f"print({x} * 3600 + {y} * 60 + {z})",
        lambda r: f"It is {r} seconds.",
        f"is {x * 3600 + y * 60 + z} ",
    )


# One of the first in so many of the second.
UNITS = (
    ("kilometers", "meters", "1000"), ("meters", "centimeters", "100"), ("centimeters", "millimeters", "10"), ("meters", "millimeters", "1000"), ("kilograms", "grams", "1000"), ("tons", "kilograms", "1000"),
    ("grams", "milligrams", "1000"), ("liters", "milliliters", "1000"), ("hours", "minutes", "60"), ("minutes", "seconds", "60"), ("days", "hours", "24"), ("weeks", "days", "7"), ("hours", "seconds", "3600"),
    ("years", "months", "12"), ("miles", "kilometers", "1.609344"), ("inches", "centimeters", "2.54"), ("feet", "inches", "12"), ("yards", "feet", "3"), ("feet", "centimeters", "30.48"), ("pounds", "kilograms", "0.45359237"),
    ("ounces", "grams", "28.349523125"), ("gallons", "liters", "3.785411784"), ("dozens", "pieces", "12"), ("kilobytes", "bytes", "1024"), ("gigabytes", "megabytes", "1024"), ("hectares", "square meters", "10000"),
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
}


def units(d: Draw) -> Problem:
    if d.rng.random() < 0.12:
        return _temperature(d)
    a, b, factor = d.rng.choice(UNITS)
    up = d.rng.random() < 0.6
    n = str(d.size(3)) if d.rng.random() < 0.7 else d.decimal(2)
    if not up and "." not in factor and d.rng.random() < 0.7:
        n = str(int(factor) * d.size(2)) if d.rng.random() < 0.6 else str(int(factor) * d.size(2) // 2)
    a, b = (a, b) if up else (b, a)
    x, y = (SHORT.get(a, a), SHORT.get(b, b)) if d.rng.random() < 0.25 else (a, b)
    q = d.say(["Convert {n} {a} to {b}.", "How many {b} are {n} {a}?", "How many {b} are in {n} {a}?", "What is {n} {a} in {b}?", "{n} {a} in {b}", "{n} {a} to {b}", "Express {n} {a} in {b}.", "Change {n} {a} into {b}.", "How much is {n} {a} in {b}?", "{n} {a} equal how many {b}?",
               "I have {n} {a}. How many {b} is that?", "Give me {n} {a} in {b}.", "What do {n} {a} make in {b}?"], n=d.n(int(n)) if n.isdigit() else n, a=x, b=y)  # fmt: skip
    sign, word = ("*", "times") if up else ("/", "divided by")
    one, many = (a, b) if up else (b, a)
    plan = f"One of the {one} has {factor} {many}: {n} {word} {factor}."
    value = Decimal(n) * Decimal(factor) if up else Decimal(n) / Decimal(factor)
    code = f"from decimal import Decimal as D; print(f\"{{round(D('{n}') {sign} D('{factor}'), 4).normalize():f}}\")"
    return Problem(
        "units", f"{n}{a}{b}", q, plan, code, lambda r: f"{n} {a} are {r} {b}.", f"are {round(value, 4).normalize():f} "
    )


def _temperature(d: Draw) -> Problem:
    t, to_f = d.integer(-40, 120), d.rng.random() < 0.5
    a, b = ("Celsius", "Fahrenheit") if to_f else ("Fahrenheit", "Celsius")
    q = d.say(
        [
            "Convert {t} degrees {a} to {b}.",
            "What is {t} degrees {a} in {b}?",
            "How much is {t}° {a} in {b}?",
            "{t} {a} in {b}",
            "{t} degrees {a}: what is that in {b}?",
            "Express {t} degrees {a} in {b}.",
        ],
        t=t,
        a=a,
        b=b,
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


def notation(d: Draw) -> Problem:
    """Binary, hexadecimal, Roman numerals, rounding."""
    n, form = d.integer(2, 4000), d.integer(0, 4)
    if form == 0:
        q = d.say(
            [
                "What is {n} in binary?",
                "Convert {n} to binary.",
                "Write {n} as a binary number.",
                "{n} in binary",
                "Give the binary form of {n}.",
                "How do you write {n} in base 2?",
            ],
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
            [
                "What is binary {n} in decimal?",
                "Convert the binary number {n} to decimal.",
                "Which number is {n} in binary?",
                "{n} from binary to decimal",
                "What does the binary number {n} mean in decimal?",
                "Read {n} as base 2: which number is it?",
            ],
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
            [
                "What is {n} in hexadecimal?",
                "Convert {n} to hex.",
                "Write {n} as a hexadecimal number.",
                "{n} in hex",
                "Give the hexadecimal form of {n}.",
                "How do you write {n} in base 16?",
            ],
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
        roman, rest = "", n
        for value, letters in ROMAN:
            roman += letters * (rest // value)
            rest %= value
        q = d.say(
            [
                "What is {n} in Roman numerals?",
                "Write {n} in Roman numerals.",
                "Convert {n} to a Roman numeral.",
                "{n} as a Roman numeral",
                "How did the Romans write {n}?",
                "Which Roman numeral stands for {n}?",
            ],
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
    x, places = f"{d.size(3)}.{d.integer(10000, 99999)}", d.integer(1, 3)
    where = {
        1: d.choose(("one decimal place", "one decimal")),
        2: d.choose(("two decimal places", "2 decimals")),
        3: d.choose(("three decimal places", "3 decimals")),
    }[places]
    q = d.say(
        [
            "Round {x} to {w}.",
            "What is {x} rounded to {w}?",
            "Round the number {x} to {w}.",
            "{x} rounded to {w}",
            "Please give {x} with {w}.",
            "Shorten {x} to {w} by rounding.",
        ],
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
