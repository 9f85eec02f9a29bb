"""A thousand varied texts, the same at every run, and nastier ones for the tokenizer."""

import random

THINGS = """the plant on the window sill|a moisture sensor|the left servo|our shared memory|the chat module|an old radio|
the greenhouse|a robot arm|the neighbour's cat|this conversation|the agent's mood|a pot of basil|the camera at the door|
her grandmother|the broken lamp|my favourite song|a flock of starlings|the second experiment|the quarterly report|
the mayor of a small town|a bowl of noodle soup|the train to the coast|an unread message|the last known position|
the water tank|a long silence|the theory of relativity|the court's decision|his left knee|the price of copper""".replace("\n", "").split("|")
DOES = """needs more water than yesterday|has not answered for an hour|was moved to the other room|reports a value of {n}|
remembers what we said about {t}|makes a strange noise at night|is the reason why {t} failed|looks happier today|
will be repaired on {d}|cannot be compared with {t}|grew by {n} centimetres|costs {n} euros|interrupted {t}|
sings when nobody listens|does not exist|was photographed at {n}:{m}|turned slowly towards {t}|smells of rain and iron|
dreamt of {t}|lost {n} percent of its weight|is cheaper than {t}|has been replaced by {t}""".replace("\n", "").split("|")
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
OPENINGS = ["", "", "", "", "I think ", "Yesterday ", "Why do you say that ", "Please note that ", "According to the log, ",
            "It is not true that ", "Do you remember when ", "warning: ", "REMINDER: "]
ENDS = [".", ".", ".", "!", "?", "", " ...", " :)", "."]
WORDS = """water light a I yes no stop go thirsty photosynthesis antidisestablishmentarianism Zürich naïve café ok hmm
sunlight servo42 v1.2.3 temperature= humidity 42 3.14159 1e-9 2026-11-21 10:30 #plants @robot user@example.org
https://example.org/a/b?c=d%20e C++ .gitignore don't state-of-the-art [MASK] NULL undefined NaN""".split()
EMOJI = "🌱 💧 🤖 😀 🎉 🔥 ❤️ 👩‍🚀 🇯🇵 👍🏽 🐈 ☀️ 🌧 ✅ ➡️ 🫠 🧠".split()
JAPANESE = """植物に水をやってください。|センサーの値は{n}です。|今日は天気がいいですね。|ロボットが夢を見る。|
あの猫はどこへ行きましたか？|昨日の会話を覚えていますか|エージェントの記憶は共有されています。|東京は夜の七時|ありがとうございます！|
カメラが動きを検出しました（{n}回目）。|土が乾いている|モジュールを再起動します。|「もう一度言ってください」と彼女は言った。|ﾊﾝｶｸ ｶﾀｶﾅ""".replace("\n", "").split("|")
OTHERS = """Die Pflanze am Fenster hat Durst.|Der Straßenbahnfahrer übersah das Schild völlig.|La plante a besoin de plus d'eau.|
¿Dónde está la biblioteca?|El sensor informó {n} grados.|A memória é partilhada por todos os módulos.|Растению нужно больше воды.|
Память общая для всех модулей.|식물에 물을 주세요.|기억은 공유됩니다|植物需要更多的水。|记忆是共享的，对吗？|النبات يحتاج إلى الماء.|
पौधे को पानी चाहिए।|Το φυτό χρειάζεται νερό.|ต้นไม้ต้องการน้ำ|הצמח צריך מים|Bitkinin suya ihtiyacı var. İstanbul|Cây cần thêm nước.|
Æfingin skapar meistarann, þú veist.""".replace("\n", "").split("|")
CODE = """func main() {{\n\tfmt.Println("{t}")\n}}|for i in range({n}):\n    print(i ** 2)|SELECT id, text FROM memory WHERE time > {n} ORDER BY id;|
if (x <= {n} && !done) return null;|{{"agent": "A", "value": {n}, "ok": true}}|git commit -m "{t}"|
<div class="card">{t}</div>|err := agent.Memory.Add(ctx, "{t}")|0x{n:x} = {n}|panic: runtime error: index out of range [{n}] with length {m}|
const f = async (x) => await g(x ?? {n});|\\frac{{{n}}}{{{m}}} \\le \\sum_i x_i^2|$ ls -la /tmp \\| grep coma|
def decay(t):\n    return math.exp(-t / {n})""".replace("|\n", "|").split("|")


