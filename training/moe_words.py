"""Problems about letters and words, small logic puzzles, and questions beyond the model's world."""

from __future__ import annotations

from training.moe_wording import NAMES, Draw, Problem

WORDS = tuple(
    "strawberry banana mississippi elephant computer keyboard butterfly chocolate window mountain river garden holiday umbrella raspberry "
    "pineapple tomorrow yesterday language sentence paragraph mathematics science history geography orchestra melody rhythm hospital doctor "
    "engineer architect balloon tennis football basketball volleyball swimming committee possession accommodation bookkeeper successful "
    "necessary parallel millennium occurrence referee coffee teapot cabbage cucumber tomato potato onion carrot spinach lettuce avocado "
    "blueberry cranberry watermelon coconut cinnamon vanilla pepper mustard vinegar sugar butter cheese yogurt sandwich biscuit pancake "
    "waffle noodle dumpling kangaroo giraffe hippopotamus rhinoceros crocodile alligator penguin dolphin octopus spider ladybug dragonfly "
    "grasshopper squirrel hedgehog rabbit chicken turkey pigeon sparrow eagle falcon parrot peacock flamingo letter number answer question "
    "example problem solution program function variable network internet website password message telephone television radio camera picture "
    "painting sculpture museum library theater cinema restaurant kitchen bathroom bedroom ceiling staircase elevator building apartment "
    "neighborhood village city country continent ocean island desert forest jungle valley canyon volcano earthquake thunderstorm lightning "
    "rainbow snowflake sunshine moonlight assassin tattoo balloonist level radar civic noon racecar madam kayak rotor refer".split()
)
SYLLABLES = "ba be bi bo bu da de di do ka ke ki la le li lo ma me mi mo na ne ni no pa pe pi ra re ri ro sa se si so ta te ti to va ve vi za ze ss ll tt nn rr".split()


def _word(d: Draw) -> str:
    if d.rng.random() < 0.5:
        return d.choose(WORDS)
    return "".join(d.choose(SYLLABLES) for _ in range(d.integer(2, 5)))


