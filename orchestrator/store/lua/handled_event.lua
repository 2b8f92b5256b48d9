#!lua
-- handled_event: forget messages of an event queue that have been handled, or keep them as dead letters with a reason.
-- KEYS  q ids dlq (of the event)
-- ARGV  group dead_letters_max, then per message: entry id, message id, reason ('' = handled), payload ('' = none)
-- GIVES how many were still there
-- SAFE TO REPEAT: yes, what is gone is left alone
--@include now
local q, ids, dlq = KEYS[1], KEYS[2], KEYS[3]
redis.call('HLEN', ids)
redis.call('XLEN', dlq)
local there = {}
for at = 3, #ARGV, 4 do
  there[at] = #redis.call('XRANGE', q, ARGV[at], ARGV[at]) > 0
end

local count = 0
for at = 3, #ARGV, 4 do
  if there[at] then
    count = count + 1
    if ARGV[at + 2] ~= '' then
      redis.call('XADD', dlq, 'MAXLEN', '~', ARGV[2], '*', 'm', ARGV[at + 1], 'b', ARGV[at + 3], 'reason', ARGV[at + 2],
        't', string.format('%.0f', now))
    end
    redis.call('XACK', q, ARGV[1], ARGV[at])
    redis.call('XDEL', q, ARGV[at])
    redis.call('HDEL', ids, ARGV[at + 1])
  end
end
return count
