"""Modules about lists."""

from tools.suites.code_repair.piece import piece

LISTS = (
    piece(
        "chunks",
        '''
        def chunks(items, size=3):
            """The items in lists of size each, the last one maybe shorter; ValueError for a size below 1."""
            if size < 1:
                raise ValueError(size)
            found = []
            for start in range(0, len(items), size):
                found.append(items[start:start + size])
            return found
        ''',
        [
            ("default", "size=3", "size=2"),
            ("edge case", "    if size < 1:\n        raise ValueError(size)\n", "    size = max(size, 1)\n"),
            ("off by one", "start:start + size]", "start:start + size - 1]"),
            ("off by one", "range(0, len(items), size)", "range(0, len(items) - 1, size)"),
            ("off by one", "range(0, len(items), size)", "range(0, len(items) - size, size)"),
            ("operator", "len(items), size)", "len(items))"),
        ],
        """
        chunks([1, 2, 3, 4], 2)
        chunks([1, 2, 3, 4, 5], 2)
        chunks([1, 2, 3])
        chunks([1, 2, 3, 4])
        chunks([], 2)
        chunks([1], 5)
        chunks([1, 2, 3], 1)
        chunks([1, 2], 0)
        chunks([1, 2], -1)
        chunks(["a", "b", "c", "d", "e", "f", "g"])
        chunks([1, 2, 3, 4, 5, 6], 3)
        chunks([9, 8], 2)
        chunks([], 0)
        """,
    ),
    piece(
        "uniques",
        '''
        def unique(items, key=None):
            """The items without repetitions, first ones kept, in order. With key, key(item) is compared."""
            seen, kept = [], []
            for item in items:
                mark = key(item) if key else item
                if mark not in seen:
                    seen.append(mark)
                    kept.append(item)
            return kept


        def repeated(items):
            """Items that occur more than once, each once, in the order of their second occurrence."""
            seen, found = [], []
            for item in items:
                if item in seen and item not in found:
                    found.append(item)
                seen.append(item)
            return found
        ''',
        [
            ("return", "return kept", "return seen"),
            ("return", "return kept", "return sorted(kept)"),
            ("edge case", "key(item) if key else item", "item"),
            ("condition", " and item not in found", ""),
            ("operator", "item in seen and", "item not in seen and"),
            ("edge case", "seen.append(mark)", "seen = [mark]"),
        ],
        """
        unique([1, 2, 1, 3])
        unique([3, 1, 2])
        unique([])
        unique([1, 1, 1])
        unique(["b", "a", "b"])
        unique(["Ann", "ann", "Bob"], str.lower)
        unique([1, -1, 2, -3], abs)
        unique([[1], [1], [2]])
        unique([2, 3, 2, 3, 2])
        repeated([1, 2, 1])
        repeated([1, 2, 3])
        repeated([1, 1, 1, 2, 2])
        repeated(["x", "y", "y", "x"])
        repeated([5, 6, 6, 6, 5, 5])
        unique(["bb", "a", "cc"], len)
        """,
    ),
    piece(
        "flatten",
        '''
        def flatten(items, depth=-1):
            """The items of a list, inner lists replaced by their items, depth levels deep; -1 for all levels.

            Tuples and texts stay as they are. The list itself is not changed.
            """
            flat = []
            for item in items:
                if isinstance(item, list) and depth != 0:
                    flat.extend(flatten(item, depth - 1))
                else:
                    flat.append(item)
            return flat
        ''',
        [
            ("default", "depth=-1", "depth=1"),
            ("off by one", "flatten(item, depth - 1)", "flatten(item, depth)"),
            ("operator", "flat.extend(", "flat.append("),
            ("edge case", "isinstance(item, list)", "isinstance(item, (list, tuple))"),
            ("operator", "depth != 0", "depth > 0"),
            ("edge case", "            flat.append(item)", "            flat = flat or [item]"),
        ],
        """
        flatten([1, [2, 3]])
        flatten([1, [2, [3, [4]]]])
        flatten([])
        flatten([[], [[]]])
        flatten([1, 2, 3])
        flatten([[1, [2]], [3]], 1)
        flatten([[1, [2, [3]]]], 2)
        flatten([[1]], 0)
        flatten([(1, 2), [3]])
        flatten(["ab", ["cd"]])
        x = [[1], 2]; flatten(x); x
        flatten([[[5]], 6], 1)
        flatten([0, [(1,)]])
        """,
    ),
    piece(
        "rotation",
        '''
        def rotate(items, steps=1):
            """A new list with the items moved steps places to the right, round the end; left if negative."""
            if not items:
                return []
            cut = len(items) - steps % len(items)
            return items[cut:] + items[:cut]
        ''',
        [
            ("edge case", "    if not items:\n        return []\n", ""),
            ("edge case", "steps % len(items)", "steps"),
            ("order", "items[cut:] + items[:cut]", "items[:cut] + items[cut:]"),
            ("off by one", "items[cut:] + items[:cut]", "items[cut + 1:] + items[:cut]"),
            ("default", "steps=1", "steps=0"),
            ("operator", "cut = len(items) - steps % len(items)", "cut = steps % len(items)"),
        ],
        """
        rotate([1, 2, 3, 4])
        rotate([1, 2, 3, 4], 2)
        rotate([1, 2, 3, 4], -1)
        rotate([1, 2, 3], 3)
        rotate([1, 2, 3], 4)
        rotate([1, 2, 3], 0)
        rotate([], 2)
        rotate([])
        rotate([7], 5)
        rotate(["a", "b"], 1)
        rotate(["a", "b", "c"], -4)
        rotate([1, 2, 3, 4, 5], 13)
        rotate([5, 6, 7])
        """,
    ),
    piece(
        "merging",
        '''
        def merge(left, right):
            """One sorted list from two sorted ones; of equal items those of left come first."""
            merged, one, other = [], 0, 0
            while one < len(left) and other < len(right):
                if left[one] <= right[other]:
                    merged.append(left[one])
                    one += 1
                else:
                    merged.append(right[other])
                    other += 1
            return merged + left[one:] + right[other:]
        ''',
        [
            ("operator", "left[one] <= right[other]", "left[one] >= right[other]"),
            ("operator", "left[one] <= right[other]", "left[one] < right[other]"),
            ("edge case", " + right[other:]", ""),
            ("edge case", " + left[one:]", ""),
            ("off by one", "left[one:]", "left[one + 1:]"),
            ("off by one", "other < len(right)", "other < len(right) - 1"),
        ],
        """
        merge([1, 3], [2, 4])
        merge([], [1])
        merge([1], [])
        merge([], [])
        merge([1, 2], [3, 4])
        merge([3, 4], [1, 2])
        merge([1, 1], [1])
        merge([True], [1])
        merge([1.0], [1, 2])
        merge([5], [1, 9])
        merge([2, 2, 8], [2])
        merge(["a", "c"], ["b"])
        merge([0.0, 3], [0])
        merge([10, 20, 30], [5, 15])
        """,
    ),
    piece(
        "windows",
        '''
        def moving_average(values, size=3):
            """Averages of each size values in a row; an empty list where there are fewer than size."""
            found = []
            for start in range(len(values) - size + 1):
                window = values[start:start + size]
                found.append(sum(window) / size)
            return found


        def largest_rise(values):
            """The largest difference from a value to a later one; 0 where no later value is larger."""
            best, low = 0, None
            for value in values:
                if low is None or value < low:
                    low = value
                best = max(best, value - low)
            return best
        ''',
        [
            ("off by one", "len(values) - size + 1", "len(values) - size"),
            ("default", "size=3", "size=2"),
            ("operator", "sum(window) / size", "sum(window) // size"),
            ("off by one", "start:start + size]", "start:start + size - 1]"),
            ("operator", "value < low", "value > low"),
            ("order", "max(best, value - low)", "value - low"),
            ("default", "best, low = 0, None", "best, low = 1, None"),
        ],
        """
        moving_average([1, 2, 3, 4], 2)
        moving_average([1, 2, 3])
        moving_average([1, 2, 4, 8])
        moving_average([5], 2)
        moving_average([], 1)
        moving_average([3, 5], 1)
        moving_average([2, 4], 2)
        moving_average([1, 2], 4)
        moving_average([0.5, 1.5, 4], 2)
        largest_rise([3, 1, 4, 2])
        largest_rise([5, 4, 3])
        largest_rise([])
        largest_rise([1, 2, 9])
        largest_rise([7])
        largest_rise([2, 8, 1, 6])
        largest_rise([4, 9, 3])
        """,
    ),
    piece(
        "grouping",
        '''
        def by_length(words, groups=None):
            """Words by their length: length → words, in order. Given groups are added to and returned."""
            if groups is None:
                groups = {}
            for word in words:
                groups.setdefault(len(word), []).append(word)
            return groups


        def split_when(items, test):
            """The items in lists: a new one begins at each item that passes the test."""
            found = []
            for item in items:
                if not found or test(item):
                    found.append([])
                found[-1].append(item)
            return found
        ''',
        [
            ("shared default", "groups=None", "groups={}"),
            ("edge case", "if groups is None:", "if not groups:"),
            ("operator", "groups.setdefault(len(word), []).append(word)", "groups[len(word)] = [word]"),
            ("edge case", "not found or ", ""),
            ("operator", "or test(item)", "or not test(item)"),
            ("off by one", "found[-1].append(item)", "found[0].append(item)"),
        ],
        """
        by_length(["a", "bb", "c"])
        by_length([])
        by_length(["x"]); by_length(["yy"])
        by_length(["one", "two", "three"])
        by_length(["a"], {1: ["z"]})
        g = {}; by_length(["q"], g); g
        g = {2: ["no"]}; by_length(["yes"], g) is g
        by_length([""]); by_length([])
        split_when([1, 2, 3, 4], lambda n: n % 2 == 0)
        split_when([1, 1, 0, 1], lambda n: n == 0)
        split_when([], bool)
        split_when([5, 6], lambda n: False)
        split_when([2, 4], lambda n: True)
        split_when("aXbX", str.isupper)
        g = {}; by_length(["a"], g); by_length(["b"], g); g
        """,
    ),
    piece(
        "searching",
        '''
        def place_of(items, wanted):
            """Place of the first item equal to wanted in a sorted list, by halving; -1 if there is none."""
            low, high = 0, len(items)
            while low < high:
                middle = (low + high) // 2
                if items[middle] < wanted:
                    low = middle + 1
                else:
                    high = middle
            return low if low < len(items) and items[low] == wanted else -1


        def nearest(items, wanted):
            """The item that is nearest to wanted; of two equally near the smaller. ValueError for no items."""
            if not items:
                raise ValueError("no items")
            return min(items, key=lambda item: (abs(item - wanted), item))
        ''',
        [
            ("operator", "items[middle] < wanted", "items[middle] <= wanted"),
            ("off by one", "high = middle\n", "high = middle - 1\n"),
            ("edge case", "low < len(items) and ", ""),
            ("default", "else -1", "else None"),
            ("edge case", "(abs(item - wanted), item)", "abs(item - wanted)"),
            ("operator", "(abs(item - wanted), item)", "(abs(item - wanted), -item)"),
            (
                "edge case",
                '    if not items:\n        raise ValueError("no items")\n',
                "    if not items:\n        return None\n",
            ),
        ],
        """
        place_of([1, 3, 5, 7], 5)
        place_of([1, 3, 5, 7], 7)
        place_of([1, 3, 5, 7], 1)
        place_of([1, 3, 5, 7], 4)
        place_of([1, 3], 9)
        place_of([], 1)
        place_of([2, 2, 2], 2)
        place_of([1, 2, 2, 3], 2)
        place_of([4], 4)
        nearest([1, 5, 9], 6)
        nearest([7, 3], 5)
        nearest([3, 7], 5)
        nearest([], 1)
        nearest([10, 2, 4], 3)
        nearest([-1, 1], 0)
        place_of([6, 8], 8)
        nearest([2], 100)
        nearest((), 0)
        nearest([9, 1], 5)
        """,
    ),
    piece(
        "ranking",
        '''
        def top(scores, count=3):
            """Names of the count best scores (name → score), best first; of equal ones by name."""
            order = sorted(scores, key=lambda name: (-scores[name], name))
            return order[:count]


        def ranks(scores):
            """Name → rank: 1 for the best; equal scores share the better rank and the next ones are skipped."""
            return {name: 1 + sum(other > score for other in scores.values()) for name, score in scores.items()}
        ''',
        [
            ("default", "count=3", "count=2"),
            ("operator", "-scores[name]", "scores[name]"),
            ("edge case", "(-scores[name], name)", "-scores[name]"),
            ("off by one", "order[:count]", "order[:count - 1]"),
            ("off by one", "1 + sum(", "sum("),
            ("operator", "other > score", "other >= score"),
            ("edge case", "in scores.values())", "in set(scores.values()))"),
        ],
        """
        top({"a": 1, "b": 3, "c": 2}, 2)
        top({"b": 5, "a": 5, "c": 1})
        top({"z": 1, "y": 1, "x": 1}, 2)
        top({})
        top({"q": 4}, 1)
        top({"m": 2, "k": 2, "n": 9, "l": 7})
        top({"a": 1}, 0)
        ranks({"a": 10, "b": 20})
        ranks({"a": 5, "b": 5, "c": 1})
        ranks({})
        ranks({"x": 1})
        ranks({"p": 3, "q": 2, "r": 3, "s": 1})
        top({"d": 3, "c": 3, "b": 2, "a": 1}, 4)
        """,
    ),
)
"""Every piece about lists."""
