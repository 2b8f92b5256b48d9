#!lua
-- begin_event_execution: note that an action is about to be done for a message, unless that is noted already.
-- KEYS  x xt (of the event)
-- ARGV  name record ttl_ms count_max
-- GIVES NEW | OLD record
-- SAFE TO REPEAT: yes, OLD with the same record is then the answer
--@include now
local x, xt = KEYS[1], KEYS[2]
local stored = redis.call('HGET', x, ARGV[1])
if stored then return {'OLD', stored} end
local old = redis.call('ZRANGE', xt, '-inf', now - tonumber(ARGV[3]), 'BYSCORE', 'LIMIT', 0, 100)
local excess = redis.call('ZCARD', xt) + 1 - tonumber(ARGV[4])
if #old == 0 and excess > 0 then old = redis.call('ZRANGE', xt, 0, math.min(excess, 100) - 1) end

if #old > 0 then
  redis.call('ZREM', xt, unpack(old))
  redis.call('HDEL', x, unpack(old))
end
redis.call('HSET', x, ARGV[1], ARGV[2])
redis.call('ZADD', xt, now, ARGV[1])
redis.call('PEXPIRE', x, ARGV[3])
redis.call('PEXPIRE', xt, ARGV[3])
return {'NEW'}
