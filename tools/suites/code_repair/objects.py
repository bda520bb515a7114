"""Modules with a small class."""

from tools.suites.code_repair.piece import piece

OBJECTS = (
    piece(
        "stacks",
        '''
        class Stack:
            """A stack: what was pushed last is popped first. pop and peek of an empty one raise IndexError."""

            def __init__(self, items=()):
                self.items = list(items)

            def push(self, item):
                """Put an item on top; returns the stack."""
                self.items.append(item)
                return self

            def pop(self):
                """Take the top item off."""
                return self.items.pop()

            def peek(self):
                """The top item, which stays."""
                return self.items[-1]

            def __len__(self):
                return len(self.items)
        ''',
        [
            (
                "shared default",
                "items=()):\n        self.items = list(items)",
                "items=[]):\n        self.items = items",
            ),
            ("order", "self.items.append(item)", "self.items.insert(0, item)"),
            ("order", "self.items.pop()", "self.items.pop(0)"),
            ("return", "        return self\n", ""),
            ("off by one", "self.items[-1]", "self.items[0]"),
            ("off by one", "return len(self.items)", "return len(self.items) - 1"),
            ("edge case", "return self.items[-1]", "return self.items[-1] if self.items else None"),
        ],
        """
        s = Stack(); s.push(1); s.push(2); s.pop()
        s = Stack(); s.push(1); s.push(2); s.peek()
        Stack().push(1).push(2).push(3).items
        s = Stack(); s.push(5); t = Stack(); len(t)
        Stack().pop()
        Stack().peek()
        s = Stack([1, 2]); s.pop()
        had = [1]; Stack(had).push(2); had
        s = Stack("ab"); s.peek(); len(s)
        len(Stack([4, 5, 6]))
        s = Stack(); s.push(1); s.push(2); s.pop(); s.pop(); len(s)
        s = Stack([1]); s.push(7); s.peek()
        Stack().push(0).peek()
        len(Stack().push(9))
        Stack().push(3); Stack().items
        Stack([]).peek()
        """,
    ),
    piece(
        "accounts",
        '''
        class Account:
            """Money in cents. Amounts must be above 0, else ValueError; the balance may fall to -limit."""

            def __init__(self, limit=0):
                self.balance = 0
                self.limit = limit
                self.history = []

            def deposit(self, cents):
                """Put money in; returns the balance."""
                if cents <= 0:
                    raise ValueError(cents)
                self.balance += cents
                self.history.append(cents)
                return self.balance

            def withdraw(self, cents):
                """Take money out; returns whether there was enough."""
                if cents <= 0:
                    raise ValueError(cents)
                if self.balance - cents < -self.limit:
                    return False
                self.balance -= cents
                self.history.append(-cents)
                return True
        ''',
        [
            ("operator", "self.balance += cents", "self.balance = cents"),
            ("edge case", "        self.history.append(-cents)\n", ""),
            ("operator", "self.balance - cents < -self.limit", "self.balance - cents <= -self.limit"),
            ("edge case", "self.balance - cents < -self.limit", "self.balance < cents"),
            ("default", "limit=0", "limit=100"),
            ("return", "return self.balance\n", "return cents\n"),
            ("operator", "self.balance -= cents", "self.balance += cents"),
            ("order", "self.history.append(-cents)", "self.history.append(cents)"),
        ],
        """
        a = Account(); a.deposit(50); a.deposit(20)
        a = Account(); a.deposit(50); a.withdraw(30); a.balance
        a = Account(); a.withdraw(1)
        a = Account(); a.deposit(10); a.withdraw(10)
        a = Account(100); a.withdraw(100)
        a = Account(100); a.withdraw(101)
        a = Account(100); a.deposit(5); a.withdraw(60); a.balance
        Account().deposit(0)
        Account().withdraw(-5)
        a = Account(); a.deposit(9); a.withdraw(4); a.history
        a = Account(); a.deposit(9); a.withdraw(14); a.history
        Account().balance
        a = Account(); a.deposit(30); a.withdraw(31)
        a = Account(5); a.deposit(1); a.deposit(2); a.withdraw(8), a.balance
        a = Account(20); a.withdraw(7); a.withdraw(8); a.history
        Account(3).deposit(4)
        a = Account(); a.deposit(5); a.deposit(5)
        """,
    ),
    piece(
        "caches",
        '''
        class Cache:
            """Keeps the size entries used last; reading an entry counts as using it."""

            def __init__(self, size=2):
                self.size = size
                self.entries = {}

            def get(self, key, default=None):
                """The value under a key, or the default."""
                if key not in self.entries:
                    return default
                value = self.entries.pop(key)
                self.entries[key] = value
                return value

            def put(self, key, value):
                """Store a value; the entry unused for longest goes if there are too many."""
                self.entries.pop(key, None)
                self.entries[key] = value
                if len(self.entries) > self.size:
                    oldest = next(iter(self.entries))
                    del self.entries[oldest]
        ''',
        [
            ("default", "size=2", "size=3"),
            (
                "edge case",
                "value = self.entries.pop(key)\n        self.entries[key] = value\n",
                "value = self.entries[key]\n",
            ),
            ("edge case", "        self.entries.pop(key, None)\n", ""),
            ("operator", "len(self.entries) > self.size", "len(self.entries) >= self.size"),
            ("return", "return default", "return None"),
            ("order", "next(iter(self.entries))", "list(self.entries)[-1]"),
            ("edge case", "        self.entries[key] = value\n        return value", "        return value"),
        ],
        """
        c = Cache(); c.put("a", 1); c.get("a")
        c = Cache(); c.get("x")
        c = Cache(); c.get("x", 7)
        c = Cache(2); c.put("a", 1); c.put("b", 2); c.put("c", 3); c.get("a")
        c = Cache(2); c.put("a", 1); c.put("b", 2); c.put("c", 3); c.get("c")
        c = Cache(2); c.put("a", 1); c.put("b", 2); c.get("a"); c.put("c", 3); list(c.entries)
        c = Cache(2); c.put("a", 1); c.put("b", 2); c.put("a", 3); c.put("c", 4); list(c.entries)
        c = Cache(1); c.put("a", 1); c.put("b", 2); c.entries
        c = Cache(); c.put("a", 1); c.put("b", 2); list(c.entries)
        c = Cache(); c.put(1, 1); c.put(2, 2); c.put(3, 3); len(c.entries)
        c = Cache(3); c.put("a", 1); c.get("a"); c.get("a")
        c = Cache(3); c.put(1, 0); c.put(2, 0); c.put(3, 0); c.get(1); c.put(4, 0); sorted(c.entries)
        c = Cache(); c.put("k", 1); c.put("k", 2); c.get("k")
        Cache(5).get("none", "no")
        c = Cache(); c.put("a", 1); c.put("b", 2); c.put("c", 3); c.get("a", 0)
        c = Cache(2); c.put(1, 1); c.put(2, 2); c.put(1, 5); c.put(3, 3); c.get(1)
        """,
    ),
    piece(
        "stores",
        '''
        class Store:
            """Pieces in stock by item. Amounts below 1 raise ValueError."""

            def __init__(self, stock=None):
                self.stock = dict(stock or {})

            def add(self, item, count=1):
                """Put pieces in; returns how many there are now."""
                if count < 1:
                    raise ValueError(count)
                self.stock[item] = self.stock.get(item, 0) + count
                return self.stock[item]

            def take(self, item, count=1):
                """Take out what is there, at most count; returns how many. An item without pieces is dropped."""
                if count < 1:
                    raise ValueError(count)
                taken = min(count, self.stock.get(item, 0))
                left = self.stock.get(item, 0) - taken
                if left:
                    self.stock[item] = left
                else:
                    self.stock.pop(item, None)
                return taken
        ''',
        [
            (
                "shared default",
                "stock=None):\n        self.stock = dict(stock or {})",
                "stock={}):\n        self.stock = stock",
            ),
            ("operator", "self.stock.get(item, 0) + count", "count"),
            ("default", "item, 0) + count", "item, 1) + count"),
            ("edge case", "min(count, self.stock.get(item, 0))", "count"),
            ("edge case", "self.stock.pop(item, None)", "self.stock[item] = 0"),
            ("return", "return taken", "return left"),
            ("default", "def take(self, item, count=1)", "def take(self, item, count=2)"),
            ("return", "return self.stock[item]", "return count"),
        ],
        """
        s = Store(); s.add("nut"); s.stock
        s = Store(); s.add("nut", 3)
        s = Store({"nut": 2}); s.add("nut", 3)
        s = Store({"nut": 5}); s.take("nut", 2); s.stock
        s = Store({"nut": 5}); s.take("nut", 2)
        s = Store({"nut": 2}); s.take("nut", 5)
        s = Store({"nut": 2}); s.take("nut", 2); s.stock
        Store().take("nut")
        Store().add("nut", 0)
        Store().take("nut", -1)
        Store().add("bolt"); Store().stock
        had = {"a": 1}; Store(had).add("a"); had
        s = Store({"x": 4}); s.take("x"); s.stock
        s = Store({"x": 1}); s.take("x"), s.stock
        s = Store(); s.add("a"); s.add("a"); s.add("b", 2)
        s = Store({"x": 3}); s.take("x", 9); s.stock
        s = Store({"a": 7}); s.add("a"); s.stock
        s = Store({"x": 9}); s.take("x")
        s = Store({"q": 1}); s.add("q")
        """,
    ),
    piece(
        "rings",
        '''
        class Ring:
            """The last size values added; older ones are forgotten."""

            def __init__(self, size=3):
                if size < 1:
                    raise ValueError(size)
                self.size = size
                self.slots = [None] * size
                self.added = 0

            def add(self, value):
                """Add a value; returns how many have been added in all."""
                self.slots[self.added % self.size] = value
                self.added += 1
                return self.added

            def values(self):
                """The values kept, oldest first."""
                if self.added < self.size:
                    return self.slots[:self.added]
                start = self.added % self.size
                return self.slots[start:] + self.slots[:start]

            def average(self):
                """Mean of the values kept; None where there are none."""
                kept = self.values()
                return sum(kept) / len(kept) if kept else None
        ''',
        [
            ("default", "size=3", "size=4"),
            ("edge case", "        if size < 1:\n            raise ValueError(size)\n", ""),
            ("order", "self.slots[start:] + self.slots[:start]", "self.slots[:start] + self.slots[start:]"),
            ("edge case", "        if self.added < self.size:\n            return self.slots[:self.added]\n", ""),
            ("edge case", " if kept else None", ""),
            ("operator", "sum(kept) / len(kept)", "sum(kept) / self.size"),
            ("off by one", "self.slots[:self.added]", "self.slots[:self.added - 1]"),
            (
                "order",
                "self.slots[self.added % self.size] = value\n        self.added += 1",
                "self.added += 1\n        self.slots[self.added % self.size] = value",
            ),
        ],
        """
        r = Ring(); r.add(1); r.values()
        r = Ring(2); r.add(1); r.add(2); r.add(3); r.values()
        r = Ring(); r.add(1); r.add(2); r.add(3); r.add(4); r.values()
        Ring().values()
        Ring(0)
        Ring(-1)
        r = Ring(1); r.add(5); r.add(6); r.values()
        r = Ring(); r.add(7); r.add(8)
        Ring().average()
        r = Ring(); r.add(1); r.add(2); r.average()
        r = Ring(2); r.add(1); r.add(2); r.add(6); r.average()
        r = Ring(3); [r.add(n) for n in range(8)]; r.values()
        r = Ring(4); r.add("a"); r.add("b"); r.values()
        r = Ring(); [r.add(n) for n in (1, 2, 3, 4, 5)]; r.average()
        Ring(2).average()
        r = Ring(2); r.add(9); r.add(8); r.values()
        r = Ring(4); r.add(6); r.average()
        """,
    ),
)
"""Every piece with a class."""
