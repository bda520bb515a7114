"""Modules that read what people write."""

from tools.suites.code_repair.piece import piece

PARSING = (
    piece(
        "duration",
        '''
        UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


        def seconds(text):
            """Seconds in a duration such as "1h30m": numbers, each with d, h, m or s. A bare number is seconds.

            Raises ValueError for a unit without a number and for anything else.
            """
            total, number = 0, ""
            for letter in text.strip():
                if letter.isdigit():
                    number += letter
                elif letter in UNITS and number:
                    total += int(number) * UNITS[letter]
                    number = ""
                else:
                    raise ValueError(text)
            return total + int(number or 0)
        ''',
        [
            ("default", '"h": 3600', '"h": 360'),
            (
                "edge case",
                "elif letter in UNITS and number:",
                'elif letter in UNITS:\n            number = number or "1"',
            ),
            ("edge case", "text.strip()", "text"),
            ("operator", "total += int(number)", "total = int(number)"),
            ("return", "return total + int(number or 0)", "return total"),
            ("edge case", "int(number or 0)", "int(number)"),
        ],
        """
        seconds("90")
        seconds("1h30m")
        seconds("2d")
        seconds("45s")
        seconds("1m1s")
        seconds("1d1h1m1s")
        seconds("10m5")
        seconds("0h")
        seconds(" 5m ")
        seconds("")
        seconds("h")
        seconds("5x")
        seconds("1hm")
        seconds("3h 5m")
        seconds("7 ")
        """,
    ),
    piece(
        "query",
        '''
        def parse_query(text):
            """The fields of "a=1&b=2": name → list of values in order. A name without "=" has the value "".

            "+" stands for a space in names and values; parts that are empty are left out.
            """
            fields = {}
            for part in text.lstrip("?").split("&"):
                if not part:
                    continue
                name, _, value = part.replace("+", " ").partition("=")
                fields.setdefault(name, []).append(value)
            return fields
        ''',
        [
            ("edge case", '.lstrip("?")', ""),
            ("edge case", "        if not part:\n            continue\n", ""),
            ("edge case", '.replace("+", " ")', ""),
            ("order", '.partition("=")', '.rpartition("=")'),
            ("operator", "fields.setdefault(name, []).append(value)", "fields[name] = [value]"),
            ("edge case", "[]).append(value)", "[]).insert(0, value)"),
        ],
        """
        parse_query("a=1&b=2")
        parse_query("a=1&a=2")
        parse_query("?q=x")
        parse_query("")
        parse_query("a=1&&b=2")
        parse_query("flag")
        parse_query("a=")
        parse_query("q=two+words")
        parse_query("x=1=2")
        parse_query("first+name=Ann")
        parse_query("&")
        parse_query("a=3&b&a=1&a=2")
        parse_query("?")
        parse_query("k=a+b=c")
        """,
    ),
    piece(
        "versions",
        '''
        def compare(first, second):
            """-1, 0 or 1: whether version first is older than, equal to or newer than second.

            Versions are numbers with dots; missing ones at the end count as 0. A leading "v" does not count.
            """
            left = [int(part) for part in first.lstrip("v").split(".")]
            right = [int(part) for part in second.lstrip("v").split(".")]
            length = max(len(left), len(right))
            left += [0] * (length - len(left))
            right += [0] * (length - len(right))
            return (left > right) - (left < right)
        ''',
        [
            ("edge case", "[int(part) for part in first", "[part for part in first"),
            ("edge case", 'second.lstrip("v")', "second"),
            ("operator", "length = max(", "length = min("),
            ("default", "right += [0] *", "right += [1] *"),
            ("return", "(left > right) - (left < right)", "(left < right) - (left > right)"),
            ("return", " - (left < right)", ""),
            ("edge case", "    left += [0] * (length - len(left))\n", ""),
        ],
        """
        compare("1.2", "1.3")
        compare("1.10", "1.9")
        compare("2.0", "2")
        compare("2", "2.0.0")
        compare("1.0.1", "1")
        compare("1", "1.0.1")
        compare("v1.2", "1.2")
        compare("1.2", "v1.2")
        compare("3", "2.9.9")
        compare("0.9", "1.0")
        compare("10", "9")
        compare("1.2.3", "1.2.3")
        compare("v2", "v10")
        compare("1.1", "1")
        compare("v3", "3.0")
        """,
    ),
    piece(
        "roman",
        '''
        SIGNS = [
            (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"),
            (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
        ]


        def roman(number):
            """A number from 1 to 3999 in Roman numerals; ValueError for any other."""
            if not 1 <= number <= 3999:
                raise ValueError(number)
            shown = ""
            for value, sign in SIGNS:
                while number >= value:
                    shown += sign
                    number -= value
            return shown
        ''',
        [
            ("edge case", '(9, "IX"), ', ""),
            ("operator", "number >= value", "number > value"),
            ("edge case", "    if not 1 <= number <= 3999:\n        raise ValueError(number)\n", ""),
            ("default", '(4, "IV")', '(4, "IIII")'),
            ("default", '(40, "XL")', '(40, "LX")'),
            ("condition", "while number >= value:", "if number >= value:"),
            ("order", '(900, "CM"), (500, "D")', '(500, "D"), (900, "CM")'),
        ],
        """
        roman(1)
        roman(3)
        roman(4)
        roman(9)
        roman(14)
        roman(29)
        roman(40)
        roman(44)
        roman(90)
        roman(400)
        roman(944)
        roman(1990)
        roman(2024)
        roman(3999)
        roman(0)
        roman(4000)
        roman(-1)
        """,
    ),
    piece(
        "cells",
        '''
        def cells(line):
            """The cells of a line of CSV. A comma in double quotes is text; two double quotes there are one."""
            found, cell, quoted, place = [], "", False, 0
            while place < len(line):
                letter = line[place]
                if quoted and letter == '"' and line[place + 1:place + 2] == '"':
                    cell += '"'
                    place += 1
                elif letter == '"':
                    quoted = not quoted
                elif letter == "," and not quoted:
                    found.append(cell)
                    cell = ""
                else:
                    cell += letter
                place += 1
            found.append(cell)
            return found
        ''',
        [
            ("condition", " and not quoted", ""),
            ("edge case", "            cell += '\"'\n            place += 1\n", "            cell += '\"'\n"),
            ("edge case", '            cell = ""\n', ""),
            ("edge case", "    found.append(cell)\n    return", "    return"),
            ("edge case", "    found.append(cell)\n    return", "    if cell:\n        found.append(cell)\n    return"),
            ("condition", "if quoted and letter", "if letter"),
            ("default", "quoted = not quoted", "quoted = True"),
        ],
        '''
        cells("a,b,c")
        cells("")
        cells("a,,c")
        cells("a,")
        cells(",")
        cells('"a,b",c')
        cells('"say ""hi""",x')
        cells("one")
        cells('"",b')
        cells('a,"b"')
        cells(' a , b ')
        cells('"x""y","1,2,3"')
        cells('"",""')
        cells('"a""b,c",d')
        ''',
    ),
    piece(
        "sizes",
        '''
        FACTORS = {"B": 1, "KB": 1000, "MB": 1000 ** 2, "GB": 1000 ** 3, "KIB": 1024, "MIB": 1024 ** 2}


        def parse_size(text):
            """Bytes in a size such as "1.5 MB" (whole bytes, the rest cut off). No unit means bytes; case is free.

            Raises ValueError for an unknown unit, a missing number or a negative one.
            """
            text = text.strip().upper()
            number = text.rstrip("BKMGI").strip()
            unit = text[len(number):].strip() or "B"
            if unit not in FACTORS or number.startswith("-"):
                raise ValueError(text)
            return int(float(number) * FACTORS[unit])
        ''',
        [
            ("default", '"KIB": 1024', '"KIB": 1000'),
            ("edge case", ".strip().upper()", ".strip()"),
            ("edge case", ' or "B"', ""),
            ("edge case", ' or number.startswith("-")', ""),
            ("order", "int(float(number) * FACTORS[unit])", "int(float(number)) * FACTORS[unit]"),
            ("edge case", "text[len(number):].strip()", "text[len(number):]"),
            ("operator", "1000 ** 2", "1000 * 2"),
        ],
        """
        parse_size("10")
        parse_size("10 B")
        parse_size("1KB")
        parse_size("1.5 MB")
        parse_size("2 KiB")
        parse_size("0.5 kib")
        parse_size(" 3 gb ")
        parse_size("1 MiB")
        parse_size("7 TB")
        parse_size("-1 KB")
        parse_size("kB")
        parse_size("1.9")
        parse_size("-5")
        parse_size("2.25 KB")
        parse_size("4mb")
        """,
    ),
    piece(
        "brackets",
        '''
        PAIRS = {")": "(", "]": "[", "}": "{"}


        def first_wrong(text):
            """Place of the first bracket that has no partner: -1 if all (), [] and {} are in order.

            A closing bracket is wrong where the last open one is not its own; else the first one left open is.
            """
            waiting = []
            for place, letter in enumerate(text):
                if letter in PAIRS.values():
                    waiting.append((letter, place))
                elif letter in PAIRS:
                    if not waiting or waiting[-1][0] != PAIRS[letter]:
                        return place
                    waiting.pop()
            return waiting[0][1] if waiting else -1
        ''',
        [
            ("edge case", "not waiting or ", ""),
            ("off by one", "waiting[-1][0]", "waiting[0][0]"),
            ("edge case", " or waiting[-1][0] != PAIRS[letter]", ""),
            ("order", "waiting[0][1]", "waiting[-1][1]"),
            ("default", "else -1", "else 0"),
            ("off by one", "enumerate(text)", "enumerate(text, 1)"),
            ("default", '"}": "{"', '"}": "["'),
        ],
        """
        first_wrong("()")
        first_wrong("")
        first_wrong("a(b)c")
        first_wrong("(]")
        first_wrong(")")
        first_wrong("((")
        first_wrong("{[()]}")
        first_wrong("([)]")
        first_wrong("x(y")
        first_wrong("[a]{")
        first_wrong("{}")
        first_wrong("(()")
        first_wrong("])")
        first_wrong("([{")
        """,
    ),
    piece(
        "reckon",
        '''
        def reckon(text):
            """The value of a sum such as "3 + 4 * 2 - 1": whole numbers, + - and *, spaces between all of them.

            * goes before + and -; else it goes from left to right. ValueError if a number or a sign is missing.
            """
            words = text.split()
            if len(words) % 2 == 0:
                raise ValueError(text)
            total, sign, product = 0, 1, int(words[0])
            for symbol, number in zip(words[1::2], words[2::2]):
                if symbol == "*":
                    product *= int(number)
                elif symbol in ("+", "-"):
                    total += sign * product
                    sign, product = (1 if symbol == "+" else -1), int(number)
                else:
                    raise ValueError(text)
            return total + sign * product
        ''',
        [
            ("edge case", "    if len(words) % 2 == 0:\n        raise ValueError(text)\n", ""),
            ("operator", "total += sign * product", "total += product"),
            ("return", "return total + sign * product", "return total + product"),
            ("operator", '1 if symbol == "+" else -1', '-1 if symbol == "+" else 1'),
            ("operator", "product *= int(number)", "product += int(number)"),
            ("off by one", "words[2::2]", "words[2:-1:2]"),
            ("default", "total, sign, product = 0", "total, sign, product = 1"),
        ],
        """
        reckon("7")
        reckon("3 + 4")
        reckon("3 - 4")
        reckon("2 * 5")
        reckon("3 + 4 * 2")
        reckon("10 - 2 - 3")
        reckon("10 - 2 * 3 + 1")
        reckon("2 * 3 * 4")
        reckon("1 - 2 + 3 - 4")
        reckon("-3 + 5")
        reckon("")
        reckon("1 +")
        reckon("1 / 2")
        reckon("+ 1 2")
        reckon("5 * 0 + 9")
        reckon("1 - 1 * 8")
        """,
    ),
)
"""Every piece that reads text."""
