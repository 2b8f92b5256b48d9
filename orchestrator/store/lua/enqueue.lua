#!lua
-- enqueue: make tasks claimable, now or after a delay; a task that is already here only gets a new offer number.
-- Where nothing limits the queue and claimants wait for it, a task is leased at once and goes along with the wake-up.
-- KEYS  meta rec dly lea hld tok, then rdy wait wake of every domain, then what keys names (all of one queue)
-- ARGV  domains_version priority_step_ms lease_ms limits_revision concurrency rate window_ms guard_ms (the five '' when
--       unknown), then per task: id domain_index priority delay_ms; where tasks have keys also per_key
--       before them (whether the limits are for each key), and the keys of each behind it
-- GIVES OK added | DOMAINS version name index ...
-- SAFE TO REPEAT: yes, a repeat raises the offer number, which makes a release that is under way put the task back
local meta, rec, dly, lea = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
--@include domains
local m = redis.call('HMGET', meta, 'dv', 'seq', 'lim_total', 'lim_since', 'lrev', 'conc', 'rate', 'window_ms', 'guard_ms',
  'used', 'paused', 'granted')
if (m[1] or '0') ~= ARGV[1] then return domains(m[1] or '0') end
--@include now
--@include wake
--@include room
--@include keys
local format, match = string.format, string.match

local tids, stride, first = {}, is_keyed and 5 or 4, is_keyed and 10 or 9
for i = first, #ARGV, stride do tids[#tids + 1] = ARGV[i] end
local known = #tids > 0 and redis.call('HMGET', rec, unpack(tids)) or {}

-- Order is a number that grows with the server's clock and by at least one per task: the time in ms, times 4096, plus a
-- sequence. So equals leave in the order they came, even within one millisecond or when the clock steps back.
local order = tonumber(m[2] or '0')
local step = tonumber(ARGV[2])
local base = tonumber(m[3] or '0')
if m[4] then base = base + now - tonumber(m[4]) end
base = format('%d', base)
local latest, ready, later, hurry, added, arrivals = {}, {}, {}, {}, 0, {}
for i = 1, #tids do
  local tid, at = tids[i], first + stride * (i - 1)
  local record = latest[tid] or known[i]
  if record then
    local delivery, offer, rest = match(record, '^(%d+) (%d+) (.*) [-x]$')
    latest[tid] = delivery .. ' ' .. format('%d', offer + 1) .. ' ' .. rest .. ' -'
  else
    local domain, advance, delay = tonumber(ARGV[at + 1]), ARGV[at + 2] * step, tonumber(ARGV[at + 3])
    order = math.max(now * 4096, order + 1)
    local due = order + delay * 4096
    latest[tid] = '0 0 ' .. ARGV[at + 1] .. ' ' .. format('%d %d 0 ', advance, due) .. base .. ' -'
    added = added + 1
    if is_keyed then new_keys(tid, ARGV[at + 2], ARGV[at + 4]) end
    if delay > 0 then
      later[#later + 1] = format('%d', due)
      later[#later + 1] = tid
      -- Waiters look again after two seconds at the latest; what is due earlier than that must be told to one of them.
      if delay < 2000 then hurry[domain] = 1 end
    else
      arrivals[#arrivals + 1] = {tid, domain, format('%d', due - advance * 4096)}
    end
  end
end

local limits = {m[6] or '0', m[7] or '0', m[8] or '0', m[9] or '0'}
local newer = ARGV[4] ~= '' and tonumber(ARGV[4]) > tonumber(m[5] or '-1')
local fields
if newer then
  fields = limit_fields(ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], is_keyed and ARGV[9])
  limits = {fields[4], fields[6], ARGV[7], ARGV[8]}
end
for i = 1, #arrivals do
  local tid, domain, by_time = unpack(arrivals[i])
  local place = by_time
  if is_keyed then place = line_up(tid, domain, by_time) end
  if place then
    local list = ready[domain]
    if not list then list = {} ready[domain] = list end
    list[#list + 1] = place
    list[#list + 1] = tid
  end
end
local is_open = limits[1] == '0' and limits[2] == '0' and not newer and not m[11] and not (is_keyed and key_conc + key_rate > 0)
-- What waits for a claimant only because none has looked since its time came.
local function is_due(key, latest_due)
  local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return head[2] and tonumber(head[2]) <= latest_due
end
local asleep, direct = 0, {}
for domain = 0, last_domain do
  local before = (ready[domain] or newer) and redis.call('ZCARD', KEYS[7 + 3 * domain])
  if ready[domain] or hurry[domain] or newer then
    asleep = asleep + waiting(domain)
    -- More tasks than claimants are better claimed by the batch; and nobody is passed over who was here before.
    if is_open and before == 0 and waiters[domain] > 0 and unread[domain] == 0 then
      local alive = redis.call('ZCOUNT', KEYS[8 + 3 * domain], format('(%d', now), '+inf')
      if #ready[domain] / 2 <= alive and not is_due(dly, now * 4096 + 4095) and not is_due(lea, now) then direct[domain] = alive end
    end
  end
end
redis.call('ZCARD', lea)
if #later > 0 then redis.call('ZCARD', dly) end
local left = 0
if asleep > 0 and not m[11] then
  left = room(tonumber(limits[1]), tonumber(limits[2]), tonumber(limits[3]), tonumber(limits[4]), tonumber(m[10] or '0'))
end

-- From here on there are writes. What is handed over comes first; its receivers stay on the list of those who wait.
local until_ms, granted = format('%d', now + ARGV[3]), 0
for domain, list in pairs(ready) do
  if direct[domain] then
    local holders, tokens = {}, {}
    for i = 2, #list, 2 do
      local offer, others = match(latest[list[i]], '^%d+ (%d+) (.*)$')
      latest[list[i]] = '1 ' .. offer .. ' ' .. others
      holders[i - 1], holders[i] = until_ms, list[i]
      if is_keyed then may_go(list[i], domain, list[i - 1]) end
      tokens[i / 2] = list[i] .. ' 1 ' .. offer .. ' ' .. until_ms
    end
    redis.call('ZADD', lea, unpack(holders))
    redis.call('RPUSH', KEYS[9 + 3 * domain], unpack(tokens))
    if direct[domain] < waiters[domain] then redis.call('ZREMRANGEBYSCORE', KEYS[8 + 3 * domain], '-inf', now) end
    granted = granted + #tokens
    ready[domain] = nil
  end
end

if newer then
  redis.call('HSET', meta, unpack(fields))
end
if #tids > 0 then
  local records = {}
  for tid, record in pairs(latest) do
    records[#records + 1] = tid
    records[#records + 1] = record
  end
  redis.call('HSET', rec, unpack(records))
end
if granted > 0 then
  redis.call('HSET', meta, 'seq', format('%d', order), 'granted', format('%d', granted + (m[12] or 0)))
elseif added > 0 then
  redis.call('HSET', meta, 'seq', format('%d', order))
end
if #later > 0 then redis.call('ZADD', dly, unpack(later)) end
for domain, list in pairs(ready) do redis.call('ZADD', KEYS[7 + 3 * domain], unpack(list)) end
if is_keyed then
  let_in()
  write_keys()
end
if asleep > 0 then
  for domain = 0, last_domain do
    if newer then
      wake(domain, math.min(math.max(redis.call('ZCARD', KEYS[7 + 3 * domain]), kept_count or 0), left))
    elseif ready[domain] then
      wake(domain, math.min(#ready[domain] / 2, left))
    elseif hurry[domain] then
      wake(domain, 1)
    end
  end
end
return {'OK', added}
