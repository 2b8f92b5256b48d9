#!lua
-- publish_event: append a message to an event queue, once per message id while it waits there.
-- KEYS  q ids (of the event)
-- ARGV  message_id payload length_max unheard_ms
-- GIVES OK | SAME | FULL
-- SAFE TO REPEAT: yes, SAME is the answer until the message has been handled
local q, ids = KEYS[1], KEYS[2]
local known = redis.call('HGET', ids, ARGV[1])
local length = redis.call('XLEN', q)
if known then
  -- Writes the same again: the durability barrier that follows covers only what this connection has written.
  redis.call('HSET', ids, ARGV[1], known)
  return 'SAME'
end
local heard = length > 0 and #redis.call('XINFO', 'GROUPS', q) > 0
local oldest
if length >= tonumber(ARGV[3]) then
  if heard then return 'FULL' end
  oldest = redis.call('XRANGE', q, '-', '+', 'COUNT', 1)[1]
end

-- Nobody listens: the latest messages are kept for a handler to come, the others make room.
if oldest then
  redis.call('XDEL', q, oldest[1])
  redis.call('HDEL', ids, oldest[2][2])
end
local id = redis.call('XADD', q, '*', 'm', ARGV[1], 'b', ARGV[2])
redis.call('HSET', ids, ARGV[1], id)
if length == 0 then heard = #redis.call('XINFO', 'GROUPS', q) > 0 end
if not heard then
  redis.call('PEXPIRE', q, ARGV[4])
  redis.call('PEXPIRE', ids, ARGV[4])
end
return 'OK'
