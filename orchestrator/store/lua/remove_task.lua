#!lua flags=allow-oom
-- remove_task: take cancelled tasks out of the queue; one that a worker holds is marked and keeps its slot until let go.
-- KEYS  meta rec dly lea hld tok, then rdy wait wake of every domain, then what keys names (all of one queue)
-- ARGV  domains_version, then task ids
-- GIVES OK removed marked | DOMAINS version name index ...
-- SAFE TO REPEAT: yes
local meta, rec, dly, lea, hld = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
--@include domains
local m = redis.call('HMGET', meta, 'dv', 'conc', 'rate', 'window_ms', 'guard_ms', 'used', 'paused')
if (m[1] or '0') ~= ARGV[1] then return domains(m[1] or '0') end
if #ARGV == 1 then return {'OK', 0, 0} end
--@include now
--@include wake
--@include room
--@include keys
local tids = {}
for i = 2, #ARGV do tids[i - 1] = ARGV[i] end
local records = redis.call('HMGET', rec, unpack(tids))
local leased = redis.call('ZMSCORE', lea, unpack(tids))
if is_keyed then know(tids) end
local marked, gone, queued = {}, {}, {}
for i = 1, #tids do
  if records[i] then
    if leased[i] then
      marked[#marked + 1] = tids[i]
      marked[#marked + 1] = string.sub(records[i], 1, -2) .. 'x'
    else
      gone[#gone + 1] = tids[i]
      local domain = tonumber(string.match(records[i], '^%d+ %d+ (%d+) '))
      local list = queued[domain]
      if not list then list = {} queued[domain] = list end
      list[#list + 1] = tids[i]
    end
  end
end
local waited = {}
for domain, list in pairs(queued) do
  redis.call('ZCARD', KEYS[7 + 3 * domain])
  if is_keyed then
    local places = redis.call('ZMSCORE', KEYS[7 + 3 * domain], unpack(list))
    for i = 1, #list do
      waited[list[i]] = {domain, places[i] and true, redis.call('SISMEMBER', hld, list[i]) == 1}
      if places[i] or entries[list[i]].kept ~= '-' then give_back_turn(list[i], domain) end
      forget_keys(list[i])
    end
  end
end
local conc, asleep, left = tonumber(m[2] or '0'), 0, 0
redis.call('ZCARD', dly)
if ((redis.call('SCARD', hld) > 0 and conc > 0) or is_keyed) and #gone > 0 and not m[7] then
  for domain = 0, last_domain do
    redis.call('ZCARD', KEYS[7 + 3 * domain])
    asleep = asleep + waiting(domain)
  end
  left = room(conc > 0 and conc + #gone or 0, tonumber(m[3] or '0'), tonumber(m[4] or '0'), tonumber(m[5] or '0'), tonumber(m[6] or '0'))
end

if #marked > 0 then redis.call('HSET', rec, unpack(marked)) end
local freed = 0
if #gone > 0 then
  for domain, list in pairs(queued) do redis.call('ZREM', KEYS[7 + 3 * domain], unpack(list)) end
  redis.call('ZREM', dly, unpack(gone))
  redis.call('HDEL', rec, unpack(gone))
  freed = redis.call('SREM', hld, unpack(gone))
  if is_keyed then
    for tid, where in pairs(waited) do out_of_line(tid, unpack(where)) end
    local _, let_go = let_in()
    freed = freed + let_go
    write_keys()
  end
end
if asleep > 0 then
  for domain = 0, last_domain do
    wake(domain, math.min(left, freed, redis.call('ZCARD', KEYS[7 + 3 * domain])))
  end
end
return {'OK', #gone, #marked / 2}
