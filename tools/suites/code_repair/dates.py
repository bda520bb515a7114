"""Modules about dates and times, without a clock."""

from tools.suites.code_repair.piece import piece

DATES = (
    piece(
        "months",
        '''
        LENGTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]


        def is_leap(year):
            """Whether a year has a 29th of February: every 4th has, but of the full centuries only every 4th."""
            return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


        def days_in_month(year, month):
            """Days of a month (1 to 12); ValueError for any other."""
            if not 1 <= month <= 12:
                raise ValueError(month)
            if month == 2 and is_leap(year):
                return 29
            return LENGTHS[month - 1]
        ''',
        [
            ("edge case", " or year % 400 == 0", ""),
            ("edge case", " and (year % 100 != 0 or year % 400 == 0)", ""),
            ("off by one", "LENGTHS[month - 1]", "LENGTHS[month % 12]"),
            ("operator", "month <= 12", "month < 12"),
            ("edge case", "month == 2 and is_leap(year)", "month == 2 and year % 4 == 0"),
            ("default", "31, 28, 31, 30, 31, 30, 31, 31", "31, 28, 31, 30, 31, 30, 31, 30"),
        ],
        """
        is_leap(2024)
        is_leap(2023)
        is_leap(1900)
        is_leap(2000)
        is_leap(2100)
        is_leap(1600)
        days_in_month(2024, 2)
        days_in_month(2023, 2)
        days_in_month(1900, 2)
        days_in_month(2000, 2)
        days_in_month(2024, 1)
        days_in_month(2024, 8)
        days_in_month(2024, 12)
        days_in_month(2024, 11)
        days_in_month(2024, 0)
        days_in_month(2024, 13)
        days_in_month(2100, 2)
        days_in_month(1999, 8)
        days_in_month(2023, 12)
        """,
    ),
    piece(
        "yearday",
        '''
        BEFORE = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]


        def year_day(date):
            """Number of a date "YYYY-MM-DD" within its year: 1 for the 1st of January."""
            year, month, day = (int(part) for part in date.split("-"))
            leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
            return BEFORE[month - 1] + day + (1 if leap and month > 2 else 0)


        def days_between(first, last):
            """Days from one date to another of the same year; negative if last is earlier."""
            return year_day(last) - year_day(first)
        ''',
        [
            ("operator", "month > 2", "month >= 2"),
            ("edge case", " or year % 400 == 0", ""),
            ("off by one", "BEFORE[month - 1] + day", "BEFORE[month - 1] + day - 1"),
            ("default", "181, 212", "181, 211"),
            ("order", "year_day(last) - year_day(first)", "year_day(first) - year_day(last)"),
            ("return", "return year_day(last) - year_day(first)", "return abs(year_day(last) - year_day(first))"),
            ("edge case", " and month > 2", ""),
        ],
        """
        year_day("2023-01-01")
        year_day("2023-12-31")
        year_day("2024-12-31")
        year_day("2024-02-29")
        year_day("2024-03-01")
        year_day("2023-03-01")
        year_day("1900-03-01")
        year_day("2000-03-01")
        year_day("2023-08-15")
        year_day("2023-02-10")
        days_between("2023-01-01", "2023-01-31")
        days_between("2024-02-28", "2024-03-01")
        days_between("2023-05-05", "2023-05-01")
        days_between("2023-07-01", "2023-08-01")
        days_between("2023-04-04", "2023-04-04")
        year_day("2024-01-15")
        days_between("2000-02-01", "2000-12-01")
        days_between("2024-02-05", "2024-06-05")
        days_between("2023-12-31", "2023-01-01")
        """,
    ),
    piece(
        "addmonths",
        '''
        LENGTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]


        def add_months(date, count):
            """The date ("YYYY-MM-DD") count months later, or earlier if count is negative.

            Where that month is too short for the day, its last day. February has 29 days in every 4th year.
            """
            year, month, day = (int(part) for part in date.split("-"))
            months = year * 12 + month - 1 + count
            year, month = months // 12, months % 12 + 1
            longest = LENGTHS[month - 1] + (1 if month == 2 and year % 4 == 0 else 0)
            return f"{year:04}-{month:02}-{min(day, longest):02}"
        ''',
        [
            ("off by one", "month - 1 + count", "month + count"),
            ("off by one", "months % 12 + 1", "months % 12"),
            ("edge case", "min(day, longest)", "day"),
            ("operator", "min(day, longest)", "max(day, longest)"),
            ("edge case", " + (1 if month == 2 and year % 4 == 0 else 0)", ""),
            ("operator", "1 + count", "1 + abs(count)"),
            ("return", "{month:02}", "{month}"),
        ],
        """
        add_months("2024-01-15", 1)
        add_months("2024-01-31", 1)
        add_months("2023-01-31", 1)
        add_months("2023-12-10", 1)
        add_months("2023-01-10", -1)
        add_months("2023-11-30", 3)
        add_months("2024-02-29", 12)
        add_months("2023-05-31", 1)
        add_months("2023-06-15", 0)
        add_months("2023-03-31", -1)
        add_months("2020-10-05", 27)
        add_months("2023-11-01", 1)
        add_months("2024-11-30", -9)
        """,
    ),
    piece(
        "clocks",
        '''
        def add_minutes(time, minutes):
            """The time "HH:MM" that is minutes later (or earlier, if negative), round midnight."""
            hour, minute = (int(part) for part in time.split(":"))
            total = (hour * 60 + minute + minutes) % (24 * 60)
            return f"{total // 60:02}:{total % 60:02}"


        def minutes_until(start, end):
            """Minutes from one time to another; an end that is not later is meant for the next day."""
            hours, minutes = (int(b) - int(a) for a, b in zip(start.split(":"), end.split(":")))
            total = hours * 60 + minutes
            return total if total > 0 else total + 24 * 60
        ''',
        [
            ("edge case", " % (24 * 60)", ""),
            ("default", "% (24 * 60)", "% (12 * 60)"),
            ("operator", "total if total > 0", "total if total >= 0"),
            ("edge case", " if total > 0 else total + 24 * 60", ""),
            ("return", "{total % 60:02}", "{total % 60}"),
            ("operator", "int(b) - int(a)", "int(a) - int(b)"),
            ("operator", "hours * 60 + minutes", "hours * 60 - minutes"),
        ],
        """
        add_minutes("10:00", 30)
        add_minutes("23:30", 45)
        add_minutes("00:10", -20)
        add_minutes("11:59", 1)
        add_minutes("09:05", 0)
        add_minutes("12:00", 1440)
        add_minutes("13:45", 75)
        minutes_until("10:00", "11:30")
        minutes_until("23:00", "01:00")
        minutes_until("08:00", "08:00")
        minutes_until("09:45", "10:15")
        minutes_until("00:01", "00:00")
        minutes_until("12:30", "13:00")
        add_minutes("18:00", 60)
        minutes_until("17:20", "17:20")
        """,
    ),
    piece(
        "weekdays",
        '''
        NAMES = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
        SHIFTS = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4]


        def weekday(year, month, day):
            """Name of a date's day of the week (Sakamoto's method)."""
            if month < 3:
                year -= 1
            number = year + year // 4 - year // 100 + year // 400 + SHIFTS[month - 1] + day
            return NAMES[(number - 1) % 7]


        def workdays(first, count):
            """How many of count days in a row, beginning on the weekday named first, are Monday to Friday."""
            start = NAMES.index(first)
            return sum((start + day) % 7 < 5 for day in range(count))
        ''',
        [
            ("operator", "month < 3", "month <= 3"),
            ("operator", "- year // 100", "+ year // 100"),
            ("off by one", "(number - 1) % 7", "number % 7"),
            ("operator", "% 7 < 5", "% 7 <= 5"),
            ("off by one", "range(count)", "range(1, count)"),
            ("edge case", "    if month < 3:\n        year -= 1\n", ""),
            ("default", "[0, 3, 2, 5, 0, 3, 5, 1, 4, 6", "[0, 3, 2, 5, 0, 3, 5, 1, 4, 5"),
        ],
        """
        weekday(2024, 1, 1)
        weekday(2024, 2, 29)
        weekday(2024, 3, 1)
        weekday(2023, 3, 15)
        weekday(2000, 1, 1)
        weekday(1999, 12, 31)
        weekday(2026, 11, 21)
        weekday(2021, 10, 31)
        weekday(2025, 10, 5)
        workdays("Monday", 7)
        workdays("Saturday", 2)
        workdays("Friday", 4)
        workdays("Wednesday", 0)
        workdays("Sunday", 10)
        workdays("Thursday", 3)
        weekday(1900, 6, 6)
        """,
    ),
    piece(
        "spans",
        '''
        def overlap(first, second):
            """Hours that two spans (start, end) have in common, 0 if none; end is not part of a span."""
            start = max(first[0], second[0])
            end = min(first[1], second[1])
            return max(0, end - start)


        def merged(spans):
            """The spans in order, with those that overlap or touch made one."""
            found = []
            for start, end in sorted(spans):
                if found and start <= found[-1][1]:
                    found[-1] = (found[-1][0], max(found[-1][1], end))
                else:
                    found.append((start, end))
            return found
        ''',
        [
            ("edge case", "max(0, end - start)", "end - start"),
            ("operator", "start = max(", "start = min("),
            ("off by one", "max(0, end - start)", "max(0, end - start + 1)"),
            ("operator", "start <= found[-1][1]", "start < found[-1][1]"),
            ("edge case", "max(found[-1][1], end)", "end"),
            ("order", "sorted(spans)", "spans"),
            ("operator", "end = min(", "end = max("),
        ],
        """
        overlap((9, 12), (10, 14))
        overlap((9, 10), (11, 12))
        overlap((9, 11), (11, 12))
        overlap((1, 10), (3, 4))
        overlap((3, 4), (1, 10))
        overlap((5, 8), (5, 8))
        merged([(1, 3), (2, 5)])
        merged([(1, 2), (3, 4)])
        merged([(1, 2), (2, 4)])
        merged([(5, 6), (1, 2)])
        merged([(1, 9), (2, 3)])
        merged([])
        merged([(4, 8), (1, 5), (9, 9), (10, 12)])
        merged([(0, 10), (3, 7), (10, 11)])
        overlap((20, 22), (1, 5))
        """,
    ),
)
"""Every piece about dates and times."""
