#!lua flags=no-writes
-- queue_stats: what is in a queue, who waits for it and which limits hold.
-- KEYS  meta rec dly lea hld tok, then rdy wait wake of every domain, then what keys names (all of one queue)
-- ARGV  domains_version
-- GIVES OK now delayed leased held used kept [meta fields and values], then per domain: ready (handed over and unread ones
--       among them, which leased leaves out) waiting head_record
--       | DOMAINS version name index ...
-- SAFE TO REPEAT: yes, reads only
local meta, rec, dly, lea, hld, tok = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
--@include domains
local m = redis.call('HMGET', meta, 'dv', 'used', 'window_ms', 'guard_ms')
if (m[1] or '0') ~= ARGV[1] then return domains(m[1] or '0') end
--@include now
local used = tonumber(m[2] or '0')
local entries = redis.call('LRANGE', tok, 0, 999)
for i = 1, #entries do
  local at, size = string.match(entries[i], '^(%d+) (%d+)$')
  if at + (m[3] or 0) + (m[4] or 0) > now then break end
  used = used - size
end
-- A lease that went along with a wake-up which nobody has taken yet is for whoever claims next.
local counts, unread = {}, 0
for domain = 0, last_domain do
  local ready = redis.call('ZCARD', KEYS[7 + 3 * domain])
  local head = redis.call('ZRANGE', KEYS[7 + 3 * domain], 0, 0)[1]
  local tokens = redis.call('LRANGE', KEYS[9 + 3 * domain], 0, -1)
  for i = 1, #tokens do
    local tid, delivery = string.match(tokens[i], '^(%S+) (%d+) ')
    if tid and redis.call('ZSCORE', lea, tid) and string.match(redis.call('HGET', rec, tid) or '', '^%d+') == delivery then
      ready, unread, head = ready + 1, unread + 1, head or tid
    end
  end
  counts[#counts + 1] = ready
  counts[#counts + 1] = redis.call('ZCOUNT', KEYS[8 + 3 * domain], now, '+inf')
  counts[#counts + 1] = head and redis.call('HGET', rec, head) or ''
end
return {'OK', now, redis.call('ZCARD', dly), redis.call('ZCARD', lea) - unread, redis.call('SCARD', hld), used,
  KEYN > 9 + 3 * last_domain and redis.call('ZCARD', KEYS[12 + 3 * last_domain]) or 0,
  redis.call('HGETALL', meta), unpack(counts)}
