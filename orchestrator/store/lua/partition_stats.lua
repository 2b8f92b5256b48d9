#!lua flags=no-writes
-- partition_stats: how much waits in a partition and who owns it.
-- KEYS  own ev ob tm dlq
-- ARGV  (none)
-- GIVES now inbox outbox timers dead_letters owner epoch expires_ms crashes oldest_event_ms
-- SAFE TO REPEAT: yes, it writes nothing
--@include now
local own = redis.call('HMGET', KEYS[1], 'o', 'e', 'x', 'n')
local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
local since = oldest and tonumber(string.match(oldest[1], '^%d+')) or 0
return {now, redis.call('XLEN', KEYS[2]), redis.call('XLEN', KEYS[3]), redis.call('ZCARD', KEYS[4]),
  redis.call('XLEN', KEYS[5]), own[1] or '', tonumber(own[2] or '0'), tonumber(own[3] or '0'), tonumber(own[4] or '0'), since}
