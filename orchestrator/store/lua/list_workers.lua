#!lua flags=no-writes
-- list_workers: all workers that are not forgotten.
-- KEYS  workers seen orders (of the catalog)
-- ARGV  -
-- GIVES for each: name record silent_ms order ('' = none)
-- SAFE TO REPEAT: yes
--@include now
local found = {}
local seen = redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')
for i = 1, #seen, 2 do
  local record = redis.call('HGET', KEYS[1], seen[i])
  if record then
    found[#found + 1] = { seen[i], record, math.max(0, now - seen[i + 1]), redis.call('HGET', KEYS[3], seen[i]) or '' }
  end
end
return found
