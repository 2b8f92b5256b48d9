#!lua
-- put_taskdef: store a task definition under a new revision, or (json '') forget it; readers follow the revisions.
-- KEYS  td tdrev rev (of the catalog)
-- ARGV  name json only_if_absent(1|0)
-- GIVES OK revision | SAME revision | EXISTS revision json | GONE
-- SAFE TO REPEAT: yes, SAME or GONE is then the answer
local stored = redis.call('HGET', KEYS[1], ARGV[1])
local since = redis.call('ZSCORE', KEYS[2], ARGV[1])
local revision = tonumber(redis.call('GET', KEYS[3]) or '0') + 1
if ARGV[2] == '' and not stored then return {'GONE'} end
if stored == ARGV[2] then
  -- Writes the same again: the durability barrier that follows covers only what this connection has written.
  redis.call('HSET', KEYS[1], ARGV[1], stored)
  return {'SAME', tonumber(since)}
end
if stored and ARGV[3] == '1' then return {'EXISTS', tonumber(since), stored} end
redis.call('SET', KEYS[3], string.format('%d', revision))
redis.call('ZADD', KEYS[2], revision, ARGV[1])
if ARGV[2] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
return {'OK', revision}
