#!lua
-- key_queue: from now on the tasks of this type have keys; what is in the queue already has none.
-- KEYS  meta
-- ARGV  domains_version
-- GIVES DOMAINS version name index ...
-- SAFE TO REPEAT: yes
--@include domains
--@include now
local known = redis.call('HMGET', KEYS[1], 'dv', 'seq')
local count, keyed = string.match(known[1] or '0', '^(%d+)(k?)$')
if keyed == '' then
  -- Turns are counted from behind everything that stands in line by its time.
  local first_turn = math.max(now * 4096, tonumber(known[2] or '0') + 1)
  redis.call('HSET', KEYS[1], 'dv', count .. 'k', 'kb', string.format('%d', first_turn))
end
return domains(count .. 'k')
