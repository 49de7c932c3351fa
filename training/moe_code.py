"""Small Python functions: written on request, tried out with the tool, and short programs whose output is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from training.moe_wording import Draw, Problem


@dataclass(frozen=True)
class Function:
    """What it is asked for as, its source, and calls with their values."""

    asked: tuple[str, ...]
    name: str
    source: str
    calls: tuple[str, ...]


FUNCTIONS = (
    Function(("checks whether a number is prime", "tells if n is prime", "returns True for prime numbers", "tests primality"), "is_prime", "def is_prime(n):\n    return n > 1 and all(n % i for i in range(2, int(n ** 0.5) + 1))", ("is_prime(7)", "is_prime(9)", "is_prime(1)")),
    Function(("computes the factorial of n", "returns n factorial", "calculates n!", "gives the factorial of a number"), "factorial", "def factorial(n):\n    result = 1\n    for i in range(2, n + 1):\n        result *= i\n    return result", ("factorial(5)", "factorial(0)")),
    Function(("returns the nth Fibonacci number", "computes Fibonacci numbers", "calculates the nth Fibonacci number", "finds the nth number of the Fibonacci sequence"), "fibonacci", "def fibonacci(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a", ("fibonacci(10)", "fibonacci(1)")),
    Function(("reverses a string", "returns a text backwards", "turns a string around", "gives back the text in reverse"), "reverse", "def reverse(text):\n    return text[::-1]", ("reverse('abc')",)),
    Function(("checks if a string is a palindrome", "tells whether a word is a palindrome", "tests for palindromes", "returns True if a text reads the same backwards"), "is_palindrome", "def is_palindrome(text):\n    return text == text[::-1]", ("is_palindrome('level')", "is_palindrome('cat')")),
    Function(("counts the vowels in a string", "returns the number of vowels in a text", "counts vowels", "tells how many vowels a word has"), "count_vowels", "def count_vowels(text):\n    return sum(c in 'aeiou' for c in text.lower())", ("count_vowels('banana')",)),
    Function(("returns the sum of a list", "adds up all numbers of a list", "sums a list", "computes the total of a list of numbers"), "total", "def total(numbers):\n    result = 0\n    for number in numbers:\n        result += number\n    return result", ("total([1, 2, 3])",)),
    Function(("computes the average of a list", "returns the mean of a list of numbers", "calculates the mean", "gives the average of some numbers"), "average", "def average(numbers):\n    return sum(numbers) / len(numbers)", ("average([2, 4, 6])",)),
    Function(("finds the largest number in a list", "returns the maximum of a list", "gives the biggest element of a list", "picks the maximum out of a list"), "largest", "def largest(numbers):\n    best = numbers[0]\n    for number in numbers:\n        if number > best:\n            best = number\n    return best", ("largest([3, 9, 4])",)),
    Function(("finds the smallest number in a list", "returns the minimum of a list", "gives the smallest element of a list", "picks the minimum out of a list"), "smallest", "def smallest(numbers):\n    best = numbers[0]\n    for number in numbers:\n        if number < best:\n            best = number\n    return best", ("smallest([3, 9, 4])",)),
    Function(("converts Celsius to Fahrenheit", "turns degrees Celsius into Fahrenheit", "changes Celsius into Fahrenheit", "gives the Fahrenheit value for a temperature in Celsius"), "to_fahrenheit", "def to_fahrenheit(celsius):\n    return celsius * 9 / 5 + 32", ("to_fahrenheit(100)",)),
    Function(("computes the greatest common divisor of two numbers", "returns the gcd of a and b", "calculates the gcd", "finds the greatest common divisor"), "gcd", "def gcd(a, b):\n    while b:\n        a, b = b, a % b\n    return a", ("gcd(12, 18)",)),
    Function(("checks whether a number is even", "tells if n is even", "returns True for even numbers", "tests if a number is even"), "is_even", "def is_even(n):\n    return n % 2 == 0", ("is_even(4)", "is_even(7)")),
    Function(("counts the words in a text", "returns the number of words in a string", "counts words", "tells how many words a sentence has"), "count_words", "def count_words(text):\n    return len(text.split())", ("count_words('one two three')",)),
    Function(("squares every number in a list", "returns the squares of a list", "squares all elements of a list", "maps a list of numbers to their squares"), "squares", "def squares(numbers):\n    return [number ** 2 for number in numbers]", ("squares([1, 2, 3])",)),
    Function(("removes duplicates from a list", "returns a list without duplicates", "drops repeated elements from a list", "keeps each element of a list only once"), "unique", "def unique(items):\n    return list(dict.fromkeys(items))", ("unique([1, 2, 1])",)),
    Function(("keeps only the even numbers of a list", "filters even numbers", "returns the even numbers in a list", "selects all even numbers from a list"), "even_numbers", "def even_numbers(numbers):\n    return [number for number in numbers if number % 2 == 0]", ("even_numbers([1, 2, 3, 4])",)),
    Function(("sums the digits of a number", "returns the digit sum of n", "adds the digits of a number", "computes the sum of a number's digits"), "digit_sum", "def digit_sum(n):\n    return sum(int(c) for c in str(n))", ("digit_sum(123)",)),
    Function(("checks if a year is a leap year", "tells whether a year is a leap year", "tests for leap years", "returns True for leap years"), "is_leap", "def is_leap(year):\n    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)", ("is_leap(2024)", "is_leap(1900)")),
    Function(("returns FizzBuzz for n", "plays FizzBuzz", "gives the FizzBuzz answer for a number", "does FizzBuzz for one number"), "fizzbuzz", "def fizzbuzz(n):\n    if n % 15 == 0:\n        return 'FizzBuzz'\n    if n % 3 == 0:\n        return 'Fizz'\n    if n % 5 == 0:\n        return 'Buzz'\n    return str(n)", ("fizzbuzz(15)", "fizzbuzz(7)")),
    Function(("computes the area of a circle", "returns the area of a circle with radius r", "calculates a circle's area", "gives the area for a radius"), "circle_area", "import math\n\ndef circle_area(radius):\n    return math.pi * radius ** 2", ("round(circle_area(2), 2)",)),
    Function(("counts how often a letter is in a word", "counts a letter in a text", "returns how many times a letter appears in a word", "tells how often a letter occurs in a word"), "count_letter", "def count_letter(text, letter):\n    return text.count(letter)", ("count_letter('banana', 'a')",)),
    Function(("sorts a list of numbers", "returns a sorted list", "sorts numbers from smallest to largest", "puts a list of numbers in order"), "sort_numbers", "def sort_numbers(numbers):\n    return sorted(numbers)", ("sort_numbers([3, 1, 2])",)),
    Function(("computes a power", "returns a to the power of b", "raises a number to a power", "calculates a raised to b"), "power", "def power(a, b):\n    result = 1\n    for _ in range(b):\n        result *= a\n    return result", ("power(2, 10)",)),
)  # fmt: skip
REQUESTS = (
    *(
        "Write a Python function that {x}.",
        "Write a function that {x}.",
        "I need a Python function that {x}.",
        "Can you write a Python function which {x}?",
        "Python function that {x}",
        "Please code a function that {x}.",
    ),
    *(
        "Give me a function in Python that {x}.",
        "Implement a function that {x}.",
        "Show me a Python function which {x}.",
        "How do I write a Python function that {x}?",
        "Make a Python function that {x}.",
        "Define a function that {x}.",
    ),
    *(
        "Create a function in Python which {x}.",
        "I want Python code that {x}.",
        "Could you show code for a function that {x}?",
    ),
)


def function(d: Draw) -> Problem:
    f = d.rng.choice(FUNCTIONS)
    q = d.say(REQUESTS, x=d.choose(f.asked[:-1]) if d.split != "paraphrase" else f.asked[-1])
    scope: dict[str, object] = {}
    exec(f.source, scope)
    tried = f.calls[0]
    value = repr(eval(tried, scope))
    checks = "; ".join(f"assert {call} == {eval(call, scope)!r}" for call in f.calls)
    code = f"{f.source}\n\nprint({tried})"
    answer = "Here is the function.\n\n```python\n" + f.source + "\n```\n\nI tried it: "
    return Problem("function", f"{f.name}{d.integer(0, 999)}", q, f"Write {f.name} and try it with {tried}.", code, lambda r: f"{answer}{tried} gives {r}.", f"gives {value.strip(chr(39))}.",
                   f"The function {f.name}.", function=(f.name, checks))  # fmt: skip


def output(d: Draw) -> Problem:
    """A short program whose output is asked for."""
    a, b, c = d.integer(1, 20), d.integer(2, 12), d.integer(2, 9)
    text = d.choose(("banana", "hello", "python", "tandem", "letter", "kayak", "window", "garden"))
    code = d.choose((
        f"print({a} + {b} * {c})", f"x = {a}\nfor i in range({c}):\n    x += i\nprint(x)", f"print([i * {b} for i in range({c})])", f"print(len('{text}') * {b})", f"x = {a}\ny = {b}\nx, y = y, x\nprint(x - y)",
        f"print('{text}'[{d.integer(0, 3)}:{d.integer(3, 5)}])", f"print({a} // {b}, {a} % {b})", f"print(sum(range({a}, {a + b})))", f"print(sorted([{a}, {b}, {c}]))", f"print('{text}'.upper())", f"print('{text}'.replace('{text[0]}', 'x'))",
        f"def f(n):\n    return n * {b} + {c}\nprint(f({a}))", f"x = [{a}, {b}]\nx.append({c})\nprint(x[-1] + x[0])", f"n = {a}\nwhile n < {a + 50}:\n    n *= {b}\nprint(n)", f"print({a} > {b} and {c} < {b})", f"print('-'.join('{text}'[:{c}]))",
        f"print({{'a': {a}, 'b': {b}}}['b'])", f"total = 0\nfor x in [{a}, {b}, {c}]:\n    if x % 2 == 0:\n        total += x\nprint(total)",
    ))  # fmt: skip
    q = d.say(["What does this program print?\n\n```python\n{c}\n```", "What is the output of this code?\n```python\n{c}\n```", "What will this print?\n\n{c}", "Run this code and tell me the output:\n{c}", "Which output does this give?\n```\n{c}\n```", "What does the following Python code print?\n\n{c}",
               "Tell me the result of this program:\n\n```python\n{c}\n```"], c=code)  # fmt: skip
    from training.moe_python import run

    value = run(code)
    return Problem("output", code, q, "Run the program.", code, lambda r: f"It prints {r}.", f"prints {value}.")
