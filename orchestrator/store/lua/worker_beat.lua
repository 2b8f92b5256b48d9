#!lua
-- worker_beat: say what a worker is and does (an empty record: it leaves), forget those that have long been silent, and
-- hear what it was told to do.
-- KEYS  workers seen orders (of the catalog)
-- ARGV  name record forgotten_ms
-- GIVES what it was told to do, '' for nothing
-- SAFE TO REPEAT: yes
--@include now
local workers, seen, orders = KEYS[1], KEYS[2], KEYS[3]
local name, record, kept_ms = ARGV[1], ARGV[2], ARGV[3]
redis.call('HLEN', workers)
redis.call('HLEN', orders)
local gone = redis.call('ZRANGEBYSCORE', seen, '-inf', now - kept_ms, 'LIMIT', 0, 100)
if record == '' then gone[#gone + 1] = name end
if #gone > 0 then
  redis.call('ZREM', seen, unpack(gone))
  redis.call('HDEL', workers, unpack(gone))
  redis.call('HDEL', orders, unpack(gone))
end
if record == '' then return '' end
redis.call('ZADD', seen, string.format('%d', now), name)
redis.call('HSET', workers, name, record)
for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], kept_ms) end
return redis.call('HGET', orders, name) or ''
