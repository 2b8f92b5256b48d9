#!lua
-- claim: hand out up to count ready tasks of one domain as leases, never more than the queue's limits allow.
-- KEYS  meta rec dly lea hld tok, then rdy wait wake of every domain, then what keys names (all of one queue)
-- ARGV  domains_version domain_index count lease_ms claimant wait_ms (0 = do not register as waiting) deliveries_max
-- GIVES OK now hint_ms limited(0|1), then id delivery offer lost(0|1) of every task | DOMAINS version name index ...
-- SAFE TO REPEAT: no, but what a lost answer granted comes back when its lease ends
local meta, rec, dly, lea, hld, tok = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
--@include domains
local m = redis.call('HMGET', meta, 'dv', 'conc', 'rate', 'window_ms', 'guard_ms', 'used', 'paused', 'lim_total', 'lim_since',
  'granted', 'expired')
if (m[1] or '0') ~= ARGV[1] then return domains(m[1] or '0') end
--@include now
--@include wake
--@include keys
local format, match = string.format, string.match
local mine, count, claimant = tonumber(ARGV[2]), math.min(tonumber(ARGV[3]), 100), ARGV[5]
local rdy = KEYS[7 + 3 * mine]
local conc, rate = tonumber(m[2] or '0'), tonumber(m[3] or '0')
local away = tonumber(m[4] or '0') + tonumber(m[5] or '0')
local used = tonumber(m[6] or '0')

-- What became ready by itself: delayed tasks that are due, and leases whose holder fell silent.
local due = redis.call('ZRANGEBYSCORE', dly, '-inf', format('%d', now * 4096 + 4095), 'LIMIT', 0, 100)
local silent = redis.call('ZRANGEBYSCORE', lea, '-inf', now, 'LIMIT', 0, 100)
local leases, held = redis.call('ZCARD', lea), redis.call('SCARD', hld)

-- Tokens come back one window and the guard after they were spent.
local full = rate > 0 and used >= rate
local returned, spent, token_back, restamp = 0, 0, now, false
if rate > 0 then
  local from, open = 0, true
  repeat
    local entries = redis.call('LRANGE', tok, from, from + 99)
    for i = 1, #entries do
      local at, size = match(entries[i], '^(%d+) (%d+)$')
      at = tonumber(at)
      if i == 1 and from == 0 then token_back = math.min(now, at + away) end
      restamp = restamp or at > now
      open = at + away > now
      if open then break end
      returned, spent = returned + tonumber(size), spent + 1
    end
    from = from + 100
    if #entries < 100 or from >= 1000 then open = true end
  until open
  used = used - returned
end

-- How long the limits have kept tasks waiting, up to the moment when they would have let one go.
local limited, since = tonumber(m[8] or '0'), m[9] and tonumber(m[9])
local since_before = since
if since then
  local ended = since
  if full then ended = token_back end
  if conc > 0 and leases + held >= conc then
    ended = math.max(ended, silent[1] and tonumber(redis.call('ZSCORE', lea, silent[1])) or now)
  end
  limited = limited + math.max(0, ended - since)
  since = ended >= now and now or nil
end

