"""Small Python functions: written on request, tried out with the tool, and short programs whose output is asked for."""

from __future__ import annotations

from training.moe_python import run
from training.moe_wording import Draw, Problem

# Source and calls, the first of which is shown; what it is asked for as stands in the section f:NAME.
FUNCTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "is_prime": ("def is_prime(n):\n    return n > 1 and all(n % i for i in range(2, int(n ** 0.5) + 1))", ("is_prime(7)", "is_prime(9)", "is_prime(1)")),
    "factorial": ("def factorial(n):\n    result = 1\n    for i in range(2, n + 1):\n        result *= i\n    return result", ("factorial(5)", "factorial(0)")),
    "fibonacci": ("def fibonacci(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a", ("fibonacci(10)", "fibonacci(1)")),
    "reverse": ("def reverse(text):\n    return text[::-1]", ("reverse('abc')",)),
    "is_palindrome": ("def is_palindrome(text):\n    return text == text[::-1]", ("is_palindrome('level')", "is_palindrome('cat')")),
    "count_vowels": ("def count_vowels(text):\n    return sum(c in 'aeiou' for c in text.lower())", ("count_vowels('banana')",)),
    "total": ("def total(numbers):\n    result = 0\n    for number in numbers:\n        result += number\n    return result", ("total([1, 2, 3])",)),
    "average": ("def average(numbers):\n    return sum(numbers) / len(numbers)", ("average([2, 4, 6])",)),
    "largest": ("def largest(numbers):\n    best = numbers[0]\n    for number in numbers:\n        if number > best:\n            best = number\n    return best", ("largest([3, 9, 4])",)),
    "smallest": ("def smallest(numbers):\n    best = numbers[0]\n    for number in numbers:\n        if number < best:\n            best = number\n    return best", ("smallest([3, 9, 4])",)),
    "to_fahrenheit": ("def to_fahrenheit(celsius):\n    return celsius * 9 / 5 + 32", ("to_fahrenheit(100)",)),
    "gcd": ("def gcd(a, b):\n    while b:\n        a, b = b, a % b\n    return a", ("gcd(12, 18)",)),
    "is_even": ("def is_even(n):\n    return n % 2 == 0", ("is_even(4)", "is_even(7)")),
    "count_words": ("def count_words(text):\n    return len(text.split())", ("count_words('one two three')",)),
    "squares": ("def squares(numbers):\n    return [number ** 2 for number in numbers]", ("squares([1, 2, 3])",)),
    "unique": ("def unique(items):\n    return list(dict.fromkeys(items))", ("unique([1, 2, 1])",)),
    "even_numbers": ("def even_numbers(numbers):\n    return [number for number in numbers if number % 2 == 0]", ("even_numbers([1, 2, 3, 4])",)),
    "digit_sum": ("def digit_sum(n):\n    return sum(int(c) for c in str(n))", ("digit_sum(123)",)),
    "is_leap": ("def is_leap(year):\n    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)", ("is_leap(2024)", "is_leap(1900)")),
    "fizzbuzz": ("def fizzbuzz(n):\n    if n % 15 == 0:\n        return 'FizzBuzz'\n    if n % 3 == 0:\n        return 'Fizz'\n    if n % 5 == 0:\n        return 'Buzz'\n    return str(n)", ("fizzbuzz(15)", "fizzbuzz(7)")),
    "circle_area": ("import math\n\ndef circle_area(radius):\n    return math.pi * radius ** 2", ("round(circle_area(2), 2)",)),
    "count_letter": ("def count_letter(text, letter):\n    return text.count(letter)", ("count_letter('banana', 'a')",)),
    "sort_numbers": ("def sort_numbers(numbers):\n    return sorted(numbers)", ("sort_numbers([3, 1, 2])",)),
    "power": ("def power(a, b):\n    result = 1\n    for _ in range(b):\n        result *= a\n    return result", ("power(2, 10)",)),
    "to_celsius": ("def to_celsius(fahrenheit):\n    return (fahrenheit - 32) * 5 / 9", ("to_celsius(212)",)),
    "lcm": ("def lcm(a, b):\n    result = a\n    while result % b:\n        result += a\n    return result", ("lcm(4, 6)",)),
    "is_odd": ("def is_odd(n):\n    return n % 2 == 1", ("is_odd(7)", "is_odd(4)")),
    "count_characters": ("def count_characters(text):\n    return len(text)", ("count_characters('hello')",)),
    "doubled": ("def doubled(numbers):\n    return [number * 2 for number in numbers]", ("doubled([1, 2, 3])",)),
    "odd_numbers": ("def odd_numbers(numbers):\n    return [number for number in numbers if number % 2 == 1]", ("odd_numbers([1, 2, 3, 4])",)),
    "absolute": ("def absolute(number):\n    return -number if number < 0 else number", ("absolute(-7)", "absolute(7)")),
    "product": ("def product(numbers):\n    result = 1\n    for number in numbers:\n        result *= number\n    return result", ("product([2, 3, 4])",)),
    "sum_to": ("def sum_to(n):\n    return n * (n + 1) // 2", ("sum_to(10)",)),
    "is_anagram": ("def is_anagram(a, b):\n    return sorted(a) == sorted(b)", ("is_anagram('listen', 'silent')", "is_anagram('ab', 'abb')")),
    "remove_vowels": ("def remove_vowels(text):\n    return ''.join(c for c in text if c not in 'aeiouAEIOU')", ("remove_vowels('banana')",)),
    "reverse_list": ("def reverse_list(items):\n    return items[::-1]", ("reverse_list([1, 2, 3])",)),
    "second_largest": ("def second_largest(numbers):\n    return sorted(set(numbers))[-2]", ("second_largest([4, 9, 7])",)),
    "to_binary": ("def to_binary(n):\n    return format(n, 'b')", ("to_binary(10)",)),
    "to_upper": ("def to_upper(text):\n    return text.upper()", ("to_upper('abc')",)),
    "hypotenuse": ("def hypotenuse(a, b):\n    return (a ** 2 + b ** 2) ** 0.5", ("hypotenuse(3, 4)",)),
    "count_item": ("def count_item(items, item):\n    return items.count(item)", ("count_item([1, 2, 1], 1)",)),
    "common": ("def common(a, b):\n    return [item for item in a if item in b]", ("common([1, 2, 3], [2, 3, 4])",)),
}  # fmt: skip
# {a}, {b}, {c}: numbers; {t}: a word; {x}, {y}: names.
PROGRAMS = (
    "print({a} + {b} * {c})", "{x} = {a}\nfor i in range({c}):\n    {x} += i\nprint({x})", "print([i * {b} for i in range({c})])", "print(len('{t}') * {b})",
    "{x} = {a}\n{y} = {b}\n{x}, {y} = {y}, {x}\nprint({x} - {y})", "print('{t}'[{i}:{j}])", "print({a} // {b}, {a} % {b})", "print(sum(range({a}, {a} + {b})))", "print(sorted([{a}, {b}, {c}]))",
    "print('{t}'.upper())", "print('{t}'.replace('{t0}', 'x'))", "def f(n):\n    return n * {b} + {c}\nprint(f({a}))", "{x} = [{a}, {b}]\n{x}.append({c})\nprint({x}[-1] + {x}[0])",
    "{x} = {a}\nwhile {x} < {a} + 50:\n    {x} *= {b}\nprint({x})", "print({a} > {b} and {c} < {b})", "print('-'.join('{t}'[:{c}]))", "print({{'a': {a}, 'b': {b}}}['b'])",
    "{x} = 0\nfor {y} in [{a}, {b}, {c}]:\n    if {y} % 2 == 0:\n        {x} += {y}\nprint({x})", "print({a} * {b})", "print({a} - {b})", "print('{t}' * {k})", "print('{t}'[::-1])", "print('{t}'[{i}])", "print('{t}'[-1])",
    "for i in range({k}):\n    print(i)", "for i in range({k}):\n    print(i * {b})", "for c in '{t3}':\n    print(c)", "{x} = {a}\n{y} = {b}\nprint({x} + {y})", "{x} = {a}\n{x} = {x} * {c}\nprint({x})",
    "{x} = {a}\n{x} += {b}\n{x} -= {c}\nprint({x})", "if {a} > {b}:\n    print('yes')\nelse:\n    print('no')", "{x} = {a}\nif {x} % 2 == 0:\n    print('even')\nelse:\n    print('odd')", "print(max({a}, {b}, {c}))", "print(min({a}, {b}, {c}))",
    "print(abs({b} - {a}))", "print({b} ** 2 + {c})", "print({a} == {b})", "print({a} != {b} or {c} > {b})", "print(not {a} > {b})", "{x} = [{a}, {b}, {c}]\nprint(len({x}))", "{x} = [{a}, {b}, {c}]\nprint({x}[1])", "{x} = [{a}, {b}, {c}]\nprint({x}[-1])",
    "{x} = [{a}, {b}, {c}]\nprint(sum({x}))", "{x} = [{a}, {b}, {c}]\n{x}.sort()\nprint({x})", "{x} = [{a}, {b}, {c}]\nprint({x}[::-1])", "print([{y} for {y} in [{a}, {b}, {c}] if {y} > {c}])", "print([{y} ** 2 for {y} in range(1, {k})])",
    "def {f}({x}):\n    return {x} + {a}\n\nprint({f}({b}))", "def {f}({x}, {y}):\n    return {x} * {y} - {c}\n\nprint({f}({a}, {b}))", "def {f}({x}):\n    if {x} > {b}:\n        return {x} - {c}\n    return {x} + {c}\n\nprint({f}({a}))",
    "{x} = '{t}'\nprint({x} + '{t3}')", "{x} = '{t}'\nprint(len({x}))", "print('{t}'.count('{t0}'))", "print('{t}'.find('{t0}'))", "print('{t}'.capitalize())", "print('{t0}' in '{t}')", "{x} = {a}\nwhile {x} > {c}:\n    {x} -= {c}\nprint({x})",
    "{x} = 1\nfor i in range(1, {k}):\n    {x} *= i\nprint({x})", "{x} = {{'{t3}': {a}}}\n{x}['{t}'] = {b}\nprint(len({x}))", "print(f'{a} and {b}')", "print('{t}', {a})", "print(int({a} / {b}))", "print(round({a} / {b}, 2))", "{x} = ({a}, {b})\nprint({x}[0] * {x}[1])",
    "print(list(range({c})))", "print(list(range({b}, {b} + {a}, {c})))", "print(str({a}) + str({b}))", "print(len(str({a} * {b})))", "{x} = 0\nwhile {x} < {b}:\n    {x} += {c}\nprint({x})", "print(len(set([{a}, {b}, {a}, {c}])))", "print(bool({a} - {b}))",
    "{x} = [1, 2, 3]\nfor {y} in {x}:\n    print({y} * {a})", "print('{t}'.split('{t0}'))", "{x} = {a} if {b} > {c} else {c}\nprint({x})",
)  # fmt: skip
TEXTS = "banana hello python tandem letter kayak window garden apple river orange pencil summer mirror kitten rocket puzzle coffee wizard jungle".split()
VARIABLES = "x y a b n m total count value number result s k z num data w p q".split()


