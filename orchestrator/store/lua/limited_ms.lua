#!lua flags=no-writes
-- limited_ms: how long a task that is still queued has waited for the queue's limits rather than for a worker.
-- KEYS  meta rec lea hld tok, and key where tasks have keys (all of one queue)
-- ARGV  id
-- GIVES ms, 0 for a task that is not here
-- SAFE TO REPEAT: yes, reads only
--@include now
local record = redis.call('HGET', KEYS[2], ARGV[1])
if not record then return 0 end
local m = redis.call('HMGET', KEYS[1], 'conc', 'rate', 'window_ms', 'guard_ms', 'used', 'lim_total', 'lim_since')
local limited = tonumber(m[6] or '0')
if m[7] then
  -- The running period ends when a slot or a token is back, even if nobody has come to claim since.
  local conc, rate, ended = tonumber(m[1] or '0'), tonumber(m[2] or '0'), tonumber(m[7])
  if conc > 0 and redis.call('ZCARD', KEYS[3]) + redis.call('SCARD', KEYS[4]) >= conc then
    local first = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
    ended = first[2] and math.min(now, tonumber(first[2])) or now
  end
  if rate > 0 and tonumber(m[5] or '0') >= rate then
    local head = redis.call('LINDEX', KEYS[5], 0)
    local back = head and string.match(head, '^%d+') + (m[3] or 0) + (m[4] or 0) or now
    ended = math.max(ended, math.min(now, back))
  end
  limited = limited + math.max(0, ended - m[7])
end
if KEYN > 5 then
  local kept, since, before = string.match(redis.call('HGET', KEYS[6], ARGV[1]) or '', '^%S+ %d+ (%S+) (%d+) (%d+) ')
  if kept then limited = limited + before + (kept ~= '-' and math.max(0, now - since) or 0) end
end
local base = tonumber(string.match(record, '(%d+) [-x]$'))
return math.max(0, limited - base)
