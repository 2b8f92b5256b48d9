#!lua
-- decider_beat: say that a decider lives for ttl more ms (0 = it leaves) and list those that live.
-- KEYS  deciders (of the catalog)
-- ARGV  decider ttl_ms
-- GIVES the ids of the live deciders, in order of their ids
-- SAFE TO REPEAT: yes
--@include now
redis.call('ZCARD', KEYS[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if ARGV[2] == '0' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], string.format('%d', now + ARGV[2]), ARGV[1])
end
local live = redis.call('ZRANGE', KEYS[1], 0, -1)
table.sort(live)
return live
