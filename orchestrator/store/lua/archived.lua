#!lua flags=allow-oom
-- archived: delete an ended execution that the archive has in this version; nothing may be on its way to it.
-- KEYS  w d ev tomb, then index keys
-- ARGV  wid version tombstone_ms
-- GIVES OK | UNKNOWN | CONFLICT (another version, or it goes on) | BUSY (an event waits for it, or too many for others)
-- SAFE TO REPEAT: yes, the repeat is UNKNOWN
local wid = ARGV[1]
local known = redis.call('HMGET', KEYS[1], 'v', 's', 'q')
if not known[1] then return {'UNKNOWN'} end
local s = known[2]
local is_over = s == 'COMPLETED' or s == 'FAILED' or s == 'TIMED_OUT' or s == 'TERMINATED'
if known[1] ~= ARGV[2] or not is_over or known[3] or redis.call('HLEN', KEYS[2]) > 0 then return {'CONFLICT'} end
local events = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 200)
if #events == 200 then return {'BUSY'} end
for _, event in ipairs(events) do
  for i = 1, #event[2], 2 do
    if event[2][i] == 'w' and event[2][i + 1] == wid then return {'BUSY'} end
  end
end
redis.call('EXISTS', KEYS[4])
for i = 5, #KEYS do redis.call('ZCARD', KEYS[i]) end

redis.call('UNLINK', KEYS[1], KEYS[2])
for i = 5, #KEYS do redis.call('ZREM', KEYS[i], wid) end
redis.call('SET', KEYS[4], '1', 'PX', ARGV[3])
return {'OK'}
