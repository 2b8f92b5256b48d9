#!lua
-- set_limits: write the limits of a queue unless a newer revision of them is there, and pause or resume it.
-- KEYS  meta rec dly lea hld tok, then rdy wait wake of every domain, then what keys names (all of one queue)
-- ARGV  domains_version limits_revision concurrency rate window_ms guard_ms (the five '' = leave) paused(1|0|'' = leave), and per_key
--       where tasks have keys (whether the limits are for each key)
-- GIVES OK | OLD | DOMAINS version name index ...
-- SAFE TO REPEAT: yes
local meta = KEYS[1]
--@include domains
local m = redis.call('HMGET', meta, 'dv', 'lrev', 'conc', 'rate', 'window_ms', 'guard_ms', 'used', 'paused', 'lim_total',
  'lim_since')
if (m[1] or '0') ~= ARGV[1] then return domains(m[1] or '0') end
if ARGV[2] ~= '' and tonumber(ARGV[2]) <= tonumber(m[2] or '-1') then return {'OLD'} end
--@include now
--@include wake
--@include room
--@include keys
local limits = {m[3] or '0', m[4] or '0', m[5] or '0', m[6] or '0'}
local fields
if ARGV[2] ~= '' then
  fields = limit_fields(ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], is_keyed and ARGV[8])
  limits = {fields[4], fields[6], ARGV[5], ARGV[6]}
end
local paused = m[8] and ARGV[7] ~= '0' or ARGV[7] == '1'
local asleep, left = 0, 0
for domain = 0, last_domain do asleep = asleep + waiting(domain) end
if asleep > 0 and not paused then
  left = room(tonumber(limits[1]), tonumber(limits[2]), tonumber(limits[3]), tonumber(limits[4]), tonumber(m[7] or '0'))
end
local ready = {}
for domain = 0, last_domain do ready[domain] = redis.call('ZCARD', KEYS[7 + 3 * domain]) end

if ARGV[2] ~= '' then
  redis.call('HSET', meta, unpack(fields))
  if m[10] then
    -- The next claim finds out whether the new limits bind, and starts counting anew if they do.
    redis.call('HSET', meta, 'lim_total', string.format('%d', (m[9] or 0) + math.max(0, now - m[10])))
    redis.call('HDEL', meta, 'lim_since')
  end
end
if ARGV[7] == '1' then redis.call('HSET', meta, 'paused', '1') end
if ARGV[7] == '0' then redis.call('HDEL', meta, 'paused') end
for domain = 0, last_domain do wake(domain, math.min(left, math.max(ready[domain], kept_count or 0))) end
return {'OK'}
