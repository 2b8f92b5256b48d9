#!lua
-- put_schedule: store, change or (json '') forget a schedule, unless it was changed or moved on since it was read.
-- KEYS  def next look x xt last (of the schedules; x and xt of this one)
-- ARGV  name expected_json ('' = there is none) expected_due_ms ('' = none) json due_ms ('' = paused or over) look_ms
-- GIVES OK | CHANGED
-- SAFE TO REPEAT: yes, and the repeat rewrites a field so that a barrier has something to see; when it is due stays
local name, expected, expected_due, json, due = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local stored = redis.call('HGET', KEYS[1], name) or ''
local pending = redis.call('HGET', KEYS[2], name) or ''
if stored == json and json ~= '' then
  redis.call('HSET', KEYS[1], name, json)
  return 'OK'
end
if stored ~= json and (stored ~= expected or pending ~= expected_due) then return 'CHANGED' end
redis.call('ZCARD', KEYS[3])
redis.call('HLEN', KEYS[6])
if json == '' then
  redis.call('HDEL', KEYS[1], name)
  redis.call('DEL', KEYS[4], KEYS[5])
  redis.call('HDEL', KEYS[6], name)
else
  redis.call('HSET', KEYS[1], name, json)
end
if due == '' then
  redis.call('HDEL', KEYS[2], name)
  redis.call('ZREM', KEYS[3], name)
else
  redis.call('HSET', KEYS[2], name, due)
  redis.call('ZADD', KEYS[3], ARGV[6], name)
end
return 'OK'
