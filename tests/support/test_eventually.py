"""Waiting for a fact: gives the result, repeats failures, and cannot pass by returning False."""

from __future__ import annotations

import itertools

import pytest

from tests.support.eventually import eventually, eventually_async


def test_it_gives_what_the_check_returned_once_it_holds() -> None:
    attempts = itertools.count(1)

    def third_time_lucky() -> int:
        number = next(attempts)
        assert number == 3
        return number

    assert eventually(third_time_lucky) == 3


def test_a_check_that_returns_false_fails_at_the_deadline() -> None:
    with pytest.raises(AssertionError, match="still returned False"):
        eventually(lambda: False, timeout_s=0)


def test_the_last_error_is_raised_as_it_is() -> None:
    def never() -> None:
        raise AssertionError("3 of 4 arrived")

    with pytest.raises(AssertionError, match="3 of 4 arrived"):
        eventually(never, timeout_s=0)


def test_an_unexpected_error_ends_the_waiting_at_once() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        eventually(broken, timeout_s=30)


async def test_the_awaited_form_repeats_too() -> None:
    attempts = itertools.count(1)

    async def second_time() -> bool:
        return next(attempts) == 2

    assert await eventually_async(second_time) is True


async def test_the_awaited_form_ends_at_the_deadline() -> None:
    async def never() -> bool:
        return False

    with pytest.raises(AssertionError, match="still returned False"):
        await eventually_async(never, timeout_s=0)