def fill(r, template):
    return template.format(t=r.choice(THINGS), n=r.randrange(1, 2000), m=r.randrange(10, 60), d=r.choice(DAYS))


def sentence(r):
    return r.choice(OPENINGS) + r.choice(THINGS) + " " + fill(r, r.choice(DOES)) + r.choice(ENDS)


def sentences():
    r = random.Random(1)
    texts = ["", " ", "\n\t ", ".", "!!!!", "?", "a", "A", "0", "-", "é", "語", "🌱", "[CLS]", "\u200b", "\x00", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "...", "x" * 150]
    texts += [sentence(r) for _ in range(380)]
    texts += [" ".join(sentence(r) for _ in range(r.randrange(2, 6))) for _ in range(100)]
    texts += [" ".join(sentence(r) for _ in range(r.randrange(12, 45))) for _ in range(40)]  # some beyond 256 tokens
    texts += [" ".join(r.choice(WORDS) for _ in range(r.randrange(1, 12))) for _ in range(110)]
    texts += [r.choice(WORDS) for _ in range(30)]
    texts += [sentence(r) + " " + "".join(r.choice(EMOJI) for _ in range(r.randrange(1, 5))) for _ in range(40)]
    texts += [" ".join(r.choice(EMOJI) for _ in range(r.randrange(1, 8))) for _ in range(20)]
    texts += ["".join(fill(r, r.choice(JAPANESE)) for _ in range(r.randrange(1, 4))) for _ in range(80)]
    texts += [" ".join(fill(r, r.choice(OTHERS)) for _ in range(r.randrange(1, 3))) for _ in range(80)]
    texts += ["\n".join(fill(r, r.choice(CODE)) for _ in range(r.randrange(1, 3))) for _ in range(80)]
    while len(texts) < 1000:
        texts.append(str(r.randrange(10 ** r.randrange(1, 12))) + r.choice(["", " m", "%", " °C", "€", " ± 0.1"]))
    return texts


def nasty(count):
    """Texts on which tokenizers differ."""
    r = random.Random(2)
    pools = [
        lambda: chr(r.randrange(0x20, 0x7f)),
        lambda: chr(r.randrange(0x250)),
        lambda: chr(r.choice([r.randrange(0xd800), r.randrange(0xe000, 0x110000)])),
        lambda: chr(r.randrange(0x300, 0x370)),
        lambda: chr(r.randrange(0x2000, 0x2070)),
        lambda: chr(r.randrange(0xac00, 0xd7a4)),
        lambda: chr(r.choice([0x3400, 0x4dbf, 0x4dc0, 0x4e00, 0x9fff, 0xf900, 0xfb00, 0x2a6df, 0x2b820, 0x2b920, 0x2f800, 0x3041])),
        lambda: r.choice(["İ", "ẞ", "ß", "ﬁ", "Σ", "ς", "Å", "e\u0301", "\u1100\u1161\u11a8", "\r\n", "\u00a0", "\u3000", "\u0085", "\ufeff", "\ufffd", "\x00", "\x7f", "\u2028"]),
        lambda: r.choice(["[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]", "[cls]", "[[SEP]]", "##ing", "##", "[MASK", " "]),
        lambda: r.choice(WORDS),
        lambda: r.choice(WORDS) * r.randrange(1, 30),
        lambda: " ",
    ]
    texts = ["", "a" * 99, "a" * 100, "a" * 101, "é" * 100, "e\u0301" * 100, "語" * 300, "ab" * 600, "un" * 49 + "#"]
    while len(texts) < count:
        some = r.sample(pools, r.randrange(1, 5))
        texts.append("".join(r.choice(some)() for _ in range(r.randrange(1, 25))))
    return texts
