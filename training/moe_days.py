"""Problems about days and times."""

from __future__ import annotations

import calendar
import datetime
from dataclasses import replace

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
            f"{month} {day.day}{_th(day.day)}, {day.year}",
            f"{month[:3]} {day.day}, {day.year}",
            f"{day.day} {month[:3]} {day.year}",
            f"{day.day}. {month} {day.year}",
        )
    )


def _th(n: int) -> str:
    return "th" if 10 < n < 14 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")


def _made(day: datetime.date) -> str:
    return f"date({day.year}, {day.month}, {day.day})"


def weekday_of(d: Draw) -> Problem:
    """The weekday of a date, which alone is the question."""
    day = _date(d)
    code = f"{HEAD}print({_made(day)}.strftime('%A'))"
    return Problem("dates", f"week{day}", _shown(d, day), f"The weekday of {day.isoformat()}.", code, lambda r: f"It is a {r}.", day.strftime("%A"))  # fmt: skip


def dates(d: Draw) -> Problem:
    day, form = _date(d), d.integer(0, 6)
    shown = _shown(d, day)
    if form <= 1:
        problem = weekday_of(d)
        return replace(problem, question=d.say("weekday", x=problem.question))
    if form == 2:
        other = day + datetime.timedelta(days=d.integer(1, 900))
        q = d.say("days_between",
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
        q = d.say("date_before" if back else "date_after", k=d.n(k), x=shown)
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
    if form == 5:
        k = d.integer(2, 30)
        other = day + datetime.timedelta(weeks=k)
        q = d.say("date_weeks", k=d.n(k), x=shown)
        code = f"{HEAD}print(({_made(day)} + T(weeks={k})).strftime('%B %-d, %Y'))"
        return Problem("dates", f"{day}+{k}weeks", q, f"{day.isoformat()} plus {k} weeks.", code, lambda r: f"It is {r}.", f"{MONTHS[other.month - 1]} {other.day}, {other.year}")  # fmt: skip
    year = d.integer(1800, 2200)
    if form == 6:
        month = d.integer(1, 12) if d.rng.random() < 0.6 else 2
        q = d.say("month_days", m=MONTHS[month - 1], y=year)
        code = f"import calendar; print(calendar.monthrange({year}, {month})[1])"
        plan = f"The length of month {month} of {year}."
        return Problem("dates", f"days{month}/{year}", q, plan, code, lambda r: f"{MONTHS[month - 1]} {year} has {r} days.", f"has {calendar.monthrange(year, month)[1]} ")  # fmt: skip
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    q = d.say(
        "leap",
        y=year,
    )
    return Problem("dates", f"leap{year}", q, f"Python's calendar knows whether {year} is a leap year.", f"import calendar; print(calendar.isleap({year}))",
                   lambda r: f"Yes, {year} is a leap year." if r == "True" else f"No, {year} is not a leap year.", "Yes" if leap else "No")  # fmt: skip


def weekdays(d: Draw) -> Problem:
    """A weekday some days from another one."""
    days = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
    at, k, back = d.integer(0, 6), d.integer(2, 200), d.rng.random() < 0.25
    q = d.say("weekday_before" if back else "weekday_after", x=days[at], k=d.n(k))
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


def _twelve(time: str) -> str:
    """19:05 → 7:05 pm"""
    hour, _, minute = time.partition(":")
    if not (hour.isdigit() and minute):
        return time
    return f"{(int(hour) - 1) % 12 + 1}:{minute} {'am' if int(hour) < 12 else 'pm'}"


def _time(d: Draw, h: int, m: int, halves: bool) -> tuple[str, str]:
    """A time as it is written in this question, with am and pm if `halves`, and what is thought about that."""
    if not halves:
        return d.choose((f"{h}:{m:02d}", f"{h}:{m:02d}", f"{h}:{m:02d}", f"{h:02d}:{m:02d}", f"{h}.{m:02d}")), ""
    shown = _twelve(f"{h}:{m:02d}")
    told = f"{shown} is {h}:{m:02d}. "
    if m == 0 and d.rng.random() < 0.7:
        shown = shown.replace(":00", "")
    if d.rng.random() < 0.4:
        shown = d.choose((shown.replace(" ", ""), shown.upper(), shown.replace("am", "a.m.").replace("pm", "p.m.")))
    return shown, told


def clock(d: Draw) -> Problem:
    h, m = d.integer(0, 23), d.integer(0, 59)
    form = d.integer(0, 4)
    halves = d.rng.random() < 0.3
    start = f"{h}:{m:02d}"
    shown, told = _time(d, h, m, halves)
    if form == 0:
        k = d.integer(5, 600)
        x, y = divmod(k, 60)
        length = d.choose((f"{k} minutes", f"{x} hours and {y} minutes" if x > 1 and y else f"{k} minutes"))
        q = d.say("time_after", s=shown, k=length)
        end = (h * 60 + m + k) % 1440
        plan = f"{told}{start} is {h} * 60 + {m} minutes after midnight. Add {k} minutes."
        if "hours" in length:
            plan = f"{x} hours and {y} minutes are {k} minutes. " + plan
        code = f"t = ({h} * 60 + {m} + {k}) % 1440; print(f'{{t // 60}}:{{t % 60:02}}')"
        if halves:
            return Problem("clock", f"{start}+{k}", q, plan, code, lambda r: f"It is {r}, that is {_twelve(r)}.", f"is {end // 60}:{end % 60:02d}, that is {_twelve(f'{end // 60}:{end % 60:02d}')}.")  # fmt: skip
        return Problem("clock", f"{start}+{k}", q, plan, code, lambda r: f"It is {r}.", f"is {end // 60}:{end % 60:02d}.")  # fmt: skip
    if form in (1, 4):
        k = d.integer(5, 1000)
        end = (h * 60 + m + k) % 1440
        stop = f"{end // 60}:{end % 60:02d}"
        until, also = _time(d, end // 60, end % 60, halves)
        q = d.say("minutes_between" if form == 1 else "time_between", s=shown, e=until)
        told += also
        plan = f"{told}{stop} is {end // 60} * 60 + {end % 60} minutes, {start} is {h} * 60 + {m}."
        if form == 4:
            code = f"print(*divmod(({end // 60} * 60 + {end % 60} - {h} * 60 - {m}) % 1440, 60))"
            return Problem("clock", f"{start}--{stop}", q, plan, code, lambda r: "It is {} hours and {} minutes.".format(*(r.split() + ["", ""])[:2]), f"is {k // 60} hours and {k % 60} ")  # fmt: skip
        code = f"print(({end // 60} * 60 + {end % 60} - {h} * 60 - {m}) % 1440)"
        return Problem(
            "clock",
            f"{start}..{stop}",
            q,
            plan,
            code,
            lambda r: f"It is {r} minutes.",
            f"is {k} ",
        )
    k = d.integer(61, 20_000)
    if form == 2:
        q = d.say(
            "hours_and_minutes",
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
        "to_seconds",
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
