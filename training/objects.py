"""What the pictures show: colours, shapes and everyday objects, as sprites.

The objects are drawn from Noto Color Emoji (SIL Open Font License; Debian `fonts-noto-color-emoji`). Each sprite is
rendered once a process and kept.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Where Debian packages are unpacked: "/" after apt-get install, another folder after dpkg -x.
DEBIAN_ROOT_VARIABLE = "TANDEM_DEBIAN_ROOT"
DEBIAN_PACKAGES = (
    "fonts-noto-color-emoji", "wordnet-base", "fonts-dejavu-core", "fonts-dejavu-extra", "fonts-liberation",
    "fonts-freefont-ttf", "fonts-open-sans", "fonts-lato", "fonts-crosextra-carlito", "fonts-crosextra-caladea",
    "fonts-comic-neue", "fonts-inconsolata", "fonts-cabin", "fonts-courier-prime", "fonts-roboto-unhinted",
    "fonts-ebgaramond", "fonts-quattrocento", "fonts-fanwood",
)  # fmt: skip
EMOJI_FONT = "usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
EMOJI_FONT_PIXELS = 109  # the one size the bitmap font has
SPRITE_PIXELS = 128
VISIBLE_ALPHA = 64  # of 255: what counts as part of a sprite when its box is measured
VISIBLE = [0] * VISIBLE_ALPHA + [255] * (256 - VISIBLE_ALPHA)  # as a table for Image.point

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (214, 32, 36),
    "orange": (245, 138, 18),
    "yellow": (250, 220, 40),
    "green": (40, 160, 60),
    "blue": (40, 90, 220),
    "purple": (130, 50, 175),
    "pink": (248, 130, 185),
    "brown": (118, 68, 28),
    "black": (18, 18, 20),
    "white": (247, 247, 247),
    "gray": (132, 132, 134),
}
SHAPES = (
    "circle", "square", "triangle", "rectangle", "oval", "star", "heart", "diamond", "pentagon", "hexagon", "cross",
    "ring", "arrow", "crescent", "semicircle", "trapezoid",
)  # fmt: skip

PALE = "👕"  # glyphs whose paint is so light that it counts as coloured at a lower saturation

# name, its glyphs, and after "=" the colour everybody would give it; "*" marks things that are painted in any colour.
_OBJECTS = """
animal: dog 🐶🐕🐩; cat 🐱🐈; mouse 🐭🐁; rabbit 🐰🐇; fox 🦊=orange; bear 🐻=brown; panda 🐼; koala 🐨=gray; tiger 🐯🐅; lion 🦁;
 cow 🐮🐄; pig 🐷🐖=pink; frog 🐸=green; monkey 🐵🐒; chicken 🐔; rooster 🐓; penguin 🐧; bird 🐦; chick 🐤🐥=yellow; duck 🦆;
 eagle 🦅; owl 🦉; bat 🦇; wolf 🐺; horse 🐴🐎; unicorn 🦄; bee 🐝; caterpillar 🐛; butterfly 🦋; snail 🐌;
 ladybug 🐞=red; ant 🐜; spider 🕷; scorpion 🦂; turtle 🐢=green; snake 🐍; lizard 🦎=green; dinosaur 🦕🦖; octopus 🐙;
 squid 🦑; shrimp 🦐; lobster 🦞=red; crab 🦀=red; fish 🐟🐠; dolphin 🐬; whale 🐳🐋; shark 🦈; crocodile 🐊=green; zebra 🦓;
 gorilla 🦍; elephant 🐘=gray; hippo 🦛; rhino 🦏; camel 🐪🐫; giraffe 🦒; kangaroo 🦘; sheep 🐑; ram 🐏; goat 🐐; deer 🦌;
 turkey 🦃; peacock 🦚; parrot 🦜; swan 🦢=white; flamingo 🦩=pink; squirrel 🐿; hedgehog 🦔; otter 🦦; sloth 🦥; skunk 🦨;
 hamster 🐹; dragon 🐉🐲; llama 🦙; mosquito 🦟; beaver 🦫; seal 🦭; raccoon 🦝; badger 🦡; beetle 🪲; leopard 🐆; worm 🪱
