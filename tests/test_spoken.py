"""How an answer is spoken: sentence by sentence, with formulas read out and code and tables announced."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasoning.formula import spoken_formula
from reasoning.spoken import SpokenText, heard_chars, plain, unspoken

ANSWER = """# Solution

Dr. Smith says the speed is **80 km/h**, i.e. 3.5 times more. We have $\\frac{a+b}{2} \\le x^2$. Then
\\[ \\sqrt{x} = 3. \\]

1. First, do `this`.
2. Second, see [the page](http://x.y/z).

```python
print(1.5)
# done. yes
```
```output
7
```
| a | b |
|---|---|
| 1 | 2 |
| 3 | 4 |

The end is near. It costs $5 and $6 today"""
SPOKEN = [
    "Solution",
    "Dr. Smith says the speed is 80 km/h, i.e. 3.5 times more.",
    "We have a plus b over 2 is at most x squared.",
    "Then the square root of x equals 3.",
    "First, do this.",
    "Second, see the page.",
    "Here is the code.",
    "Here is its output.",
    "Here is a table with 2 rows.",
    "The end is near.",
    "It costs $5 and $6 today",
]


def spoken(text: str, size: int, language: str = "en") -> list[str]:
    speech = SpokenText(language)  # type: ignore[arg-type]
    return [said for at in range(0, len(text), size) for said in speech.push(text[at : at + size])] + speech.finish()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_an_answer_is_spoken_the_same_however_it_is_cut(size: int) -> None:
    assert spoken(ANSWER, size) == SPOKEN


def test_a_sentence_is_spoken_as_soon_as_it_is_whole() -> None:
    speech = SpokenText()
    assert speech.push("The first is 3.") == []
    assert speech.push("14. The") == ["The first is 3.14."]
    assert speech.push(" second") == [] and speech.finish() == ["The second"]


BOXES = '[{"bbox_2d": [1, 2, 30, 40], "label": "frog ] \\"x\\""}]'


@pytest.mark.parametrize(
    ("text", "heard", "kept"),
    [
        ("The sum is **12**, not 13.", "The sum is 12", "The sum is **12**,"),
        ("The sum is **12**, not 13.", "The sum is 12, no", "The sum is **12**,"),
        ("It has $x^2 + 1$ more.", "It has x squared", "It has"),
        ("It has $x^2 + 1$ more.", "It has x squared plus 1", "It has $x^2 + 1$"),
        ("It has $x^2 + 1$ more.", "It has x squared plus 1 more.", "It has $x^2 + 1$ more."),
        (" 1. See [the page](http://x.y/z), then *stop*.", "See the page", " 1. See [the page](http://x.y/z),"),
        ("Is 9.8 more than 9.11?", "Is 9.8 more than 9.1", "Is 9.8 more than"),
        ("每支3元，一共15元。", "每支3元，一共", "每支3元，一共"),
        ("Anna's is well-known.", "Anna's is well", "Anna's is"),
        ("Nothing.", "", ""),
        ("| a | b |", "Here is a table", ""),
    ],
)
def test_what_was_heard_of_an_answer_is_kept_to_the_word(text: str, heard: str, kept: str) -> None:
    assert text[: heard_chars(text, heard)] == kept


@settings(max_examples=80, deadline=None)
@given(st.text(alphabet="ab1 .!$|`*_[]()", max_size=40), st.integers(0, 40))
def test_more_that_was_heard_is_never_less_that_is_kept(text: str, heard: int) -> None:
    said = plain(text)
    less, more = heard_chars(text, said[:heard]), heard_chars(text, said)
    assert less <= more <= len(text)


@pytest.mark.parametrize("size", [1, 3, 10_000])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOXES, ["I have marked it in the picture."]),
        (f"```json\n{BOXES}\n```", ["I have marked it in the picture."]),
        (BOXES[:40], ["I have marked it in the picture."]),
        (
            f" {BOXES}\n\nThe frog is green. It sits.",
            ["I have marked it in the picture.", "The frog is green.", "It sits."],
        ),
        (f"{BOXES}\n```python\nx\n```", ["I have marked it in the picture.", "Here is the code."]),
        ('{"total": 3.5}', ["Here is the answer as data."]),
        ("[1, 2] is a list.", ["[1, 2] is a list."]),
        ("{x} is a set.", ["{x} is a set."]),
        ("```java\nx\n```\nDone.", ["Here is the code.", "Done."]),
        ("`x` is one.", ["x is one."]),
    ],
)
def test_boxes_and_other_data_at_the_beginning_are_announced_and_not_spelled(
    text: str, said: list[str], size: int
) -> None:
    assert spoken(text, size) == said


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet='ab1 \n`[]{}":,json', max_size=40))
def test_what_is_unspoken_only_grows_until_it_is_known(text: str) -> None:
    """Once words have begun, more words change nothing."""
    known = None
    for end in range(len(text) + 1):
        silent = unspoken(text[:end])
        assert 0 <= silent <= end
        if known is None and silent < end:
            known = silent
        assert known is None or silent == known
    assert unspoken(text, whole=True) in {unspoken(text), 0}
    assert not {unspoken(start, whole=True) for start in ("", " ", "[", "[{", "``", "```json\n")} - {0}


def test_chinese_is_split_at_its_own_marks() -> None:
    text = "答案是$\\frac{1}{2}$。下面是代码：\n```python\nx=1\n```\n好了！谢谢"
    assert spoken(text, 1, "zh") == ["答案是2分之1。", "下面是代码：", "代码如下。", "好了！", "谢谢"]


def test_nothing_is_held_back_for_ever() -> None:
    speech = SpokenText()
    said = speech.push("and so on " * 100)
    assert said and max(map(len, said)) <= 400
    assert spoken("```python\nnever closed", 5) == ["Here is the code."]
    assert spoken("", 1) == [] and spoken("\n\n---\n", 1) == []


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        (r"x^2 + y^3 = z^{n+1}", "x squared plus y cubed equals z to the power of n plus 1"),
        (r"\int_0^1 f(x) dx", "the integral from 0 to 1 of f x d x"),
        (r"\sum_{i=1}^{n} i", "the sum from i equals 1 to n of i"),
        (r"\lim_{x \to \infty} \frac{1}{x}", "the limit as x goes to infinity of 1 over x"),
        (r"\sqrt[3]{8} \times \sqrt{4}", "the cube root of 8 times the square root of 4"),
        (r"90^\circ \neq \pi", "90 degrees is not equal to pi"),
        (r"\binom{n}{k}", "n choose k"),
        (r"\boxed{42}", "42"),
        (r"x_1 \approx 3.14", "x 1 is about 3.14"),
        (r"\frac{1", "1 over"),
        ("", ""),
    ],
)
def test_formulas_are_read_out(formula: str, words: str) -> None:
    assert spoken_formula(formula) == words


def test_markdown_leaves_only_words() -> None:
    assert plain("See ![a cat](x.png), <b>bold</b> and ~~old~~ at https://a.b/c?d") == "See a cat, bold and old at link"
    assert (
        plain("- *one* and _two_ but snake_case_name and 2 * 3 * 4") == "one and two but snake_case_name and 2 * 3 * 4"
    )
    assert plain(r"The answer is \boxed{9.8}.") == "The answer is 9.8."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x is 3.6666666666666665.", "x is 3.6667."),
        ("It is 0.0000123456789, or $1/0.30000000001$.", "It is 0.00001235, or 1 over 0.3."),
        ("Pi is 3.14159, version 1.2.33333333 of 1.23456789a.", "Pi is 3.14159, version 1.2.33333333 of 1.23456789a."),
        ("It costs 2.00000000 in all.", "It costs 2 in all."),
    ],
)
def test_nobody_hears_more_digits_than_can_be_followed(text: str, said: str) -> None:
    assert plain(text) == said


@settings(max_examples=80, deadline=None)
@given(st.text(alphabet="ab1.!$\\|`*_{}()[]^ \n。", max_size=80), st.integers(1, 9))
def test_any_text_is_spoken_without_harm(text: str, size: int) -> None:
    assert all(said.strip() == said and "```" not in said for said in spoken(text, size))
