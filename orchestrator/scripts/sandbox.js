// What surrounds a script: made anew for each, so it is short. The argument is the text of clock.js, compiled when needed.
//
// Gives back run(code, inputText, now, a, b, c, d): evaluates the code as a program with $ = the input and answers text:
// the value as JSON, or "!", the line and the message of what it threw. The clock stands still at `now`; Math.random
// follows from the four seeds; what depends on garbage collection or on real time is gone. Texts are joined, not added:
// the sum of two long ones is a tree that cannot leave the engine.
(function (clockText) {
  'use strict';
  const host = globalThis, run = eval, { parse, stringify } = JSON, toText = String, { exec } = RegExp.prototype;
  const { apply, defineProperty } = Reflect, { join } = Array.prototype, Failure = Error, NoMemory = InternalError, toNumber = Number, imul = Math.imul;
  let now, a, b, c, d;
  for (const name of ['performance', 'WeakRef', 'FinalizationRegistry', 'Atomics', 'SharedArrayBuffer'])
    delete host[name];
  const Real = Date;
  const settle = value => defineProperty(host, 'Date', { value, writable: true, configurable: true });
  defineProperty(host, 'Date', {
    get() { const made = run(clockText)(Real, now); settle(made); return made; },
    set: settle, configurable: true,
  });
  Math.random = () => {  // xoshiro128+, two draws for 53 bits
    let bits = 0;
    for (const width of [67108864, 134217728]) {
      const drawn = (a + d) >>> 0, t = b << 9;
      c ^= a; d ^= b; b ^= c; a ^= d; c ^= t; d = (d << 11) | (d >>> 21);
      bits = bits * width + drawn % width;
    }
    return bits / 9007199254740992;
  };
  BigInt.prototype.toJSON = function () { return toNumber(this); };  // Conductor: what is beyond long is double
  const line = /<input>:(\d+)/;
  const failure = thrown => {
    let at = 0, message;
    try {
      const isError = thrown instanceof Failure;
      message = isError || thrown === null || typeof thrown !== 'object' ? toText(thrown) : stringify(thrown);
      const found = isError ? apply(exec, line, [toText(thrown.stack)]) : null;
      if (found !== null) at = found[1];
    } catch (again) {  // null: there was no memory left to say that there is none
      message = again === null || again instanceof NoMemory ? 'null' : 'something that cannot be shown';
    }
    return apply(join, ['!', at, ' ', message], ['']);
  };
  return (code, inputText, clock, s0, s1, s2, s3) => {
    now = clock; a = s0; b = s1; c = s2; d = s3;
    let value;
    try { host.$ = parse(inputText); value = run(code); } catch (thrown) { return failure(thrown); }
    try { value = stringify(value); } catch (thrown) { return apply(join, ['!0 ', toText(thrown)], ['']); }
    return value === undefined ? 'null' : value;
  };
})