food: apple 🍎=red; pear 🍐=green; tangerine 🍊=orange; lemon 🍋=yellow; banana 🍌=yellow; watermelon 🍉; strawberry 🍓=red;
 bunch of grapes 🍇=purple; melon 🍈; peach 🍑; mango 🥭; pineapple 🍍; coconut 🥥; kiwi 🥝; tomato 🍅=red;
 eggplant 🍆=purple; avocado 🥑; broccoli 🥦=green; cucumber 🥒=green; chili pepper 🌶=red; ear of corn 🌽;
 carrot 🥕=orange; potato 🥔=brown; onion 🧅; mushroom 🍄; peanut 🥜; chestnut 🌰=brown; loaf of bread 🍞; croissant 🥐;
 baguette 🥖; pretzel 🥨; bagel 🥯; waffle 🧇; piece of cheese 🧀=yellow; egg 🥚; steak 🥩; hamburger 🍔; pizza 🍕;
 hot dog 🌭; sandwich 🥪; taco 🌮; salad 🥗; bag of popcorn 🍿; ice cream 🍦🍨; donut 🍩; cookie 🍪; cake 🎂🍰;
 cupcake 🧁; pie 🥧; chocolate bar 🍫=brown; candy 🍬; lollipop 🍭; honey pot 🍯; baby bottle 🍼; glass of milk 🥛;
 cup of coffee ☕; teapot 🫖*; glass of wine 🍷; mug of beer 🍺; cocktail 🍸; juice box 🧃; bell pepper 🫑=green; box of fries 🍟
vehicle: car 🚗*; taxi 🚕=yellow; bus 🚌; racing car 🏎=red; police car 🚓; ambulance 🚑=white; fire truck 🚒=red; van 🚐;
 truck 🚚; tractor 🚜; bicycle 🚲; kick scooter 🛴; motor scooter 🛵*; motorcycle 🏍; train 🚂🚄🚆; tram 🚊; airplane ✈🛩;
 helicopter 🚁; rocket 🚀; flying saucer 🛸; sailboat ⛵; motorboat 🚤; ship 🚢; canoe 🛶; skateboard 🛹; wheelchair 🦽;
 traffic light 🚦; stop sign 🛑=red; fuel pump ⛽*; anchor ⚓; parachute 🪂; roller skate 🛼; ferris wheel 🎡; satellite 🛰
tool: hammer 🔨; axe 🪓; pickaxe ⛏; wrench 🔧; screwdriver 🪛; saw 🪚; bolt 🔩; gear ⚙; ladder 🪜; magnet 🧲;
 pair of scissors ✂; knife 🔪; key 🔑🗝; padlock 🔒; toolbox 🧰*; bucket 🪣*; broom 🧹; paintbrush 🖌; pencil ✏; pen 🖊;
 crayon 🖍*; ruler 📏; paper clip 📎; pushpin 📌*; magnifying glass 🔍; microscope 🔬; telescope 🔭; flashlight 🔦; candle 🕯;
 light bulb 💡; battery 🔋; plug 🔌; compass 🧭; thermometer 🌡; syringe 💉; pill 💊; bandage 🩹; stethoscope 🩺; shopping cart 🛒
clothes: t-shirt 👕*; pair of jeans 👖=blue; dress 👗*; coat 🧥*; pair of socks 🧦; pair of gloves 🧤; scarf 🧣*; top hat 🎩;
 cap 🧢*; crown 👑; shoe 👞=brown; sneaker 👟*; boot 👢🥾; sandal 👡; high heel 👠*; bikini 👙; kimono 👘; necktie 👔;
 pair of glasses 👓; pair of sunglasses 🕶=black; handbag 👜*; purse 👛*; backpack 🎒*; watch ⌚; umbrella ☂*; lipstick 💄;
 helmet ⛑🪖; sun hat 👒; flip-flop 🩴
household: chair 🪑; couch 🛋*; bed 🛏; door 🚪*; window 🪟; toilet 🚽=white; shower 🚿; bathtub 🛁; mirror 🪞; alarm clock ⏰*;
 clock 🕐🕓🕗; telephone ☎*; phone 📱; laptop 💻; computer 🖥; keyboard ⌨; printer 🖨; camera 📷; video camera 📹🎥;
 television 📺; radio 📻; microphone 🎤🎙; pair of headphones 🎧; book 📕📗📘*; newspaper 📰; envelope ✉; mailbox 📮*;
 box 📦=brown; basket 🧺; bar of soap 🧼; sponge 🧽; toothbrush 🪥; razor 🪒; teddy bear 🧸=brown; balloon 🎈*; gift 🎁*;
 kite 🪁; puzzle piece 🧩; trophy 🏆; medal 🏅; soccer ball ⚽; basketball 🏀=orange; tennis ball 🎾; baseball ⚾=white;
 rugby ball 🏉; volleyball 🏐; fishing rod 🎣; boxing glove 🥊*; ice skate ⛸; sled 🛷; dartboard 🎯; guitar 🎸; violin 🎻;
 trumpet 🎺; saxophone 🎷; drum 🥁; piano 🎹; accordion 🪗; banjo 🪕; bell 🔔; paint palette 🎨; money bag 💰; coin 🪙;
 banknote 💵=green; credit card 💳; gemstone 💎; spoon 🥄; bowl 🥣*; pan 🍳; jar 🫙; fire extinguisher 🧯=red; hourglass ⌛;
 calendar 📅; briefcase 💼; suitcase 🧳*; folder 📁; trash can 🗑; flag 🚩*; shield 🛡; sword 🗡; bow and arrow 🏹; bomb 💣=black;
 crystal ball 🔮; robot 🤖; ghost 👻=white; skull 💀; alien 👽; snowman ⛄; pumpkin 🎃=orange; abacus 🧮; vase 🏺;
 spool of thread 🧵; ball of yarn 🧶*; safety pin 🧷; yo-yo 🪀; billiard ball 🎱=black; lantern 🏮*; scroll 📜; map 🗺
