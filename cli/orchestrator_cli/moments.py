"""Option types for times: how long, and when, in the words that a WAIT task of a definition understands."""

from __future__ import annotations

import click


class Duration(click.ParamType[int]):
    """Milliseconds from text such as ``90s``, ``1h 30m`` or ``PT5M``."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The milliseconds. Example: ``DURATION.convert("5m", None, None) == 300_000``"""
        from orchestrator.model.durations import parse_duration

        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Moment(click.ParamType[int]):
    """Epoch milliseconds from text such as ``2030-01-01 09:00 Europe/Berlin``; UTC when it names no zone."""

    name = "moment"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The moment. Example: ``MOMENT.convert("1970-01-01 00:01", None, None) == 60_000``"""
        from orchestrator.model.durations import parse_until

        try:
            return parse_until(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION = Duration()
MOMENT = Moment()