def base_form(phrase: str) -> str:
    """ "checks whether …" → "check whether …"."""
    verb, _, rest = phrase.partition(" ")
    if verb in ("does", "goes") or verb.endswith(("ches", "shes", "sses")):
        verb = verb[:-2]
    elif verb.endswith("ies"):
        verb = verb[:-3] + "y"
    else:
        verb = verb.removesuffix("s")
    return f"{verb} {rest}".rstrip()


def function(d: Draw) -> Problem:
    name = d.choose(list(FUNCTIONS))
    source, calls = FUNCTIONS[name]
    phrase = d.say(f"f:{name}")
    q = d.say("request", x=phrase, y=base_form(phrase))
    q = q[0].upper() + q[1:]
    scope: dict[str, object] = {}
    exec(source, scope)
    tried = calls[0]
    value = repr(eval(tried, scope))
    checks = "; ".join(f"assert {call} == {eval(call, scope)!r}" for call in calls)
    code = f"{source}\n\nprint({tried})"
    answer = "Here is the function.\n\n```python\n" + source + "\n```\n\nI tried it: "
    return Problem("function", f"{name}{d.integer(0, 999)}", q, f"Write {name} and try it with {tried}.", code, lambda r: f"{answer}{tried} gives {r}.", f"gives {value.strip(chr(39))}.",
                   f"The function {name}.", function=(name, checks))  # fmt: skip


def _said(printed: str) -> str:
    """What a program printed, in a sentence."""
    lines = printed.split("\n")
    return f"It prints {', '.join(lines)}, each on a line of its own." if len(lines) > 1 else f"It prints {printed}."


def output(d: Draw) -> Problem:
    """A short program whose output is asked for."""
    a, b, c, text = d.integer(1, 20), d.integer(2, 12), d.integer(2, 9), d.choose(TEXTS)
    x, y = d.some(VARIABLES, 2)
    code = d.choose(PROGRAMS).format(a=a, b=b, c=c, k=d.integer(2, 5), t=text, t0=d.choose(text), t3=d.choose(TEXTS)[:3], x=x, y=y, i=d.integer(0, 3), j=d.integer(3, 5), f=d.choose(("f", "g", "change", "calc", "do")))  # fmt: skip
    q = d.say("output", c=code)
    value = run(code, True)
    return Problem("output", code, q, "Run the program.", code, _said, _said(value).removeprefix("It "))
