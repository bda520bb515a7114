"""Modules about text."""

from tools.suites.code_repair.piece import piece

TEXT = (
    piece(
        "slug",
        '''
        def slug(text):
            """Lower-case words of ASCII letters and digits, joined by single hyphens; "" if there are none."""
            words, word = [], ""
            for letter in text.lower():
                if letter.isascii() and letter.isalnum():
                    word += letter
                elif word:
                    words.append(word)
                    word = ""
            if word:
                words.append(word)
            return "-".join(words)
        ''',
        [
            ("edge case", "text.lower()", "text"),
            ("condition", "letter.isalnum()", "letter.isalpha()"),
            ("condition", "elif word:", "else:"),
            ("edge case", '    if word:\n        words.append(word)\n    return "-"', '    return "-"'),
            ("edge case", "letter.isascii() and ", ""),
            ("edge case", '            word = ""\n', ""),
        ],
        """
        slug("Hello World")
        slug("a  b")
        slug("  trim me  ")
        slug("Top 10 Tips")
        slug("")
        slug("?!")
        slug("one")
        slug("Crème brûlée")
        slug("C3PO & R2D2")
        slug("end.")
        slug("a-b_c")
        slug("ÄÖÜ")
        slug("2024 -- the YEAR")
        """,
    ),
    piece(
        "wrap",
        '''
        def wrap(text, width):
            """Lines of whole words, each at most width long if its words allow; a longer word has its own line."""
            lines, line = [], ""
            for word in text.split():
                if line and len(line) + 1 + len(word) > width:
                    lines.append(line)
                    line = word
                elif line:
                    line += " " + word
                else:
                    line = word
            if line:
                lines.append(line)
            return lines
        ''',
        [
            ("off by one", "len(line) + 1 + len(word)", "len(line) + len(word)"),
            ("operator", "> width", ">= width"),
            ("edge case", "if line and len(line)", "if len(line)"),
            ("edge case", "    if line:\n        lines.append(line)\n    return", "    return"),
            ("edge case", "    if line:\n        lines.append(line)\n", "    lines.append(line)\n"),
            ("return", "return lines", 'return " ".join(lines)'),
        ],
        """
        wrap("the quick brown fox", 9)
        wrap("the quick brown fox", 10)
        wrap("aa bb cc", 5)
        wrap("aa bb cc", 4)
        wrap("", 5)
        wrap("   ", 5)
        wrap("extraordinary", 5)
        wrap("an extraordinary day", 5)
        wrap("one", 3)
        wrap("one two", 7)
        wrap("one two", 6)
        wrap("a b c d e", 3)
        """,
    ),
    piece(
        "truncate",
        '''
        def truncate(text, limit, mark="..."):
            """The text if it has at most limit characters; else its beginning with the mark, limit long in all.

            Spaces before the mark are dropped. A limit shorter than the mark gives the mark's beginning.
            """
            if len(text) <= limit:
                return text
            if limit < len(mark):
                return mark[:limit]
            return text[:limit - len(mark)].rstrip() + mark
        ''',
        [
            ("operator", "len(text) <= limit", "len(text) < limit"),
            ("edge case", "    if limit < len(mark):\n        return mark[:limit]\n", ""),
            ("off by one", "text[:limit - len(mark)]", "text[:limit]"),
            ("edge case", ".rstrip()", ""),
            ("default", 'mark="..."', 'mark=".."'),
            ("return", "return mark[:limit]", "return text[:limit]"),
        ],
        """
        truncate("hello", 5)
        truncate("hello", 4)
        truncate("hello world", 9)
        truncate("hello world", 8)
        truncate("hello", 10)
        truncate("", 3)
        truncate("abcdef", 3)
        truncate("abcdef", 2)
        truncate("abcdef", 1)
        truncate("abcdef", 0)
        truncate("abcdef", 4, "~")
        truncate("ab cdef", 4, "~")
        truncate("abcdef", 6, "~~")
        """,
    ),
    piece(
        "headline",
        '''
        SMALL = {"a", "an", "and", "of", "the", "in"}


        def headline(text):
            """Each word capitalized, its other letters small; small words stay small but at beginning and end."""
            words = text.lower().split()
            last = len(words) - 1
            shown = []
            for place, word in enumerate(words):
                if word in SMALL and place != 0 and place != last:
                    shown.append(word)
                else:
                    shown.append(word[0].upper() + word[1:])
            return " ".join(shown)
        ''',
        [
            ("edge case", "text.lower().split()", "text.split()"),
            ("off by one", "last = len(words) - 1", "last = len(words)"),
            ("condition", " and place != 0", ""),
            ("edge case", ".split()", '.split(" ")'),
            ("operator", "word in SMALL", "word not in SMALL"),
            ("off by one", "word[1:]", "word[2:]"),
        ],
        """
        headline("the lord of the rings")
        headline("a tale")
        headline("war and peace")
        headline("PEACE IN THE VALLEY")
        headline("what is it made of")
        headline("")
        headline("a")
        headline("come  in")
        headline("an apple")
        headline("two  an  one")
        headline("x y")
        headline("Alice in WONDERLAND")
        """,
    ),
    piece(
        "caesar",
        '''
        def caesar(text, shift):
            """Each ASCII letter moved by shift places in the alphabet, round its end, in its case; others stay."""
            shown = ""
            for letter in text:
                if "a" <= letter <= "z":
                    start = ord("a")
                elif "A" <= letter <= "Z":
                    start = ord("A")
                else:
                    shown += letter
                    continue
                shown += chr(start + (ord(letter) - start + shift) % 26)
            return shown
        ''',
        [
            ("operator", "% 26", "% 25"),
            ("edge case", " + shift) % 26", " + shift)"),
            ("operator", 'letter <= "z"', 'letter < "z"'),
            ("default", 'start = ord("A")', 'start = ord("a")'),
            ("edge case", "            shown += letter\n            continue", "            continue"),
            ("operator", "start + shift", "start - shift"),
        ],
        """
        caesar("abc", 1)
        caesar("xyz", 3)
        caesar("Hello, World!", 5)
        caesar("z", 1)
        caesar("Z", 1)
        caesar("abc", -1)
        caesar("abc", 0)
        caesar("abc", 26)
        caesar("MNO", 13)
        caesar("", 4)
        caesar("1 2 3", 7)
        caesar("Zebra", 52)
        caesar("quiz", -30)
        """,
    ),
    piece(
        "mirror",
        '''
        def is_palindrome(text):
            """Whether the letters and digits of the text read the same backwards; case does not count."""
            kept = [letter.lower() for letter in text if letter.isalnum()]
            left, right = 0, len(kept) - 1
            while left < right:
                if kept[left] != kept[right]:
                    return False
                left += 1
                right -= 1
            return True
        ''',
        [
            ("edge case", "letter.lower() for", "letter for"),
            ("condition", "letter.isalnum()", "letter.isalpha()"),
            ("return", "return True", "return left == right"),
            ("operator", "kept[left] != kept[right]", "kept[left] < kept[right]"),
            ("edge case", " if letter.isalnum()", ""),
            ("off by one", "while left < right:", "while left < right - 2:"),
        ],
        """
        is_palindrome("level")
        is_palindrome("Level")
        is_palindrome("A man, a plan, a canal: Panama")
        is_palindrome("noon")
        is_palindrome("abca")
        is_palindrome("baca")
        is_palindrome("")
        is_palindrome("x")
        is_palindrome("ab")
        is_palindrome("ba")
        is_palindrome("12321")
        is_palindrome("1a2")
        is_palindrome("2 abba 1")
        is_palindrome("abcbda")
        is_palindrome("top, pot")
        """,
    ),
    piece(
        "squeeze",
        '''
        def squeeze(text):
            """Each run of one character as the character and its length; the length 1 is left out: "a3b"."""
            shown, start = "", 0
            for place in range(1, len(text) + 1):
                if place == len(text) or text[place] != text[start]:
                    count = place - start
                    shown += text[start] + (str(count) if count > 1 else "")
                    start = place
            return shown
        ''',
        [
            ("off by one", "len(text) + 1)", "len(text))"),
            ("off by one", "count = place - start", "count = place - start + 1"),
            ("operator", "count > 1", "count > 2"),
            ("edge case", ' if count > 1 else ""', ""),
            ("off by one", "text[start] + (", "text[place - 2] + ("),
            ("operator", "shown += text[start]", "shown = text[start]"),
        ],
        """
        squeeze("aaab")
        squeeze("abc")
        squeeze("aabb")
        squeeze("")
        squeeze("z")
        squeeze("zz")
        squeeze("abbbbc")
        squeeze("  x")
        squeeze("aAa")
        squeeze("xxxxxxxxxxxx")
        squeeze("abab")
        squeeze("mississippi")
        """,
    ),
    piece(
        "prefixes",
        '''
        def common_prefix(words):
            """The longest text that all words begin with; "" for no words."""
            if not words:
                return ""
            prefix = words[0]
            for word in words[1:]:
                while not word.startswith(prefix):
                    prefix = prefix[:-1]
            return prefix
        ''',
        [
            ("edge case", '    if not words:\n        return ""\n', ""),
            ("off by one", "words[1:]", "words[1:-1]"),
            ("condition", "while not word.startswith(prefix):", "if not word.startswith(prefix):"),
            ("condition", "not word.startswith(prefix)", "prefix not in word"),
            ("return", "return prefix", "return prefix or words[0]"),
            ("off by one", "prefix[:-1]", "prefix[1:]"),
        ],
        """
        common_prefix(["flower", "flow", "flight"])
        common_prefix(["dog", "car"])
        common_prefix([])
        common_prefix(["alone"])
        common_prefix(["same", "same"])
        common_prefix(["inter", "interest", "interval"])
        common_prefix(["a", ""])
        common_prefix(["abc", "xabc"])
        common_prefix(["ab", "cab", "abc"])
        common_prefix(["test", "team", "tea"])
        common_prefix(("x1", "x2"))
        common_prefix(["long", "longer", "l"])
        common_prefix(())
        """,
    ),
    piece(
        "tally",
        '''
        def tally(text, counts=None):
            """How often each word occurs, in lower case and without .,!? at its end.

            If counts are given, they are added to and returned.
            """
            if counts is None:
                counts = {}
            for word in text.lower().split():
                word = word.rstrip(".,!?")
                if word:
                    counts[word] = counts.get(word, 0) + 1
            return counts
        ''',
        [
            ("shared default", "counts=None", "counts={}"),
            ("edge case", "text.lower()", "text"),
            ("default", "counts.get(word, 0)", "counts.get(word, 1)"),
            ("edge case", "        if word:\n            counts", "        if True:\n            counts"),
            ("operator", ".rstrip(", ".strip("),
            ("edge case", "if counts is None:", "if not counts:"),
        ],
        """
        tally("a b a")
        tally("Yes! yes? YES.")
        tally("")
        tally("one two", {"one": 1})
        tally("... a")
        tally("wait ?! wait")
        tally(".net or net.")
        tally("a"); tally("b")
        had = {"x": 1}; tally("x y", had); had
        had = {}; tally("x", had); had
        tally("x", tally("x"))
        tally("A.B a.b")
        tally("!bang bang!")
        tally("q q"); tally("q")
        had = {}; tally("a b", had) is had
        """,
    ),
)
"""Every piece about text."""
