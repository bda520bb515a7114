"""Modules about numbers."""

from tools.suites.code_repair.piece import piece

NUMBERS = (
    piece(
        "divisors",
        '''
        def gcd(a, b):
            """The greatest number that divides both, never negative; gcd(0, 0) is 0."""
            while b:
                a, b = b, a % b
            return abs(a)


        def lcm(numbers):
            """The least number above 0 that all numbers divide; 1 for none, 0 if one of them is 0."""
            least = 1
            for number in numbers:
                if number == 0:
                    return 0
                least = abs(least * number) // gcd(least, number)
            return least
        ''',
        [
            ("edge case", "return abs(a)", "return a"),
            ("order", "a, b = b, a % b", "a, b = b, b % a if a else 0"),
            ("default", "least = 1", "least = 2"),
            ("edge case", "        if number == 0:\n            return 0\n", ""),
            ("edge case", "abs(least * number)", "least * number"),
            ("operator", " // gcd(least, number)", ""),
        ],
        """
        gcd(12, 18)
        gcd(18, 12)
        gcd(7, 5)
        gcd(0, 5)
        gcd(5, 0)
        gcd(0, 0)
        gcd(-4, 6)
        gcd(4, -6)
        lcm([4, 6])
        lcm([])
        lcm([3])
        lcm([2, 3, 4])
        lcm([0])
        lcm([5, 0, 2])
        lcm([-2, 3])
        lcm([10, 15, 6])
        gcd(-9, 0)
        lcm([0, 0])
        lcm([7, 7])
        lcm([4, 0, 0])
        lcm([3, -4])
        """,
    ),
    piece(
        "primes",
        '''
        def is_prime(number):
            """Whether a number above 1 has no divisor but 1 and itself."""
            if number < 2:
                return False
            divisor = 2
            while divisor * divisor <= number:
                if number % divisor == 0:
                    return False
                divisor += 1
            return True


        def factors(number):
            """The prime factors of a number above 0, smallest first, as often as each divides it; [] for 1."""
            found, divisor = [], 2
            while number > 1:
                if number % divisor == 0:
                    found.append(divisor)
                    number //= divisor
                else:
                    divisor += 1
            return found
        ''',
        [
            ("off by one", "divisor += 1\n    return True", "divisor += 2\n    return True"),
            ("operator", "divisor * divisor <= number", "divisor * divisor < number"),
            ("edge case", "    if number < 2:\n        return False\n", ""),
            ("off by one", "    divisor = 2\n", "    divisor = 3\n"),
            ("return", "found.append(divisor)", "found.append(number)"),
            ("order", "found.append(divisor)", "found.insert(0, divisor)"),
            ("operator", "while number > 1:", "while number > 2:"),
        ],
        """
        is_prime(2)
        is_prime(1)
        is_prime(0)
        is_prime(4)
        is_prime(9)
        is_prime(7)
        is_prime(25)
        is_prime(97)
        is_prime(91)
        is_prime(-3)
        is_prime(6)
        factors(12)
        factors(1)
        factors(2)
        factors(8)
        factors(15)
        factors(97)
        factors(36)
        is_prime(49)
        factors(70)
        """,
    ),
    piece(
        "bases",
        '''
        DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


        def to_base(number, base=2):
            """A whole number in a base from 2 to 36, with "-" before it if negative; ValueError for other bases."""
            if not 2 <= base <= 36:
                raise ValueError(base)
            sign, rest, shown = "-" if number < 0 else "", abs(number), ""
            while rest:
                rest, digit = divmod(rest, base)
                shown = DIGITS[digit] + shown
            return sign + (shown or "0")
        ''',
        [
            ("default", "base=2", "base=10"),
            ("operator", "base <= 36", "base < 36"),
            ("operator", "2 <= base", "1 < base - 1"),
            ("order", "DIGITS[digit] + shown", "shown + DIGITS[digit]"),
            ("edge case", '(shown or "0")', "shown"),
            ("edge case", "return sign + (", "return ("),
            ("edge case", "    if not 2 <= base <= 36:\n        raise ValueError(base)\n", ""),
        ],
        """
        to_base(5)
        to_base(8)
        to_base(255, 16)
        to_base(0)
        to_base(0, 7)
        to_base(-6)
        to_base(-255, 16)
        to_base(35, 36)
        to_base(1295, 36)
        to_base(10, 3)
        to_base(7, 10)
        to_base(5, 37)
        to_base(5, 40)
        to_base(1, 2)
        to_base(11, 2)
        to_base(100, 9)
        """,
    ),
    piece(
        "averages",
        '''
        def median(values):
            """The middle of the sorted values, or the mean of the two in the middle; ValueError for none."""
            if not values:
                raise ValueError("no values")
            order = sorted(values)
            middle = len(order) // 2
            if len(order) % 2 == 1:
                return order[middle]
            return (order[middle - 1] + order[middle]) / 2


        def mode(values):
            """The most frequent value; of equally frequent ones the smallest."""
            return min(values, key=lambda value: (-values.count(value), value))
        ''',
        [
            ("order", "sorted(values)", "list(values)"),
            ("operator", "len(order) % 2 == 1", "len(order) % 2 == 0"),
            ("off by one", "order[middle - 1] + order[middle]", "order[middle] + order[-middle]"),
            ("operator", ") / 2", ") // 2"),
            ("edge case", '    if not values:\n        raise ValueError("no values")\n', ""),
            ("edge case", "(-values.count(value), value)", "-values.count(value)"),
            ("operator", "-values.count(value)", "values.count(value)"),
        ],
        """
        median([3, 1, 2])
        median([4, 1, 3, 2])
        median([5])
        median([1, 2])
        median([])
        median([7, 7, 1, 1])
        median([10, 2, 38, 23, 38])
        median([1, 4, 2, 8])
        mode([1, 2, 2])
        mode([3, 1, 3, 1])
        mode([5])
        mode([4, 4, 9, 9, 2])
        mode([2, 1, 1, 3])
        median(())
        median([6, 3])
        mode([8, 6, 6, 8])
        """,
    ),
    piece(
        "digits",
        '''
        def digit_sum(number):
            """The sum of a whole number's digits; the sign does not count."""
            total, rest = 0, abs(number)
            while rest > 0:
                total += rest % 10
                rest //= 10
            return total


        def is_valid(code):
            """Whether the digits of a code pass Luhn's test; spaces do not count, other signs are not valid.

            From the right, every second digit is doubled, less 9 if above 9; the sum must end in 0.
            """
            code = code.replace(" ", "")
            if not code.isdigit():
                return False
            total = 0
            for place, digit in enumerate(reversed(code)):
                value = int(digit) * (2 if place % 2 == 1 else 1)
                total += value - 9 if value > 9 else value
            return total % 10 == 0
        ''',
        [
            ("edge case", "abs(number)", "number"),
            ("operator", "while rest > 0:", "while rest > 9:"),
            ("operator", "total += rest % 10", "total = rest % 10"),
            ("edge case", '.replace(" ", "")', ""),
            ("edge case", "reversed(code)", "code"),
            ("operator", "value > 9", "value >= 9"),
            ("off by one", "place % 2 == 1", "place % 2 == 0"),
            (
                "edge case",
                "    if not code.isdigit():\n        return False\n",
                "    if not code:\n        return False\n",
            ),
        ],
        """
        digit_sum(123)
        digit_sum(0)
        digit_sum(-45)
        digit_sum(9)
        digit_sum(1000)
        digit_sum(-7)
        digit_sum(999)
        is_valid("79927398713")
        is_valid("79927398710")
        is_valid("18")
        is_valid("0")
        is_valid("4539 1488 0343 6467")
        is_valid("1 8")
        is_valid("12a")
        is_valid("")
        is_valid("91")
        is_valid("059")
        is_valid("3 4")
        is_valid("x")
        is_valid("8273 1232 7352 0569")
        is_valid("67")
        """,
    ),
)
"""Every piece about numbers."""
