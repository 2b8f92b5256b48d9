#!lua
-- tell_workers: leave word for workers that live, which hear it with their next beat.
-- KEYS  seen orders (of the catalog)
-- ARGV  silent_ms word ('' = go on) kept_ms name...
-- GIVES the names of those that were told
-- SAFE TO REPEAT: yes
--@include now
local seen, orders = KEYS[1], KEYS[2]
redis.call('HLEN', orders)
local told = {}
for i = 4, #ARGV do
  local at = redis.call('ZSCORE', seen, ARGV[i])
  if at and tonumber(at) > now - ARGV[1] then told[#told + 1] = ARGV[i] end
end
for _, name in ipairs(told) do
  if ARGV[2] == '' then redis.call('HDEL', orders, name) else redis.call('HSET', orders, name, ARGV[2]) end
end
redis.call('PEXPIRE', orders, ARGV[3])
return told
