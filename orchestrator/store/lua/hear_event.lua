#!lua
-- hear_event: make the consumer group of an event queue, so that its messages are kept until they are handled.
-- KEYS  q ids (of the event)
-- ARGV  group
-- GIVES OK | SAME
-- SAFE TO REPEAT: yes, SAME is then the answer
local q, ids, group = KEYS[1], KEYS[2], ARGV[1]
redis.call('HLEN', ids)
if redis.call('XLEN', q) > 0 or redis.call('EXISTS', q) == 1 then
  for _, found in ipairs(redis.call('XINFO', 'GROUPS', q)) do
    if found[2] == group then return 'SAME' end
  end
end

redis.call('XGROUP', 'CREATE', q, group, '0', 'MKSTREAM')
redis.call('PERSIST', q)
redis.call('PERSIST', ids)
return 'OK'