def letters(d: Draw) -> Problem:
    w, form = _word(d), d.integer(0, 7)
    # Letters stand apart in the plan: the pieces of a word hide them.
    apart = " ".join(w)
    if form <= 2:
        c = d.choose(w) if d.rng.random() < 0.85 else d.choose("abcdefghijklmnoprstuvwy")
        q = d.say(["How many times does the letter {c} appear in {w}?", "How many {c}'s are in {w}?", "How many {c}s are there in the word {w}?", "Count the letter {c} in {w}.", "How often does {c} occur in {w}?", 'How many "{c}" are in "{w}"?', "In the word {w}, how many letters {c} are there?",
                   "How many {c}'s does {w} have?", "Tell me the number of {c}'s in {w}.", "What is the count of {c} in {w}?", "The word {w} contains how many {c}?", "How frequently is the letter {c} used in {w}?", "Does {w} have any {c}, and how many?"], c=c, w=w)  # fmt: skip
        n = w.count(c)
        marked = ", ".join(f"{x} {w[: i + 1].count(c)}" if x == c else x for i, x in enumerate(w))
        return Problem(
            "letters",
            f"{c}in{w}",
            q,
            f"Count the letter {c} in the word {w}.",
            f'print("{w}".count("{c}"))',
            lambda r: f"The letter {c} appears {r} time{'' if r == '1' else 's'} in {w}.",
            f"appears {n} ",
            f"Letter by letter: {marked}. That makes {n}.",
        )
    if form == 3:
        q = d.say(
            [
                "How many letters does {w} have?",
                "How long is the word {w}?",
                "Count the letters in {w}.",
                "How many letters are in the word {w}?",
                "What is the length of {w}?",
                "The word {w} is made of how many letters?",
            ],
            w=w,
        )
        return Problem(
            "letters",
            f"len{w}",
            q,
            f"The length of the word {w}.",
            f'print(len("{w}"))',
            lambda r: f"{w} has {r} letters.",
            f"has {len(w)} ",
            "Letter by letter: " + ", ".join(f"{x} {i + 1}" for i, x in enumerate(w)) + ".",
        )
    if form == 4:
        q = d.say(
            [
                "Spell {w} backwards.",
                "Reverse the word {w}.",
                "What is {w} spelled backwards?",
                "Write {w} in reverse.",
                "{w} backwards",
                "How does {w} read from right to left?",
            ],
            w=w,
        )
        return Problem(
            "letters",
            f"rev{w}",
            q,
            f"Reverse the word {w}.",
            f'print("{w}"[::-1])',
            lambda r: f"Backwards it is {r}.",
            f"is {w[::-1]}.",
            f"The letters are {apart}; from the end: {' '.join(reversed(w))}.",
        )
    if form == 5:
        n = sum(w.count(v) for v in "aeiou")
        q = d.say(
            [
                "How many vowels are in {w}?",
                "Count the vowels in {w}.",
                "How many vowels does the word {w} have?",
                "What number of vowels has {w}?",
                "How many of the letters of {w} are vowels?",
                "The vowels of {w}: how many?",
            ],
            w=w,
        )
        return Problem(
            "letters",
            f"vowels{w}",
            q,
            f"Count a, e, i, o and u in the word {w}.",
            f'print(sum(c in "aeiou" for c in "{w}"))',
            lambda r: f"{w} has {r} vowels.",
            f"has {n} ",
        )
    if form == 6:
        k = d.integer(1, len(w))
        place = d.choose(
            (
                f"letter number {k}",
                f"the {k}{'th' if 10 < k < 14 else {1: 'st', 2: 'nd', 3: 'rd'}.get(k % 10, 'th')} letter",
            )
        )
        q = d.say(
            [
                "What is {p} of {w}?",
                "Which is {p} of the word {w}?",
                "Tell me {p} of {w}.",
                "Give me {p} in {w}.",
                "In {w}, what is {p}?",
                "Find {p} in the word {w}.",
            ],
            p=place,
            w=w,
        )
        return Problem(
            "letters",
            f"{k}of{w}",
            q,
            f"Letter number {k} of {w}; Python counts from 0.",
            f'print("{w}"[{k} - 1])',
            lambda r: f"Letter {k} of {w} is {r}.",
            f"is {w[k - 1]}.",
            "Letter by letter: " + ", ".join(f"{x} {i + 1}" for i, x in enumerate(w)) + ".",
        )
    if d.rng.random() < 0.5:
        w = w[: len(w) // 2 + 1] + w[: len(w) // 2 + 1][::-1][1:]
    yes = w == w[::-1]
    q = d.say(
        [
            "Is {w} a palindrome?",
            "Does {w} read the same backwards?",
            "Check whether {w} is a palindrome.",
            "Is the word {w} a palindrome?",
            "Is {w} the same when reversed?",
            "Reading {w} from the back, is it the same word?",
        ],
        w=w,
    )
    return Problem(
        "letters",
        f"pal{w}",
        q,
        f"Compare {w} with its reverse.",
        f'print("{w}" == "{w}"[::-1])',
        lambda r: f"Yes, {w} is a palindrome." if r == "True" else f"No, {w} is not a palindrome.",
        "Yes" if yes else "No",
        f"{' '.join(w)} backwards is {' '.join(reversed(w))}: {'the same' if yes else 'not the same'}.",
    )


def word_lists(d: Draw) -> Problem:
    words = d.some(WORDS, d.integer(3, 6))
    form, listed = d.integer(0, 2), ", ".join(words)
    quoted = ", ".join(f'"{w}"' for w in words)
    if form == 0:
        q = d.say(
            [
                "Sort these words alphabetically: {l}",
                "Put {l} in alphabetical order.",
                "Order the words {l} by the alphabet.",
                "Alphabetize: {l}",
                "Arrange {l} alphabetically.",
                "Bring {l} into the order of a dictionary.",
            ],
            l=listed,
        )
        return Problem(
            "letters",
            f"sort{listed}",
            q,
            f"Sort {listed}.",
            f"print(*sorted([{quoted}]), sep=', ')",
            lambda r: f"In order: {r}.",
            ", ".join(sorted(words)),
        )
    if form == 1:
        if len({len(w) for w in words}) < len(words):
            return word_lists(d)
        q = d.say(
            [
                "Which word is the longest: {l}?",
                "Which of these words is longest: {l}",
                "Find the longest word: {l}",
                "Of {l}, which word has the most letters?",
                "What is the longest word in {l}?",
                "Pick the word with the most letters from {l}.",
            ],
            l=listed,
        )
        return Problem(
            "letters",
            f"long{listed}",
            q,
            f"The longest of {listed}.",
            f"print(max([{quoted}], key=len))",
            lambda r: f"The longest word is {r}.",
            f"is {max(words, key=len)}.",
        )
    text = " ".join(d.some(WORDS, d.integer(3, 9)))
    q = d.say(
        [
            'How many words are in "{t}"?',
            'Count the words in "{t}".',
            'How many words does the sentence "{t}" have?',
            'What is the word count of "{t}"?',
            'Number of words in "{t}"?',
            '"{t}" consists of how many words?',
        ],
        t=text,
    )
    return Problem(
        "letters",
        f"words{text}",
        q,
        "Split the text at its spaces and count.",
        f'print(len("{text}".split()))',
        lambda r: f"It has {r} words.",
        f"has {len(text.split())} ",
    )


RELATIONS = (
    ("taller", "shorter", "tallest", "shortest"),
    ("older", "younger", "oldest", "youngest"),
    ("faster", "slower", "fastest", "slowest"),
    ("heavier", "lighter", "heaviest", "lightest"),
    ("richer", "poorer", "richest", "poorest"),
    ("stronger", "weaker", "strongest", "weakest"),
)


def chain(d: Draw) -> Problem:
    """Three to five people in an order, told in pieces."""
    more, less, most, least = d.rng.choice(RELATIONS)
    people = d.some(NAMES, d.integer(3, 5))
    facts = []
    for a, b in zip(people, people[1:]):
        facts.append(f"{a} is {more} than {b}" if d.rng.random() < 0.6 else f"{b} is {less} than {a}")
    d.rng.shuffle(facts)
    story = ". ".join(facts) + "."
    order = " > ".join(people)
    form = d.integer(0, 2)
    if form == 2:
        a, b = d.some(people, 2)
        yes = people.index(a) < people.index(b)
        q = (
            story
            + " "
            + d.say(
                [
                    "Is {a} {m} than {b}?",
                    "Does it follow that {a} is {m} than {b}?",
                    "So is {a} {m} than {b}?",
                    "Can we say that {a} is {m} than {b}?",
                    "Is it true that {a} is {m} than {b}?",
                    "Would {a} be {m} than {b}?",
                ],
                a=a,
                b=b,
                m=more,
            )
        )
        plan = f"Put them in order, the {most} first: {order}. {a} comes {'before' if yes else 'after'} {b}."
        gold = f"{'Yes' if yes else 'No'}, {a} is {more if yes else less} than {b}."
        return Problem("logic", f"{order}{a}{b}", q, plan, None, lambda r: gold, gold, plan)
    word, who = (most, people[0]) if form == 0 else (least, people[-1])
    q = (
        story
        + " "
        + d.say(
            [
                "Who is the {w}?",
                "Which person is the {w}?",
                "Who is {w}?",
                "Tell me who is the {w}.",
                "So who is the {w} of them?",
                "Name the {w} person.",
            ],
            w=word,
        )
    )
    plan = f"Put them in order, the {most} first: {order}. The {word} is {who}."
    return Problem(
        "logic", f"{order}{word}", q, plan, None, lambda r: f"{who} is the {word}.", f"{who} is the {word}", plan
    )


CLASSES = "bloops razzies lazzies wugs zorps flims grubs tinks morps dax fleps cats dogs birds roses flowers poets bakers robots boxes".split()


def syllogism(d: Draw) -> Problem:
    a, b, c = d.some(CLASSES, 3)
    who = d.name()
    form = d.integer(0, 5)
    ask = [
        "Are all {a} {c}?",
        "Does it follow that all {a} are {c}?",
        "Is every one of the {a} among the {c}?",
        "Can we conclude that all {a} are {c}?",
        "So, must all {a} be {c}?",
        "Is it certain that all {a} are {c}?",
    ]
    ask_one = [
        "Is {w} one of the {c}?",
        "Does it follow that {w} is one of the {c}?",
        "Must {w} be one of the {c}?",
        "Can we be sure that {w} is one of the {c}?",
        "So is {w} among the {c}?",
        "Is it certain that {w} belongs to the {c}?",
    ]
    if form == 0:
        story, question = f"All {a} are {b}. All {b} are {c}.", d.say(ask, a=a, c=c)
        plan, gold = f"{a} are inside {b}, and {b} are inside {c}, so {a} are inside {c}.", f"Yes, all {a} are {c}."
    elif form == 1:
        story, question = f"All {a} are {b}. Some {b} are {c}.", d.say(ask, a=a, c=c)
        plan, gold = (
            f"Only some {b} are {c}, and the {a} may be among the others.",
            f"No, it does not follow that all {a} are {c}.",
        )
    elif form == 2:
        story, question = f"All {a} are {b}. No {b} are {c}.", d.say(ask, a=a, c=c)
        plan, gold = f"{a} are inside {b}, and nothing in {b} is in {c}.", f"No, no {a} are {c}."
    elif form == 3:
        story, question = f"All {a} are {c}. {who} is one of the {a}.", d.say(ask_one, w=who, c=c)
        plan, gold = f"{who} is inside {a}, which are inside {c}.", f"Yes, {who} is one of the {c}."
    elif form == 4:
        story, question = f"All {a} are {c}. {who} is not one of the {a}.", d.say(ask_one, w=who, c=c)
        plan, gold = (
            f"Things that are not {a} may still be {c}, so nothing follows.",
            f"No, we cannot know whether {who} is one of the {c}.",
        )
    else:
        story, question = f"No {a} are {c}. {who} is one of the {a}.", d.say(ask_one, w=who, c=c)
        plan, gold = f"{who} is inside {a}, and nothing in {a} is in {c}.", f"No, {who} is not one of the {c}."
    return Problem("logic", f"{story}{question}", f"{story} {question}", plan, None, lambda r: gold, gold, plan)


def heads_and_legs(d: Draw) -> Problem:
    x, y, a, b = d.rng.choice(
        (
            ("chickens", "rabbits", 2, 4),
            ("ducks", "cows", 2, 4),
            ("bicycles", "cars", 2, 4),
            ("tricycles", "cars", 3, 4),
            ("stools with three legs", "chairs with four legs", 3, 4),
        )
    )
    m, n = d.integer(1, 40), d.integer(1, 40)
    total, legs = m + n, a * m + b * n
    part = "wheels" if "cycles" in x else "legs"
    q = d.say(["There are {t} {x} and {y} with {l} {p} in total. How many {y} are there?", "{x} and {y}: {t} together, with {l} {p}. How many are {y}?", "I count {t} {x} and {y}, and {l} {p}. How many {y} is that?", "Among {t} {x} and {y} there are {l} {p}. Find the number of {y}.", "{t} {x} and {y} have {l} {p}. How many {y}?",
               "A place has {x} and {y}, {t} in all, with {l} {p}. What is the number of {y}?"], t=d.n(total), l=d.n(legs), x=x, y=y, p=part)  # fmt: skip
    q = q[0].upper() + q[1:]
    plan = f"If all {total} were {x}, there would be {a} * {total} {part}. Each of the {y} adds {b} - {a}: ({legs} - {a} * {total}) / ({b} - {a})."
    return Problem(
        "logic",
        f"{x}{total}{legs}",
        q,
        plan,
        f"print(({legs} - {a} * {total}) // ({b} - {a}))",
        lambda r: f"There are {r} {y}.",
        f"are {n} ",
    )


BEYOND = (
    ("who {x}", ("won the last world cup", "wrote Hamlet", "is the president of France", "invented the telephone", "painted the Mona Lisa", "discovered America", "is the richest person in the world", "sang that song")),
    ("what is {x}", ("the capital of Peru", "the meaning of life", "quantum physics", "the best film of all time", "the tallest mountain", "photosynthesis", "your favorite color", "the news today", "a black hole", "love", "in this picture", "the weather like today", "the price of gold right now")),
    ("tell me {x}", ("a story", "a joke", "something about Rome", "about the French Revolution", "the news", "about dinosaurs", "a fairy tale", "what you think of politics")),
    ("write {x}", ("a poem about the sea", "an email to my boss", "a love letter", "a song", "an essay about climate change", "a birthday card for my mother", "a summary of the Bible")),
    ("can you {x}", ("recommend a good book", "translate this into Chinese", "sing a song", "order a pizza for me", "book a flight to Paris", "draw a cat", "play chess with me", "call my mother", "open my files", "search the web")),
    ("how do I {x}", ("bake a chocolate cake", "get rid of a cold", "learn to play the guitar", "fix my car", "lose weight", "find a job", "grow tomatoes", "make friends")),
    ("why {x}", ("is the sky blue", "do cats purr", "did the Roman Empire fall", "do we dream", "is the sea salty", "do leaves turn red", "do people lie")),
    ("when {x}", ("was Napoleon born", "did the Second World War end", "does the next train leave", "will it rain", "was the wheel invented", "is my appointment")),
    ("where {x}", ("is Timbuktu", "can I buy cheap shoes", "do penguins live", "are my keys", "should I go on holiday", "does coffee come from")),
    ("{x}", ("I feel sad today.", "My head hurts, what should I take?", "Should I buy this stock?", "Do you like music?", "Are you alive?", "Describe this photo.", "What do you see?", "Play some music.", "Remind me to call Tom.", "Set an alarm for seven.")),
)  # fmt: skip
UNKNOWN = (
    "I do not know that. I am a small model for calculating, counting and step-by-step puzzles.",
    "That is beyond me: I am a small model for arithmetic, dates, units and puzzles. A larger model can be connected in the settings.",
    "I cannot answer that. I am made for numbers, dates, units, letters and small puzzles.",
)
TALK = (
    (("hello", "hi", "hey there", "good morning", "good evening", "hello, how are you"), "Hello! Give me a calculation or a puzzle, and I will work it out."),
    (("who are you", "what are you", "what is your name", "introduce yourself", "are you a person"), "I am Tandem's small reasoning model. I calculate, count and solve small puzzles step by step."),
    (("what can you do", "how can you help me", "what are you good at", "what should I ask you", "what do you know"), "I can calculate, compare numbers, convert units, work with dates, count letters, continue sequences, solve equations and word problems, and write small Python functions."),
    (("thank you", "thanks", "thanks a lot", "great, thank you", "well done"), "You are welcome!"),
    (("bye", "goodbye", "see you", "good night", "see you later"), "Goodbye!"),
)  # fmt: skip


def talk(d: Draw) -> Problem:
    """What no reasoning is needed for, or none would help."""
    if d.rng.random() < 0.35:
        questions, answer = d.rng.choice(TALK)
        q = d.say(questions)
        q += d.choose(("", "!", "?", ".")) if d.rng.random() < 0.7 else ""
        q = q[0].upper() + q[1:] if d.rng.random() < 0.7 else q
        return Problem("talk", f"{q}{d.integer(0, 99)}", q, "", None, lambda r: answer, answer)
    frame, subjects = d.rng.choice(BEYOND)
    x = d.say(subjects)
    q = frame.format(x=x)
    q = (
        q[0].upper()
        + q[1:]
        + ("?" if frame.split()[0] in ("who", "what", "can", "how", "why", "when", "where") else "")
    )
    answer = UNKNOWN[len(q) % len(UNKNOWN)]
    plan = "This is not something that I can work out."
    return Problem("talk", f"{q}{d.integer(0, 99)}", q, plan, None, lambda r: answer, answer, plan)
