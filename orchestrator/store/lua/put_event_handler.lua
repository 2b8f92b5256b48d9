#!lua
-- put_event_handler: store or (json '') forget an event handler; readers look again when the revision has changed.
-- KEYS  eh ehrev (of the catalog)
-- ARGV  name json mode (put|add|update)
-- GIVES OK | SAME | EXISTS | UNKNOWN
-- SAFE TO REPEAT: yes; SAME, or for a repeated add EXISTS with another text only, or UNKNOWN, is then the answer
local stored = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('GET', KEYS[2])
if not stored and (ARGV[2] == '' or ARGV[3] == 'update') then return 'UNKNOWN' end
if stored == ARGV[2] then
  -- Writes the same again: the durability barrier that follows covers only what this connection has written.
  redis.call('HSET', KEYS[1], ARGV[1], stored)
  return 'SAME'
end
if stored and ARGV[3] == 'add' then return 'EXISTS' end
if ARGV[2] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
redis.call('INCR', KEYS[2])
return 'OK'
