#!lua flags=no-writes
-- due_timers: the timers that are due, and when the next one is.
-- KEYS  tm
-- ARGV  limit
-- GIVES now next_due_or_-1 member score ...
-- SAFE TO REPEAT: yes, it writes nothing
--@include now
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[1])
local after = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%d', now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local reply = {now, after[2] and tonumber(after[2]) or -1}
for i = 1, #due do reply[#reply + 1] = due[i] end
return reply