nature: tree 🌳🌲=green; palm tree 🌴; cactus 🌵=green; flower 🌼🌸; rose 🌹=red; tulip 🌷; sunflower 🌻=yellow;
 leaf 🍂🍃; maple leaf 🍁; clover 🍀=green; sun ☀🌞=yellow; moon 🌕🌝=yellow; cloud ☁; rainbow 🌈; lightning bolt ⚡;
 snowflake ❄; fire 🔥; drop of water 💧=blue; wave 🌊=blue; mountain ⛰🏔; volcano 🌋; globe 🌍🌎🌏; comet ☄; tornado 🌪;
 rock 🪨=gray; log 🪵=brown; seashell 🐚; feather 🪶; bone 🦴; tooth 🦷; bouquet 💐; seedling 🌱=green; potted plant 🪴;
 island 🏝
place: house 🏠; church ⛪; castle 🏰; factory 🏭; tent ⛺*; hospital 🏥; school 🏫; bridge 🌉; fountain ⛲; statue 🗽; tower 🗼=red;
 hut 🛖; stadium 🏟; bank 🏦; office building 🏢
body: hand ✋; foot 🦶; ear 👂; eye 👁; nose 👃; mouth 👄; brain 🧠=pink; baby 👶; boy 👦; girl 👧; man 👨; woman 👩;
 smiling face 😀=yellow
