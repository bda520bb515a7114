"""Modules with a class that reacts to what happens."""

from tools.suites.code_repair.piece import piece

MACHINES = (
    piece(
        "robots",
        '''
        STEPS = {"N": (0, 1), "E": (1, 0), "S": (0, -1), "W": (-1, 0)}
        ORDER = "NESW"


        class Robot:
            """A robot on a floor of width times height tiles; it begins at (0, 0) and faces N."""

            def __init__(self, width=5, height=5):
                self.width, self.height = width, height
                self.x, self.y, self.facing = 0, 0, "N"

            def run(self, orders):
                """Follow orders: L and R turn, F goes one tile ahead unless that is off the floor.

                Returns (x, y, facing); any other letter raises ValueError.
                """
                for order in orders:
                    if order in "LR":
                        turn = 1 if order == "R" else -1
                        self.facing = ORDER[(ORDER.index(self.facing) + turn) % 4]
                    elif order == "F":
                        dx, dy = STEPS[self.facing]
                        x, y = self.x + dx, self.y + dy
                        if 0 <= x < self.width and 0 <= y < self.height:
                            self.x, self.y = x, y
                    else:
                        raise ValueError(order)
                return self.x, self.y, self.facing
        ''',
        [
            ("edge case", " + turn) % 4]", " + turn)]"),
            ("order", '1 if order == "R" else -1', '-1 if order == "R" else 1'),
            ("operator", "0 <= x < self.width", "0 <= x <= self.width"),
            ("edge case", "0 <= y < self.height", "y < self.height"),
            ("default", "width=5, height=5", "width=5, height=4"),
            ("operator", "self.y + dy", "self.y - dy"),
            ("default", '"W": (-1, 0)', '"W": (1, 0)'),
            ("edge case", "            else:\n                raise ValueError(order)\n", ""),
        ],
        """
        Robot().run("F")
        Robot().run("RF")
        Robot().run("R")
        Robot().run("RRRRF")
        Robot().run("L")
        Robot().run("LF")
        Robot().run("FFFFFFF")
        Robot(2, 2).run("RFFF")
        Robot(3, 3).run("RRF")
        Robot().run("FFRFFLF")
        Robot().run("RFFLLF")
        Robot().run("FX")
        Robot().run("")
        r = Robot(); r.run("FF"); r.run("RF")
        Robot(9, 9).run("FRFRFRF")
        Robot(1, 3).run("FFFFRF")
        Robot().run("?")
        Robot(4, 4).run("LLLLFFFF")
        Robot().run("RRRRR")
        Robot(2, 2).run("RRFF")
        Robot().run("FFFFRRF")
        """,
    ),
    piece(
        "limiters",
        '''
        class Limiter:
            """Lets at most limit calls through in any window of seconds."""

            def __init__(self, limit=2, window=10):
                self.limit, self.window = limit, window
                self.times = []

            def allow(self, now):
                """Whether a call at this second goes through; one that does not is not counted."""
                self.times = [time for time in self.times if now - time < self.window]
                if len(self.times) >= self.limit:
                    return False
                self.times.append(now)
                return True

            def wait(self, now):
                """Seconds from now until a call would go through; 0 if it would at once."""
                recent = [time for time in self.times if now - time < self.window]
                if len(recent) < self.limit:
                    return 0
                return recent[-self.limit] + self.window - now
        ''',
        [
            ("operator", "len(self.times) >= self.limit", "len(self.times) > self.limit"),
            (
                "operator",
                "for time in self.times if now - time < self.window]\n        if len(self.times)",
                "for time in self.times if now - time <= self.window]\n        if len(self.times)",
            ),
            ("default", "limit=2", "limit=1"),
            (
                "order",
                "            return False\n        self.times.append(now)\n",
                "            self.times.append(now)\n            return False\n        self.times.append(now)\n",
            ),
            ("operator", "len(recent) < self.limit", "len(recent) <= self.limit"),
            ("off by one", "recent[-self.limit]", "recent[-1]"),
            ("default", "window=10", "window=5"),
            ("operator", "+ self.window - now", "+ self.window"),
        ],
        """
        l = Limiter(); [l.allow(t) for t in (0, 1, 2)]
        l = Limiter(1, 5); [l.allow(t) for t in (0, 4, 5)]
        l = Limiter(); [l.allow(t) for t in (0, 3, 10)]
        l = Limiter(2, 10); [l.allow(t) for t in (0, 1, 9, 10, 11)]
        l = Limiter(1, 3); l.allow(0); l.wait(1)
        l = Limiter(2, 10); l.allow(0); l.allow(4); l.wait(5)
        Limiter().wait(0)
        l = Limiter(); l.allow(0); l.wait(0)
        l = Limiter(1, 4); [l.allow(t) for t in (0, 1, 2, 3, 4)]
        l = Limiter(3, 6); [l.allow(t) for t in (0, 0, 0, 0, 6)]
        l = Limiter(1, 8); l.allow(2); l.wait(20)
        l = Limiter(2, 6); l.allow(1); l.allow(2); l.wait(3)
        l = Limiter(); [l.allow(t) for t in (0, 1, 6, 12)]
        l = Limiter(1, 2); l.allow(0); l.allow(1); l.allow(2)
        l = Limiter(); l.allow(5); l.allow(6); l.wait(7)
        """,
    ),
)
"""Every piece with a machine."""
