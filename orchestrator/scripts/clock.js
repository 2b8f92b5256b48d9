// Date for scripts: the clock stands still at the moment that is given, and the host's time zone never shows: all is UTC.
(function (Real, now) {
  'use strict';
  const proto = Real.prototype, { apply, construct, defineProperty } = Reflect, toText = String;
  const { toUTCString: inUtc, getTime: timeOf, getTimezoneOffset: offsetOf } = proto;
  const { parse, UTC } = Real, isNumber = Number.isFinite, { exec } = RegExp.prototype, { slice } = String.prototype;
  const define = (where, name, value) => defineProperty(where, name, { value, writable: true, configurable: true });

  for (const part of ['FullYear', 'Month', 'Date', 'Hours', 'Minutes', 'Seconds', 'Milliseconds', 'Day'])
    for (const verb of ['get', 'set'])
      if (proto[verb + 'UTC' + part]) define(proto, verb + part, proto[verb + 'UTC' + part]);
  const yearOf = proto.getFullYear;
  const text = date => isNumber(apply(timeOf, date, [])) ? apply(inUtc, date, []) : 'Invalid Date';
  const shown = {
    getTimezoneOffset() { return apply(timeOf, this, []) * 0; },
    getYear() { return apply(yearOf, this, []) - 1900; },
    toString() { return text(this); },
    toDateString() { return apply(slice, text(this), [0, 16]); },
    toTimeString() { return apply(slice, text(this), [17]); },
  };
  for (const name in shown) define(proto, name, shown[name]);
  for (const name of ['toString', 'toDateString', 'toTimeString'])
    define(proto, name.replace('to', 'toLocale'), shown[name]);

  // A text without a zone was read in the host's, except for a date alone.
  const zoned = /(?:Z|GMT|UTC|[+-]\d\d:?\d\d)\s*(?:\(.*\))?$|^[+-]?\d{4,6}(?:-\d\d){0,2}$/i;
  const read = value => {
    const at = parse(value);
    if (!isNumber(at) || apply(exec, zoned, [value]) !== null) return at;
    return at - apply(offsetOf, new Real(at), []) * 60000;
  };
  const moment = given => {
    if (given.length === 0) return now;
    if (given.length > 1) return UTC(...given);
    const only = given[0] instanceof Real ? apply(timeOf, given[0], []) : given[0];
    return typeof only === 'string' ? read(only) : only;
  };
  const Fixed = function Date(...given) {
    return new.target ? construct(Real, [moment(given)], new.target) : text(new Real(now));
  };
  defineProperty(Fixed, 'prototype', { value: proto, writable: false });
  defineProperty(Fixed, 'length', { value: 7 });
  define(Fixed, 'now', () => now);
  define(Fixed, 'UTC', UTC);
  define(Fixed, 'parse', value => read(toText(value)));
  define(proto, 'constructor', Fixed);
  return Fixed;
})
