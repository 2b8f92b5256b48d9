#!lua
-- lend: leave claimed tasks to workers that send no heartbeats; each keeps its slot and comes back when its time is over.
-- KEYS  meta rec dly lea hld tok, then rdy wait wake of every domain, then what keys names (all of one queue)
-- ARGV  domains_version, then per task: kind id delivery delay_ms; kind: out (a leased one, for so long), longer (a lent one,
--       for so long from now), later (a lent one that queues up anew after the delay), back (either: to its place in line)
-- GIVES OK, then per task OK | CANCELLED (its slot is free) | LEASED (not lent, its worker keeps it: nothing changed)
--       | LOST (nothing changed) | DOMAINS version name index ...
-- SAFE TO REPEAT: yes, but out, which is LOST when it was done; a delivery that is no longer current changes nothing
local meta, rec, dly, lea, hld = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
--@include domains
local m = redis.call('HMGET', meta, 'dv', 'seq', 'conc', 'rate', 'window_ms', 'guard_ms', 'used', 'paused')
if (m[1] or '0') ~= ARGV[1] then return domains(m[1] or '0') end
if #ARGV == 1 then return {'OK'} end
--@include now
--@include wake
--@include room
--@include keys
local format, match = string.format, string.match
local tids = {}
for i = 3, #ARGV, 4 do tids[#tids + 1] = ARGV[i] end
local records = redis.call('HMGET', rec, unpack(tids))
local leased = redis.call('ZMSCORE', lea, unpack(tids))
if is_keyed then know(tids) end
local lent = redis.call('ZMSCORE', dly, unpack(tids))

-- A lent task stands among the delayed ones with another time than its record says, which keeps its place in line.
local order, reply = tonumber(m[2] or '0'), {'OK'}
local free, gone, changed, held, due_back, hurry, seen = {}, {}, {}, {}, {}, {}, {}
for i = 1, #tids do
  local tid, at = tids[i], 4 * i - 2
  local kind, word = ARGV[at], 'LOST'
  local delivery, offer, domain, advance, due, heard, base, flag
  if records[i] and not seen[tid] then
    delivery, offer, domain, advance, due, heard, base, flag = match(records[i], '^(%d+) (%d+) (%d+) (%S+) (%d+) (%d+) (%d+) ([-x])$')
  end
  local is_out = lent[i] and delivery ~= '0'
  if delivery == ARGV[at + 2] and ((leased[i] and (kind == 'out' or kind == 'back')) or (is_out and kind ~= 'out')) then
    seen[tid] = true
    if leased[i] then free[#free + 1] = tid end
    if flag == 'x' then
      word = 'CANCELLED'
      gone[#gone + 1] = tid
      if is_keyed then
        forget_keys(tid)
        free_use(tid, 'out')
      end
    else
      word = 'OK'
      order = math.max(now * 4096, order + 1)
      local ends = format('%d', order + tonumber(ARGV[at + 3]) * 4096)
      if kind == 'later' then
        due = ends
        if is_keyed then leave_line(tid) end
      end
      -- Its worker has been heard of: only deliveries from here on count as lost when nobody reports on them.
      if not leased[i] then heard = delivery end
      changed[#changed + 1] = tid
      changed[#changed + 1] = table.concat({delivery, offer, domain, advance, due, heard, base, flag}, ' ')
      held[#held + 1] = tid
      due_back[#due_back + 1] = ends
      due_back[#due_back + 1] = tid
      -- Waiters look again after two seconds at the latest; what is due earlier than that must be told to one of them.
      if tonumber(ARGV[at + 3]) < 2000 then hurry[tonumber(domain)] = (hurry[tonumber(domain)] or 0) + 1 end
    end
  elseif leased[i] and delivery == ARGV[at + 2] and kind ~= 'out' then
    word = 'LEASED'
  end
  reply[i + 1] = word
end

local conc, asleep, left = tonumber(m[3] or '0'), 0, 0
redis.call('SCARD', hld)
for domain = 0, last_domain do
  if hurry[domain] then waiting(domain) end
  if (conc > 0 or is_keyed) and #gone > 0 then
    redis.call('ZCARD', KEYS[7 + 3 * domain])
    asleep = asleep + waiting(domain)
  end
end
if asleep > 0 and not m[8] then
  left = room(conc > 0 and conc + #gone or 0, tonumber(m[4] or '0'), tonumber(m[5] or '0'), tonumber(m[6] or '0'), tonumber(m[7] or '0'))
end

if #free > 0 then redis.call('ZREM', lea, unpack(free)) end
if #gone > 0 then redis.call('HDEL', rec, unpack(gone)) end
if #held > 0 then
  redis.call('HSET', rec, unpack(changed))
  redis.call('HSET', meta, 'seq', format('%d', order))
  redis.call('SADD', hld, unpack(held))
  redis.call('ZADD', dly, unpack(due_back))
end
if is_keyed then
  let_in()
  write_keys()
end
for domain = 0, last_domain do
  if hurry[domain] then wake(domain, hurry[domain]) end
  if asleep > 0 then wake(domain, math.min(left, redis.call('ZCARD', KEYS[7 + 3 * domain]))) end
end
return reply
