"""Follow-up questions: a second or third turn that cannot be understood without the ones before."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from training import moe_arithmetic, moe_comparison, moe_days, moe_rates, moe_shopping, moe_stories, moe_units
from training.moe_python import run
from training.moe_wording import Draw, Problem, plain
from training.moe_words import word_for_letters

Turn = tuple[str, str]
# The section of wordings, what is done to the result r and the number k, and how it is called.
STEPS: dict[str, tuple[str, Callable[[int, int], int | float], str]] = {
    "then_plus": ("{r} + {k}", operator.add, "{r} plus {k}"),
    "then_minus": ("{r} - {k}", operator.sub, "{r} minus {k}"),
    "then_times": ("{r} * {k}", operator.mul, "{r} times {k}"),
    "then_divided": ("round({r} / {k}, 4)", lambda r, k: round(r / k, 4), "{r} divided by {k}"),
    "then_double": ("{r} * 2", lambda r, k: r * 2, "twice {r}"),
    "then_half": ("{r} / 2", lambda r, k: r / 2, "half of {r}"),
    "then_square": ("({r}) ** 2", lambda r, k: r**2, "{r} squared"),
}


def _asked(problem: Problem) -> Turn:
    return problem.question, problem.final(run(problem.code, True) if problem.code else "")


def _number(text: str) -> int | None:
    text = text.removesuffix(".0")
    return int(text) if text.removeprefix("-").isdigit() and len(text) < 9 else None


def further(d: Draw) -> Problem:
    """Going on with a result, once or twice: "now add 4", "and half of that?"."""
    first = d.rng.choice((moe_arithmetic.arithmetic, moe_arithmetic.expression, moe_comparison.percent, moe_stories.having, moe_stories.groups))(d.trained())  # fmt: skip
    value = _number(run(first.code or "", True))
    if value is None:
        return further(d)
    history, key = [_asked(first)], first.key
    if d.rng.random() < 0.3:
        section, k = _step(d, value)
        formula, apply, named = STEPS[section]
        new = apply(value, k)
        if new == int(new) and abs(new) < 10**7:
            history.append(
                (d.trained().say(section, k=d.n(k)), f"{_capital(named.format(r=value, k=k))} is {int(new)}.")
            )
            key, value = f"{key};{section}{k}", int(new)
    section, k = _step(d, value)
    formula, apply, named = STEPS[section]
    q = d.say(section, k=d.n(k))
    q = _capital(q) if d.rng.random() < 0.6 else q
    done, said, new = formula.format(r=value, k=k), _capital(named.format(r=value, k=k)), apply(value, k)
    plan = f"The last result is {value}. Now {done.removeprefix('round(').removesuffix(', 4)')}."
    gold = f"is {plain(new) if isinstance(new, float) else new}"
    return Problem("follow-up", f"{key};{section}{k}", q, plan, f"print({done})", lambda r: f"{said} is {r.removesuffix('.0')}.", gold, history=tuple(history))  # fmt: skip


def _step(d: Draw, value: int) -> tuple[str, int]:
    """What is done next to a result, and with which number."""
    section, k = d.choose(list(STEPS)), d.integer(2, 60) if d.rng.random() < 0.7 else d.size(3)
    if (section == "then_square" and abs(value) > 2000) or (section == "then_divided" and k > 99):
        section = "then_plus"
    return section, k


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def instead(d: Draw) -> Problem:
    """The same question about something else: "and 15 %?", "what about banana?"."""
    form, before = d.integer(0, 6), d.trained()
    if form == 0:
        n, p, other = d.size(4), d.integer(1, 95), d.integer(1, 95)
        first = Problem("", "", before.say("percent_of", p=f"{p}%", n=d.n(n)), "", f"print({n} * {p} / 100)", lambda r: f"{p} percent of {n} is {r.removesuffix('.0')}.", "")  # fmt: skip
        mark = f"{d.n(other)} percent" if d.in_words else d.choose((f"{other}%", f"{other} percent", f"{other} %"))
        q = d.say("instead_percent", p=mark)
        plan = f"The same with {other} percent of {n}: {n} times {other} divided by 100."
        value = plain(n * other / 100)
        return Problem("follow-up", f"{n}:{p}%,{other}%", q, plan, f"print({n} * {other} / 100)", lambda r: f"{other} percent of {n} is {r.removesuffix('.0')}.", f"is {value}", history=(_asked(first),))  # fmt: skip
    if form == 1:
        first, second = moe_units.conversion_pair(d, before)
        q = d.say("instead_number", n=second.question)
        return replace(second, kind="follow-up", key="instead" + second.key, question=q, history=(_asked(first),))
    if form in (2, 3):
        w, c = word_for_letters(d), ""
        c = d.choose(w)
        first = Problem("", "", before.say("count_letter", c=c, w=w), "", f'print("{w}".count("{c}"))', lambda r: f"The letter {c} appears {r} time{'' if r == '1' else 's'} in {w}.", "")  # fmt: skip
        if form == 2:
            other, word = d.choose(w) if d.rng.random() < 0.7 else d.choose("aeioustrnl"), w
            q = d.say("instead_letter", c=other)
        else:
            other, word = c, word_for_letters(d)
            q = d.say("instead_word", w=word)
        plan = f"Now count the letter {other} in the word {word}."
        return Problem("follow-up", f"instead{c}{w}:{other}in{word}", q, plan, f'print("{word}".count("{other}"))', lambda r: f"The letter {other} appears {r} time{'' if r == '1' else 's'} in {word}.", f"appears {word.count(other)} ", history=(_asked(first),))  # fmt: skip
    if form == 4:
        first, second = (moe_days.weekday_of(one) for one in (before, d))
        q = d.say("instead_date", x=second.question)
        return replace(second, kind="follow-up", key=f"instead{first.key}{second.key}", question=q, history=(_asked(replace(first, question=before.say("weekday", x=first.question))),))  # fmt: skip
    a, b, k, t = d.integer(2, 40), d.integer(2, 30), d.integer(2, 60), d.thing()
    if form == 5:
        first = Problem("", "", before.say("price_times", a=d.n(a), c=d.money(b), p=d.name(), s=t), "", f"print({a} * {b})", lambda r: f"{a} {t} cost {r} {d.coin[2]}.", "")  # fmt: skip
        q = d.say("instead_count", k=d.n(k), u=t)
        return Problem("follow-up", f"instead{a}*{b}:{k}", q, f"One costs {b}; {k} cost {k} * {b}.", f"print({k} * {b})", lambda r: f"{k} {t} cost {r} {d.coin[2]}.", f"cost {k * b} ", history=(_asked(first),))  # fmt: skip
    first = Problem("", "", before.say("times", a=d.n(a), b=d.n(b)), "", f"print({a} * {b})", lambda r: f"{a} times {b} is {r}.", "")  # fmt: skip
    q = d.say("instead_number", n=d.choose((f"{d.n(k)} times {d.n(b)}", f"{k} * {b}", f"{k} × {b}", f"{k} x {b}")))
    return Problem("follow-up", f"instead{a}*{b}:{k}*{b}", q, f"The same with {k} times {b}.", f"print({k} * {b})", lambda r: f"{k} times {b} is {r}.", f"is {k * b}", history=(_asked(first),))  # fmt: skip


REPEATED = (
    moe_arithmetic.arithmetic, moe_arithmetic.expression, moe_arithmetic.fractions, moe_comparison.percent, moe_stories.having, moe_stories.groups, moe_stories.ages,
    moe_shopping.shopping, moe_rates.motion, moe_rates.geometry, moe_days.dates, moe_units.units,
)  # fmt: skip


def checked_again(d: Draw) -> Problem:
    """Why an answer is so, and whether it is right: where it was not, that is said."""
    first = d.rng.choice(REPEATED)(d.trained())
    if d.rng.random() < 0.55:
        q = d.say("why")
        steps = first.plan
        return replace(first, kind="follow-up", key=f"why{first.key}", question=q, plan=f"How did I get that? {steps}", direct="", final=lambda r: f"{steps} {first.final(r)}", history=(_asked(first),))  # fmt: skip
    value = _number(run(first.code or "", True))
    if value is None:
        return checked_again(d)
    told = value if d.rng.random() < 0.6 else value + d.rng.choice((-10, -2, -1, 1, 2, 3, 10, 100))
    right = told == value
    q = d.say("sure")
    plan = f"I said {told}. Let me check it. {first.plan}"
    gold = f"Yes, I checked it: {first.final(str(value))}" if right else f"No, I was wrong. {first.final(str(value))}"

    def final(r: str) -> str:
        return (
            f"Yes, I checked it: {first.final(r)}"
            if r.removesuffix(".0") == str(told)
            else f"No, I was wrong. {first.final(r)}"
        )

    return replace(first, kind="follow-up", key=f"sure{told}:{first.key}", question=q, plan=plan, direct="", final=final, gold=gold, history=((first.question, first.final(str(told))),))  # fmt: skip


def compared_further(d: Draw) -> Problem:
    """After which is larger: which is smaller, and by how much."""
    a, b = d.decimal(2), d.decimal(2)
    if Decimal(a) == Decimal(b):
        return compared_further(d)
    high, low = (a, b) if Decimal(a) > Decimal(b) else (b, a)
    history = ((d.trained().say("larger", a=a, b=b), f"{high} is larger than {low}."),)
    key = f"larger{a},{b}:"
    if d.rng.random() < 0.5:
        q = d.say("and_smaller")
        return Problem("follow-up", f"{key}smaller", q, f"The smaller of {a} and {b} is asked for.", f"print(min({a}, {b}))", lambda r: f"{r} is smaller than {b if r == a else a}.", f"{low} is smaller", history=history)  # fmt: skip
    q = d.say("and_by_how_much")
    code = f'from decimal import Decimal as D; print(D("{high}") - D("{low}"))'
    return Problem("follow-up", f"{key}difference", q, f"The difference is {high} minus {low}.", code, lambda r: f"The difference is {r}.", f"is {Decimal(high) - Decimal(low)}", history=history)  # fmt: skip
