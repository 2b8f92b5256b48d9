#!lua flags=no-writes
-- attempt: an open attempt of a task: who has it, what it was made with, and how many commits its workflow has seen.
-- KEYS  w d
-- ARGV  suffix
-- GIVES text record version | nothing when it is not open
-- SAFE TO REPEAT: yes, it writes nothing
local text = redis.call('HGET', KEYS[2], ARGV[1])
if not text then return {} end
local ref = string.match(text, '^%S+ %d+ %d+ %d+ %d+ %d+ %d+ %S+ (.*)$')
local known = redis.call('HMGET', KEYS[1], 'S' .. (ref or ''), 'v')
return {text, known[1] or '', known[2] or ''}
