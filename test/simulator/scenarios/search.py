"""Answers to SearchVerification; the other operations are answered normally.

Records are made up: number n is the n-th newest, and always looks the same.
"""

import functools

from http_messages import json_reply
from scenarios.table import Table
from service import InvalidParameters, accepted, now_ms, page_model, paging, refused

TABLE = Table()
FIRST_SENT_MS = 1_767_225_600_000  # 2026-01-01, so that records do not change from run to run
SECOND_MS = 1000
MANY = 3000


def record(call, number):
    sent = FIRST_SENT_MS - number * SECOND_MS
    return {
        "sendDate": sent,
        "channel": ("SMS", "VOICE", "WHATSAPP")[number % 3],
        "serviceSid": call.service_sid,
        "to": call.params.get("To") or f"62812{number:08}",
        "updatedDate": sent + SECOND_MS // 2,
        "verificationId": f"sim/{number:06}+id",
        "status": "approved" if number % 2 else "pending",
    }


def records(call, first, count):
    return [record(call, number) for number in range(first, first + count)]


def of_page(function):
    """From a function of the call, the page asked for and its size that returns a Model."""
    def run(call, *arguments):
        try:
            page, size = paging(call.params)
        except InvalidParameters as error:
            return json_reply(refused("INVALID_PARAMETERS", str(error)))
        return json_reply(accepted(function(call, page, size, *arguments)))
    return run


search = functools.partial(TABLE.add, action="SearchVerification", adapt=of_page)


@search("pages")
def pages(call, page, size, total: int):
    """That many records in all, in pages of PageSize."""
    first = (page - 1) * size
    return page_model(records(call, first, max(0, min(size, total - first))), page, size, total)


@search("repeatpage")
def repeat_page(call, page, size):
    """Every page is the first: the same records, pageNo 1, totalPage 1000."""
    return page_model(records(call, 0, size), 1, size, 1000 * size)


@search("repeatpage2")
def repeat_page_2(call, page, size):
    """Every page has the records of the first, but the pageNo that was asked for."""
    return page_model(records(call, 0, size), page, size, 1000 * size)


@search("cycle")
def cycle(call, page, size):
    """Pages repeat as A, B, A, B; totalPage is 1000."""
    return page_model(records(call, (page - 1) % 2 * size, size), page, size, 1000 * size)


@search("endless")
def endless(call, page, size):
    """Every page is new and full, and there is always one more."""
    return page_model(records(call, (page - 1) * size, size), page, size, (page + 1) * size)


@search("endless1")
def endless_1(call, page, size):
    """Every page has one new record, and there is always one more page."""
    return page_model(records(call, page - 1, 1), page, size, (page + 1) * size)


@search("shrinking")
def shrinking(call, page, size):
    """Page 1 is full, every other one has one new record, and there is always one more page."""
    found = records(call, 0, size) if page == 1 else records(call, size + page - 2, 1)
    return page_model(found, page, size, (page + 1) * size)


@search("emptypage")
def empty_page(call, page, size):
    """Page 2 is empty, though there are 5 pages."""
    found = [] if page == 2 or page > 5 else records(call, (page - 1) * size, size)
    return page_model(found, page, size, 5 * size)


@search("oddrecords")
def odd_records(call, page, size):
    """Records with fields missing, null, of the wrong type, and dates as no clock gives them."""
    changes = [
        {"sendDate": str(FIRST_SENT_MS)}, {"sendDate": -1}, {"sendDate": 10 ** 30}, {"sendDate": 1767225600000.5},
        {"sendDate": None}, {"sendDate": "yesterday"}, {"updatedDate": {}}, {"channel": None}, {"channel": 7},
        {"to": 6281234567890}, {"to": ["6281234567890"]}, {"verificationId": 12345}, {"verificationId": None},
        {"status": True}, {"status": {"a": 1}}, {"status": "\u4e0d\u660e"}, {"extra": {"to": "evil"}},
    ]
    odd = [{**record(call, number), **change} for number, change in enumerate(changes)]
    odd += [{}, None, "text", 5, [record(call, 99)]]
    return page_model(odd if page == 1 else [], page, size, len(odd))


@search("manyrecords")
def many_records(call, page, size):
    """3000 records in one page, whatever PageSize says."""
    return page_model(records(call, 0, MANY) if page == 1 else [], page, MANY, MANY)


CHANGES = {
    "number": {"to": "6281999999999"}, "no-number": {"to": None},
    "service": {"serviceSid": "FA99"}, "no-service": {"serviceSid": None},
    "channel": {"channel": "VOICE"}, "no-channel": {"channel": None},
    "hidden": {"to": "****"},
    "masked": lambda to: {"to": f"{to[:7]}****{to[-2:]}"},
    "masked-other": lambda to: {"to": f"{to[:7]}****{(int(to[-2:]) + 1) % 100:02}"},
}


@search("one")
def one(call, page, size, change: str):
    """One record, sent now, that fits but for this: `number`, `service` or `channel` is another, or it is `no-number`,
    `no-service` or `no-channel`, or the number comes `hidden`, `masked`, or `masked-other`, which is another one's."""
    searched, changes = call.verification(), CHANGES[change]
    to = searched.to if searched else call.params.get("To") or "6281234567890"
    found = record(call, 0) | {"sendDate": now_ms(), "channel": "SMS", "to": to,
                               "verificationId": call.params.get("VerificationId") or f"sim/one+{to}"}
    found |= changes(to) if callable(changes) else changes
    return page_model([found] if page == 1 else [], page, size, 1)


@search("nototal")
def no_total(call, page, size):
    """No pageNo, totalPage and totalCount; pages 1 and 2 are full, 3 is half full, then none."""
    count = size if page <= 2 else size // 2 if page == 3 else 0
    return {"records": records(call, (page - 1) * size, count), "pageSize": size}
