"""Modules about money and other amounts."""

from tools.suites.code_repair.piece import piece

AMOUNTS = (
    piece(
        "bills",
        '''
        def split_bill(cents, people):
            """What each pays, in whole cents: equal shares, the first ones one cent more if cents are left over.

            ValueError for fewer than 1 person or a negative amount.
            """
            if people < 1 or cents < 0:
                raise ValueError(people)
            share, left = divmod(cents, people)
            return [share + 1] * left + [share] * (people - left)


        def with_tip(cents, percent=10):
            """The amount and its tip, the tip rounded up to a whole cent."""
            return cents + -(-cents * percent // 100)
        ''',
        [
            ("operator", "people < 1", "people < 0"),
            ("edge case", " or cents < 0", ""),
            (
                "order",
                "[share + 1] * left + [share] * (people - left)",
                "[share] * (people - left) + [share + 1] * left",
            ),
            ("off by one", "[share] * (people - left)", "[share] * people"),
            ("off by one", "[share + 1] * left", "[share] * left"),
            ("default", "percent=10", "percent=15"),
            ("operator", "-(-cents * percent // 100)", "cents * percent // 100"),
        ],
        """
        split_bill(100, 4)
        split_bill(100, 3)
        split_bill(101, 3)
        split_bill(0, 2)
        split_bill(5, 1)
        split_bill(2, 3)
        split_bill(10, 0)
        split_bill(-5, 2)
        split_bill(7, 2)
        with_tip(1000)
        with_tip(1001)
        with_tip(0)
        with_tip(999, 20)
        with_tip(50, 15)
        split_bill(-1, 1)
        split_bill(3, 0)
        """,
    ),
    piece(
        "rounding",
        '''
        def round_to(value, step=5):
            """The multiple of step that is nearest to a whole number; from the middle upwards."""
            return (2 * value + step) // (2 * step) * step


        def clamp(value, low=0, high=100):
            """The value, or the nearer bound where it lies outside; ValueError if low is above high."""
            if low > high:
                raise ValueError(low)
            return max(low, min(value, high))


        def percent(part, whole):
            """Whole percents, cut off; 0 where whole is 0."""
            return 100 * part // whole if whole else 0
        ''',
        [
            ("default", "step=5", "step=10"),
            ("off by one", "2 * value + step)", "2 * value + step - 1)"),
            ("operator", "(2 * value + step) // (2 * step)", "value // step"),
            ("operator", "low > high", "low >= high"),
            ("order", "max(low, min(value, high))", "min(low, max(value, high))"),
            ("default", "high=100", "high=10"),
            ("edge case", " if whole else 0", ""),
            ("order", "100 * part // whole", "part // whole * 100"),
        ],
        """
        round_to(7)
        round_to(8)
        round_to(10)
        round_to(15, 10)
        round_to(14, 10)
        round_to(-3)
        round_to(0)
        round_to(5, 2)
        round_to(3, 6)
        clamp(50)
        clamp(-5)
        clamp(150)
        clamp(7, 1, 5)
        clamp(3, 3, 3)
        clamp(3, 5, 1)
        clamp(60, 20)
        percent(1, 4)
        percent(2, 3)
        percent(5, 0)
        percent(0, 9)
        percent(3, 2)
        percent(0, 0)
        clamp(9, 4, 4)
        """,
    ),
    piece(
        "savings",
        '''
        def grown(cents, percent, years, fee=0):
            """Cents after some years: each year percent is added (cut off to whole cents), then the fee taken.

            It never falls below 0.
            """
            for _ in range(years):
                cents += cents * percent // 100
                cents = max(0, cents - fee)
            return cents


        def years_to(cents, goal, percent):
            """Whole years of that growth, without a fee, until cents reach the goal; -1 if they never do."""
            years = 0
            while cents < goal:
                gain = cents * percent // 100
                if gain <= 0:
                    return -1
                cents += gain
                years += 1
            return years
        ''',
        [
            ("default", "fee=0", "fee=1"),
            ("off by one", "range(years)", "range(years + 1)"),
            ("edge case", "max(0, cents - fee)", "cents - fee"),
            ("order", "max(0, cents - fee)", "max(0, cents + fee)"),
            ("operator", "cents < goal", "cents <= goal"),
            ("default", "years = 0", "years = 1"),
            ("operator", "cents += cents * percent // 100", "cents = cents * percent // 100"),
            ("return", "return -1", "return years"),
        ],
        """
        grown(1000, 10, 1)
        grown(1000, 10, 2)
        grown(1000, 0, 5)
        grown(1000, 10, 0)
        grown(100, 5, 3, 50)
        grown(10, 5, 2, 20)
        grown(999, 10, 1)
        grown(500, 20, 2, 100)
        years_to(100, 121, 10)
        years_to(100, 100, 10)
        years_to(100, 50, 10)
        years_to(100, 200, 0)
        years_to(5, 10, 10)
        years_to(1000, 2000, 10)
        years_to(100, 110, 10)
        years_to(60, 70, 2)
        grown(0, 50, 4, 1)
        years_to(200, 400, 50)
        """,
    ),
)
"""Every piece about amounts."""
