"""A whole environment: books on shelves, one question each. `practicum check examples/library_desk.py`"""

from typing import Annotated

from pydantic import Field

from practicum import Call, Environment, Task, score_fields, tool

SHELVES = {f"B{n}": {"shelf": "ABCDE"[n % 5], "copies": n % 4} for n in range(100, 400)}


class LibraryDesk(Environment):
    """Where does a book stand, and can it be lent?"""

    id, version = "library-desk", "1.0.0"

    @tool
    def find_book(self, book_id: Annotated[str, Field(max_length=8)]) -> dict:
        """a book's shelf and free copies"""
        return SHELVES.get(book_id) or {"error": f"no book {book_id}"}

    def system_prompt(self, task):
        return 'Find the book, then answer only with <final_output>{"shelf":…,"lend":"yes" or "no"}</final_output>'

    def tasks(self, split):
        part = {"train": range(100, 300), "validation": range(300, 340), "test": range(340, 400)}[split]
        return [Task(f"B{n}", f"Can I borrow book B{n}?", self.answer(f"B{n}")) for n in part]

    def answer(self, book_id):
        book = SHELVES[book_id]
        return {"shelf": book["shelf"], "lend": "yes" if book["copies"] else "no"}

    def oracle(self, task):  # demonstrations for the foothold
        book = yield Call("find_book", {"book_id": task.id})
        lend = "yes" if book["copies"] else "no"
        return f'<final_output>{{"shelf":"{book["shelf"]}","lend":"{lend}"}}</final_output>'


score = score_fields(tag="final_output", exact=True)  # evaluation: every field or nothing
reward = score_fields(tag="final_output", partial=True)  # training: credit per field