local arrivals, records, dropped, changed = {}, {}, {}, {}
-- A task whose worker fell silent takes its old place again: its time-outs have been running all the while.
local function arrive(tid, record, was_leased)
  local delivery, offer, domain, advance, at, heard, base, flag = match(record, '^(%d+) (%d+) (%d+) (%S+) (%d+) (%d+) (%d+) ([-x])$')
  if is_keyed and was_leased then free_use(tid, 'out') end
  if flag == 'x' then
    dropped[#dropped + 1] = tid
    if is_keyed then forget_keys(tid) end
    return
  end
  if limited > 0 then
    changed[#changed + 1] = tid
    changed[#changed + 1] = delivery .. ' ' .. offer .. ' ' .. domain .. ' ' .. advance .. format(' %d %d %d ', at, heard, limited) .. flag
  end
  local list = arrivals[tonumber(domain)]
  if not list then
    list = {}
    arrivals[tonumber(domain)] = list
    redis.call('ZCARD', KEYS[7 + 3 * domain])
    waiting(tonumber(domain))
  end
  local place = format('%d', at - advance * 4096)
  if is_keyed then
    local has_slot = not was_leased and held > 0 and redis.call('SISMEMBER', hld, tid) == 1
    place = line_up(tid, tonumber(domain), place, has_slot)
  end
  if place then
    list[#list + 1] = place
    list[#list + 1] = tid
  end
end
if #due > 0 then
  records = redis.call('HMGET', rec, unpack(due))
  if is_keyed then know(due) end
  for i = 1, #due do if records[i] then arrive(due[i], records[i]) end end
end
if #silent > 0 then
  records = redis.call('HMGET', rec, unpack(silent))
  if is_keyed then know(silent) end
  for i = 1, #silent do if records[i] then arrive(silent[i], records[i], true) end end
end
-- Leases that went along with a wake-up which nobody has taken yet: whoever claims takes them over as they are.
local taken, tokens = {}, redis.call('LLEN', KEYS[9 + 3 * mine]) > 0 and redis.call('LRANGE', KEYS[9 + 3 * mine], 0, count - 1) or {}
for i = 1, #tokens do
  local tid, delivery = match(tokens[i], '^(%S+) (%d+) ')
  if tid then
    local record, ends = redis.call('HGET', rec, tid), redis.call('ZSCORE', lea, tid)
    local current, offer = match(record or '', '^(%d+) (%d+) ')
    if current == delivery and ends and tonumber(ends) > now then taken[#taken + 1] = {tid, tonumber(delivery), offer} end
  end
end
if waiting(mine) > 0 then unread[mine] = unread[mine] - #tokens end
local ready = redis.call('ZCARD', rdy) + (arrivals[mine] and #arrivals[mine] / 2 or 0)

-- From here on there are writes, to keys whose types have all been read.
if #due > 0 then redis.call('ZREM', dly, unpack(due)) end
if #silent > 0 then redis.call('ZREM', lea, unpack(silent)) end
if #dropped > 0 then redis.call('HDEL', rec, unpack(dropped)) end
if #changed > 0 then redis.call('HSET', rec, unpack(changed)) end
for domain, list in pairs(arrivals) do
  if #list > 0 then redis.call('ZADD', KEYS[7 + 3 * domain], unpack(list)) end
end
local admitted
if is_keyed then
  look_at_keys()
  admitted = let_in()
  ready = redis.call('ZCARD', rdy)
end
leases = leases - #silent
if restamp then
  -- The clock has stepped back: entries from its future would block the queue until then, so all count as spent now.
  redis.call('DEL', tok)
  redis.call('RPUSH', tok, now .. ' ' .. format('%d', used))
elseif spent > 0 then
  redis.call('LTRIM', tok, spent, -1)
end

local want = math.min(count - #taken, ready)
if m[7] then want = 0 end
if rate > 0 then want = math.max(0, math.min(want, rate - used)) end
local tids = {}
local free = conc > 0 and math.max(0, conc - leases - held) or want
if free < want and held > 0 then
  -- A postponed task that is ready again still has its slot: it may go although no other slot is free.
  local postponed = redis.call('SRANDMEMBER', hld, 100)
  local scores = redis.call('ZMSCORE', rdy, unpack(postponed))
  local back = {}
  for i = 1, #postponed do
    if scores[i] then back[#back + 1] = {tonumber(scores[i]), postponed[i]} end
  end
  table.sort(back, function(a, b) return a[1] < b[1] end)
  for i = 1, math.min(want, #back) do tids[i] = back[i][2] end
  if #tids > 0 then redis.call('ZREM', rdy, unpack(tids)) end
end
free = math.min(free, want - #tids)
if is_keyed then
  -- What stands in line may go, unless limits were lowered; then it is looked for what may, but not for ever.
  local looked = 0
  know(tids)
  while free > 0 and looked < 250 do
    local popped = redis.call('ZPOPMIN', rdy, free)
    if #popped == 0 then break end
    for i = 1, #popped, 2 do
      know({popped[i]})
      looked = looked + 1
      if may_go(popped[i], mine, popped[i + 1], held > 0 and redis.call('SISMEMBER', hld, popped[i]) == 1) then
        tids[#tids + 1], free = popped[i], free - 1
      else
        ready = ready - 1
      end
    end
  end
elseif free > 0 then
  local popped = redis.call('ZPOPMIN', rdy, free)
  for i = 1, #popped, 2 do tids[#tids + 1] = popped[i] end
end

local reply = {'OK', now, 2000, (conc > 0 or rate > 0 or (is_keyed and key_conc + key_rate > 0)) and 1 or 0}
local granted, until_ms = 0, format('%d', now + ARGV[4])
if #tokens > 0 then redis.call('LTRIM', KEYS[9 + 3 * mine], #tokens, -1) end
for i = 1, #taken do
  local tid, delivery, offer = unpack(taken[i])
  redis.call('ZADD', lea, until_ms, tid)
  local at = #reply
  reply[at + 1], reply[at + 2], reply[at + 3], reply[at + 4] = tid, delivery, offer, 0
end
if #tids > 0 then
  local most = tonumber(ARGV[7])
  local grants, holders = {}, {}
  records = redis.call('HMGET', rec, unpack(tids))
  for i = 1, #tids do
    if records[i] then
      local delivery, offer, rest = match(records[i], '^(%d+) (%d+) (.*)$')
      local heard = match(rest, '(%d+) %d+ [-x]$')
      delivery = delivery + 1
      if is_keyed and key_rate > 0 then redis.call('ZADD', KEYS[SPT], format('%d', now), token_of(tids[i], format('%d', delivery))) end
      local at = 2 * granted
      granted = granted + 1
      grants[at + 1], grants[at + 2] = tids[i], format('%d ', delivery) .. offer .. ' ' .. rest
      holders[at + 1], holders[at + 2] = until_ms, tids[i]
      at = #reply
      reply[at + 1], reply[at + 2], reply[at + 3], reply[at + 4] = tids[i], delivery, offer, delivery - heard > most and 1 or 0
    end
  end
  if granted > 0 then
    redis.call('HSET', rec, unpack(grants))
    redis.call('ZADD', lea, unpack(holders))
  end
  if held > 0 then held = held - redis.call('SREM', hld, unpack(tids)) end
  if rate > 0 and granted > 0 then
    redis.call('RPUSH', tok, format('%d %d', now, granted))
    used = used + granted
  end
end
leases, ready = leases + granted, ready - #tids
if is_keyed then
  let_in()
  write_keys()
end

local left = m[7] and 0 or 250
if conc > 0 then left = math.min(left, conc - leases - held) end
if rate > 0 then left = math.min(left, rate - used) end
if left <= 0 and ready > 0 and not m[7] then
  since = since or now
elseif left > 0 then
  since = nil
end

local news = {}
if rate > 0 and (returned > 0 or granted > 0) then news = {'used', format('%d', used)} end
if granted > 0 then
  news[#news + 1] = 'granted'
  news[#news + 1] = format('%d', granted + (m[10] or 0))
end
if #silent > 0 then
  local at = #news
  news[at + 1], news[at + 2] = 'expired', format('%d', #silent + (m[11] or 0))
end
if since_before then
  news[#news + 1] = 'lim_total'
  news[#news + 1] = format('%d', limited)
end
if since and since ~= since_before then
  news[#news + 1] = 'lim_since'
  news[#news + 1] = format('%d', since)
end
if #news > 0 then redis.call('HSET', meta, unpack(news)) end
if since_before and not since then redis.call('HDEL', meta, 'lim_since') end

-- Who got less than asked for has room left: waiting from here on, it need not look again to be told of more.
if granted + #taken < count and tonumber(ARGV[6]) > 0 then
  redis.call('ZADD', KEYS[8 + 3 * mine], format('%d', now + ARGV[6]), claimant)
elseif waiting(mine) > 0 then
  redis.call('ZREM', KEYS[8 + 3 * mine], claimant)
end
-- Whoever takes the last of what woke him passes the word on, so that one lost wake-up does not strand the rest.
if left > 0 then
  if granted + #tokens > 0 and ready > 0 then wake(mine, math.min(ready, left)) end
  for domain, list in pairs(arrivals) do
    if domain ~= mine then wake(domain, math.min(#list / 2, left)) end
  end
  if is_keyed then
    for domain, count in pairs(admitted) do
      if domain ~= mine then wake(domain, count) end
    end
  end
end

if granted + #taken < count then
  local hint = 2000
  local head = redis.call('ZRANGE', dly, 0, 0, 'WITHSCORES')
  if head[2] then hint = math.min(hint, math.floor(tonumber(head[2]) / 4096) - now) end
  head = redis.call('ZRANGE', lea, 0, 0, 'WITHSCORES')
  if head[2] then hint = math.min(hint, tonumber(head[2]) - now) end
  if ready > 0 and rate > 0 and used >= rate then
    local at = redis.call('LINDEX', tok, 0)
    if at then hint = math.min(hint, tonumber(match(at, '^%d+')) + away - now) end
  end
  if is_keyed and kept_count > 0 and key_rate > 0 then
    head = redis.call('ZRANGE', KEYS[SPT], 0, 0, 'WITHSCORES')
    if head[2] then hint = math.min(hint, tonumber(head[2]) + key_away - now) end
  end
  if is_keyed and scan then hint = 1 end
  reply[3] = math.max(1, hint)
end
return reply