"""


@dataclass(frozen=True)
class Thing:
    """A kind of object. category: "shape", "animal" …; glyphs: the characters that draw it; color: the one everybody
    would give it; paintable: may be painted in each of COLORS."""

    name: str
    category: str
    glyphs: str = ""
    color: str | None = None
    paintable: bool = False


@lru_cache(maxsize=1)
def things() -> tuple[Thing, ...]:
    """All everyday objects."""
    found: list[Thing] = []
    for line in _OBJECTS.replace("\n ", " ").strip().splitlines():
        category, _, rest = line.partition(":")
        for entry in filter(None, map(str.strip, rest.split(";"))):
            name, glyphs = entry.rsplit(" ", 1)
            glyphs, _, color = glyphs.partition("=")
            found.append(Thing(name, category, glyphs.rstrip("*"), color or None, glyphs.endswith("*")))
    return tuple(found)


@lru_cache(maxsize=1)
def shapes() -> tuple[Thing, ...]:
    return tuple(Thing(name, "shape", paintable=True) for name in SHAPES)


def debian_file(path: str) -> Path:
    """The file that a Debian package puts at /`path`, under TANDEM_DEBIAN_ROOT where that is set."""
    found = Path(os.environ.get(DEBIAN_ROOT_VARIABLE, "/")) / path
    if not found.exists():
        raise FileNotFoundError(f"{found} is missing: install the Debian packages {', '.join(DEBIAN_PACKAGES)}")
    return found


def _polygon(sides: int, turn_deg: float = -90.0, inner: float | None = None) -> list[tuple[float, float]]:
    """Corners of a regular polygon in the unit square, or of a star with `inner` radius ratio."""
    count = sides if inner is None else 2 * sides
    radii = [1.0 if inner is None or i % 2 == 0 else inner for i in range(count)]
    angles = np.radians(turn_deg + 360 / count * np.arange(count))
    return [(0.5 + r * np.cos(a) / 2, 0.5 + r * np.sin(a) / 2) for r, a in zip(radii, angles, strict=True)]


_CORNERS: dict[str, list[tuple[float, float]]] = {
    "square": [(0, 0), (1, 0), (1, 1), (0, 1)],
    "rectangle": [(0, 0.22), (1, 0.22), (1, 0.78), (0, 0.78)],
    "triangle": [(0.5, 0), (1, 0.9), (0, 0.9)],
    "diamond": [(0.5, 0), (0.86, 0.5), (0.5, 1), (0.14, 0.5)],
    "trapezoid": [(0.25, 0.2), (0.75, 0.2), (1, 0.8), (0, 0.8)],
    "cross": [(a / 3, b / 3) for a, b in
              ((1, 0), (2, 0), (2, 1), (3, 1), (3, 2), (2, 2), (2, 3), (1, 3), (1, 2), (0, 2), (0, 1), (1, 1))],
    "arrow": [(0, 0.35), (0.55, 0.35), (0.55, 0.1), (1, 0.5), (0.55, 0.9), (0.55, 0.65), (0, 0.65)],
    "pentagon": _polygon(5),
    "hexagon": _polygon(6, 0.0),
    "star": _polygon(5, inner=0.42),
}  # fmt: skip


@cache
def shape_mask(name: str) -> Image.Image:
    """The shape as an 8-bit mask, cropped to its box, its longer side SPRITE_PIXELS."""
    scale = 4 * SPRITE_PIXELS
    mask = Image.new("L", (scale, scale))
    draw = ImageDraw.Draw(mask)
    whole = (0, 0, scale - 1, scale - 1)
    if name in _CORNERS:
        draw.polygon([(x * scale, y * scale) for x, y in _CORNERS[name]], fill=255)
    elif name == "circle":
        draw.ellipse(whole, fill=255)
    elif name == "oval":
        draw.ellipse((0, scale * 0.2, scale - 1, scale * 0.8), fill=255)
    elif name == "semicircle":
        draw.pieslice(whole, 180, 360, fill=255)
    elif name == "ring":
        draw.ellipse(whole, fill=255)
        draw.ellipse((scale * 0.24, scale * 0.24, scale * 0.76, scale * 0.76), fill=0)
    elif name == "crescent":
        draw.ellipse(whole, fill=255)
        draw.ellipse((scale * 0.34, scale * 0.04, scale * 1.26, scale * 0.96), fill=0)
    else:
        assert name == "heart", name
        angle = np.linspace(0, 2 * np.pi, 200)
        x = 16 * np.sin(angle) ** 3
        y = -(13 * np.cos(angle) - 5 * np.cos(2 * angle) - 2 * np.cos(3 * angle) - np.cos(4 * angle))
        draw.polygon([((a / 34 + 0.5) * scale, (b / 34 + 0.5) * scale) for a, b in zip(x, y, strict=True)], fill=255)
    mask = mask.crop(mask.getbbox())
    factor = SPRITE_PIXELS / max(mask.size)
    return mask.resize((round(mask.width * factor), round(mask.height * factor)), Image.Resampling.BOX)


@lru_cache(maxsize=1)
def _emoji_font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(debian_file(EMOJI_FONT)), EMOJI_FONT_PIXELS, layout_engine=ImageFont.Layout.BASIC)


@cache
def glyph_sprite(glyph: str) -> Image.Image:
    """The emoji as RGBA, cropped to its visible box."""
    canvas = Image.new("RGBA", (160, 160))
    ImageDraw.Draw(canvas).text((8, 8), glyph, font=_emoji_font(), embedded_color=True)
    box = canvas.getchannel("A").point(VISIBLE).getbbox()
    if box is None:
        raise ValueError(f"the emoji font does not draw {glyph!r}")
    return canvas.crop(box)


@cache
def painted_sprite(glyph: str, rgb: tuple[int, int, int]) -> Image.Image:
    """The emoji with its strongly coloured parts painted `rgb`, light and shade kept."""
    rgba = np.asarray(glyph_sprite(glyph)).astype(np.float32)
    color, alpha = rgba[..., :3], rgba[..., 3:]
    peak, low = color.max(-1, keepdims=True), color.min(-1, keepdims=True)
    least = 0.1 if glyph in PALE else 0.25
    coloured = np.clip(((peak - low) / np.maximum(peak, 1) - least) * (20 if glyph in PALE else 5), 0, 1) * (peak > 60)
    lightness = color @ np.array([0.35, 0.45, 0.2], np.float32)
    solid = (coloured[..., 0] > 0.5) & (alpha[..., 0] > 200)
    middle = float(np.median(lightness[solid])) if solid.any() else 128.0
    shade = (lightness - middle)[..., None] / 255  # [h, w, 1]
    target = np.array(rgb, np.float32)
    painted = target + np.where(shade > 0, (255 - target) * shade * 0.8, np.maximum(target, 60) * shade * 1.6)
    mixed = np.clip(color + (painted - color) * coloured, 0, 255)
    return Image.fromarray(np.concatenate([mixed, alpha], -1).astype(np.uint8), "RGBA")


@cache
def mean_color(glyph: str) -> tuple[float, float, float]:
    """The mean visible RGB of an emoji, to keep it off backgrounds of its own colour."""
    rgba = np.asarray(glyph_sprite(glyph))
    r, g, b = rgba[rgba[..., 3] > 128][:, :3].mean(0)
    return float(r), float(g), float(b)
